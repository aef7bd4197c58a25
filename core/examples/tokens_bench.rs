//! Throughput of token counting, as JSON: MB/s cold (first pass of a thread over a text), warm (its words
//! seen, the text new) and again (the same text), load time, memory.
//!
//! Usage: `tokens_bench ENCODING FILE…`. A `.json` file must hold an array of strings, which are counted one by one.
//! With `--oracle`, tiktoken-rs is measured too and every count is compared with it.

use ossai::tokens::Encoding;
use std::time::{Duration, Instant};

fn texts(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    if path.ends_with(".json") && text.starts_with("[\"") {
        return strings(&text);
    }
    vec![text]
}

/// The strings of a JSON array, without escapes beyond the common ones: enough for a benchmark's input.
fn strings(json: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = json.chars();
    while let Some(c) = chars.next() {
        if c != '"' {
            continue;
        }
        let mut s = String::new();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next() {
                    Some('n') => s.push('\n'),
                    Some('t') => s.push('\t'),
                    Some('u') => {
                        let hex: String = chars.by_ref().take(4).collect();
                        s.extend(u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32));
                    }
                    Some(c) => s.push(c),
                    None => break,
                },
                c => s.push(c),
            }
        }
        out.push(s);
    }
    out
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0)
}

/// Texts in groups of about 16 kB; longer texts in parts of that size.
fn batches(texts: &[String]) -> Vec<Vec<&str>> {
    const SIZE: usize = 16_384;
    let mut out: Vec<Vec<&str>> = Vec::new();
    let mut size = SIZE;
    for text in texts {
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(floor(rest, SIZE));
            if size >= SIZE {
                out.push(Vec::new());
                size = 0;
            }
            size += part.len();
            out.last_mut().expect("pushed").push(part);
            rest = later;
        }
    }
    out
}

fn time(mut work: impl FnMut() -> usize) -> (Duration, usize) {
    let start = Instant::now();
    let n = std::hint::black_box(work());
    (start.elapsed(), n)
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|l| l.starts_with("VmRSS:"))
        .unwrap_or("");
    let kb: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    kb / 1024.0
}

fn best(runs: usize, mut work: impl FnMut() -> usize) -> Duration {
    (0..runs)
        .map(|_| time(&mut work).0)
        .min()
        .unwrap_or_default()
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let with_oracle = args.iter().any(|a| a == "--oracle");
    args.retain(|a| a != "--oracle");
    let name = if args.is_empty() {
        "o200k_base".to_owned()
    } else {
        args.remove(0)
    };
    let encoding = Encoding::get(&name).expect("name of an encoding");
    let before = resident_mb();
    let load = time(|| {
        encoding.load();
        0
    })
    .0;
    let rss = resident_mb() - before;
    println!(
        "{{\"encoding\":\"{name}\",\"load_ms\":{:.2},\"resident_mb\":{rss:.1},\"corpora\":[",
        load.as_secs_f64() * 1e3
    );
    let oracle = with_oracle.then(|| match name.as_str() {
        "cl100k_base" => tiktoken_rs::cl100k_base().expect("oracle"),
        _ => tiktoken_rs::o200k_base().expect("oracle"),
    });
    let rate = |bytes: usize, t: Duration| bytes as f64 / t.as_secs_f64() / 1e6;
    for (i, path) in args.iter().enumerate() {
        let texts = texts(path);
        let bytes: usize = texts.iter().map(String::len).sum();
        // Pieces of some milliseconds at most, so that the least time of each is one that no other process took part in.
        let parts: Vec<Vec<&str>> = batches(&texts);
        let ours = |count: &(dyn Fn(&str) -> usize + Sync)| {
            let run = || {
                parts
                    .iter()
                    .map(|p| time(|| p.iter().map(|t| count(t)).sum()).0)
                    .collect::<Vec<_>>()
            };
            // A new thread has no counted words yet; the vocabulary stays.
            (0..15)
                .map(|_| {
                    std::thread::scope(|s| s.spawn(|| (run(), run())).join().expect("no panic"))
                })
                .collect::<Vec<_>>()
        };
        let least = |runs: &mut dyn Iterator<Item = Vec<Duration>>| {
            let least = runs.reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| a.min(b)).collect());
            least.unwrap_or_default().into_iter().sum::<Duration>()
        };
        // `fits` does not look whole texts up: cold words, then words seen. `count` on its second run: the text again.
        let fits = ours(&|t| encoding.fits(t, usize::MAX).unwrap_or(0));
        let cold = least(&mut fits.iter().map(|r| r.0.clone()));
        let warm = least(&mut fits.iter().map(|r| r.1.clone()));
        let again = least(&mut ours(&|t| encoding.count(t)).into_iter().map(|r| r.1));
        let encode = least(&mut ours(&|t| encoding.encode(t).len()).into_iter().map(|r| r.1));
        let tokens: usize = texts.iter().map(|t| encoding.count(t)).sum();
        let other = oracle.as_ref().map(|o| {
            let n: usize = texts.iter().map(|t| o.encode_ordinary(t).len()).sum();
            assert_eq!(n, tokens, "{path}");
            let run = |_| {
                parts
                    .iter()
                    .map(|p| time(|| p.iter().map(|t| o.encode_ordinary(t).len()).sum()).0)
                    .collect()
            };
            least(&mut (0..9).map(run))
        });
        println!(
            "{}{{\"file\":{path:?},\"bytes\":{bytes},\"tokens\":{tokens},\"cold_mb_s\":{:.1},\"warm_mb_s\":{:.1},\"again_mb_s\":{:.1},\"encode_mb_s\":{:.1},\"tiktoken_rs_mb_s\":{:.1}}}",
            if i == 0 { "" } else { "," },
            rate(bytes, cold),
            rate(bytes, warm),
            rate(bytes, again),
            rate(bytes, encode),
            other.map_or(0.0, |t| rate(bytes, t)),
        );
    }
    println!("],\"sizes\":[");
    let sample = args
        .first()
        .map(|p| texts(p).concat())
        .unwrap_or_else(|| "hello world ".repeat(100_000));
    for (i, size) in [100, 2_000, 10_000, 100_000, 1_000_000]
        .into_iter()
        .enumerate()
    {
        let text = &sample[..floor(&sample, size.min(sample.len()))];
        let runs = (2_000_000 / text.len().max(1)).max(5);
        let t = best(5, || {
            (0..runs)
                .filter_map(|_| encoding.fits(std::hint::black_box(text), usize::MAX))
                .sum()
        });
        let again = best(5, || {
            (0..runs)
                .map(|_| encoding.count(std::hint::black_box(text)))
                .sum()
        });
        let us = |t: Duration| t.as_secs_f64() * 1e6 / runs as f64;
        println!(
            "{}{{\"bytes\":{},\"us\":{:.2},\"again_us\":{:.2}}}",
            if i == 0 { "" } else { "," },
            text.len(),
            us(t),
            us(again)
        );
    }
    println!("],\"adversarial\":[");
    let digits: String = (0..100_000)
        .map(|i: u64| char::from(b'0' + (i.wrapping_mul(7919) % 10) as u8))
        .collect();
    let base64: String = (0..100_000u64)
        .map(|i| {
            let x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            char::from(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                    [(x % 64) as usize],
            )
        })
        .collect();
    let letters: String = base64
        .chars()
        .filter(char::is_ascii_alphabetic)
        .chain(base64.chars().rev().filter(char::is_ascii_alphabetic))
        .take(100_000)
        .collect();
    let han: String = (0..34_000u32)
        .filter_map(|i| char::from_u32(0x4e00 + i.wrapping_mul(2_654_435_761) % 5_000))
        .collect();
    let kinds = [
        ("one letter", "a".repeat(100_000)),
        ("spaces", " ".repeat(100_000)),
        ("digits", digits),
        ("base64", base64),
        ("letters", letters),
        ("marks", "e\u{301}".repeat(33_334)),
        ("han", han),
        ("upper", "A".repeat(100_000)),
        ("mixed case", "Aa".repeat(50_000)),
        ("newlines", "\n \n".repeat(33_334)),
        ("emoji", "\u{1f600}".repeat(25_000)),
    ];
    for (i, (kind, text)) in kinds.iter().enumerate() {
        let short = &text[..floor(text, 10_000)];
        let long = &text[..floor(text, 100_000)];
        let (a, b) = (
            best(15, || encoding.fits(short, usize::MAX).unwrap_or(0)),
            best(15, || encoding.fits(long, usize::MAX).unwrap_or(0)),
        );
        println!(
            "{}{{\"kind\":{kind:?},\"us_10k\":{:.1},\"us_100k\":{:.1},\"ratio\":{:.1}}}",
            if i == 0 { "" } else { "," },
            a.as_secs_f64() * 1e6,
            b.as_secs_f64() * 1e6,
            b.as_secs_f64() / a.as_secs_f64()
        );
    }
    println!("]}}");
}
