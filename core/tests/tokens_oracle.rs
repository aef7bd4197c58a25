//! Counts and ids equal the published encodings. The oracle is tiktoken-rs, which runs the published patterns and tables.
//!
//! `OSSAI_FUZZ=100000` sets how many random strings are compared; the default keeps a debug run short.

#![allow(clippy::unwrap_used)]

use ossai::tokens::Encoding;
use tiktoken_rs::CoreBPE;

/// xorshift64*: the same strings on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
}

/// What the patterns treat specially, and samples of every class and script that the vocabularies know well.
const PARTS: &[&str] = &[
    " ",
    "  ",
    "   ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\n\n",
    " \n",
    "\n ",
    "\u{a0}",
    "\u{2028}",
    "\u{3000}",
    "\u{85}",
    "\u{1680}",
    "'s",
    "'S",
    "'\u{17f}",
    "'t",
    "'T",
    "'re",
    "'RE",
    "'rE",
    "'ve",
    "'m",
    "'ll",
    "'LL",
    "'lL",
    "'d",
    "'",
    "''",
    "'l",
    "'r",
    "\u{17f}",
    "\u{212a}",
    "K",
    "\u{301}",
    "\u{308}",
    "\u{fe0f}",
    "\u{20dd}",
    "\u{903}",
    "\u{200d}",
    "a",
    "b",
    "Z",
    "A",
    "ABC",
    "Abc",
    "aBC",
    "the",
    " the",
    " The",
    "THE",
    "HTTPServer",
    "camelCase",
    "snake_case",
    "0",
    "1",
    "12",
    "123",
    "1234",
    "３",
    "٣",
    "Ⅷ",
    "½",
    "!",
    "/",
    "//",
    "/*",
    "*/",
    "...",
    "?!",
    "(",
    ")",
    "{",
    "}",
    "\"",
    "\":",
    "<|endoftext|>",
    "<|",
    "#",
    "$",
    "€",
    "—",
    "“",
    "”",
    "é",
    "É",
    "ß",
    "ǅ",
    "ʰ",
    "ª",
    "я",
    "Я",
    "привет",
    " мир",
    "ё",
    "ع",
    "مرحبا",
    " العالم",
    "ש",
    "中",
    "中文",
    "的",
    "，",
    "。",
    "我们",
    "の",
    "こんにちは",
    "カ",
    "ー",
    "한",
    "국어",
    "ไทย",
    "हि",
    "न्दी",
    "த",
    "\u{1f600}",
    "👍🏽",
    "👨\u{200d}👩\u{200d}👧",
    "🇩🇪",
    "𝒳",
    "𐐀",
    "𐐨",
    "\u{e000}",
    "\u{10ffff}",
    "\u{0}",
    "\u{7f}",
    "\u{fffd}",
    "\u{feff}",
    "\u{378}",
];

fn text(random: &mut Random) -> String {
    let mut text = String::new();
    let kind = random.below(4);
    for _ in 0..=random.below(24) {
        match (kind, random.below(8)) {
            // Any character at all, biased towards the lower planes.
            (0, _) | (1, 0..2) => {
                let bits = 7 + random.below(15) as u32;
                let code = (random.next() >> 20) as u32 & ((1 << bits) - 1);
                text.extend(char::from_u32(code));
            }
            (2, 0..7) => text.push(char::from(32 + random.below(95) as u8)),
            _ => {
                let part = PARTS[random.below(PARTS.len())];
                for _ in 0..=(random.below(12) / 10) * random.below(6) {
                    text.push_str(part);
                }
            }
        }
    }
    text
}

fn oracle(name: &str) -> CoreBPE {
    match name {
        "o200k_base" => tiktoken_rs::o200k_base(),
        "o200k_harmony" => tiktoken_rs::o200k_harmony(),
        "cl100k_base" => tiktoken_rs::cl100k_base(),
        "p50k_base" => tiktoken_rs::p50k_base(),
        "p50k_edit" => tiktoken_rs::p50k_edit(),
        "r50k_base" | "gpt2" => tiktoken_rs::r50k_base(),
        other => panic!("no oracle for {other}"),
    }
    .unwrap()
}

fn same(encoding: &Encoding, oracle: &CoreBPE, text: &str) {
    let expected = oracle.encode_ordinary(text);
    let shown: String = text.chars().take(200).collect();
    assert_eq!(
        encoding.encode(text),
        expected,
        "{}: {shown:?}",
        encoding.name()
    );
    assert_eq!(
        encoding.count(text),
        expected.len(),
        "{}: {shown:?}",
        encoding.name()
    );
    assert_eq!(encoding.decode(&expected).unwrap(), text.as_bytes());
}

fn fuzz(name: &str, seed: u64, default: usize) {
    let wanted = std::env::var("OSSAI_FUZZ")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default);
    let (encoding, oracle) = (Encoding::get(name).unwrap(), oracle(name));
    let mut random = Random(seed);
    for _ in 0..wanted {
        same(encoding, &oracle, &text(&mut random));
    }
}

#[test]
fn random_strings_are_encoded_as_o200k_base_publishes() {
    fuzz("o200k_base", 0x5eed_0001, 5_000);
}

#[test]
fn random_strings_are_encoded_as_cl100k_base_publishes() {
    fuzz("cl100k_base", 0x5eed_0002, 5_000);
}

#[test]
fn random_strings_are_encoded_as_p50k_base_and_r50k_base_publish() {
    fuzz("p50k_base", 0x5eed_0003, 2_000);
    fuzz("r50k_base", 0x5eed_0004, 2_000);
}

#[test]
fn texts_of_every_kind_are_encoded_as_published() {
    let source = include_str!("../src/tokens/scan.rs");
    let corpora = include_str!("tokens_text/samples.txt");
    for encoding in Encoding::all() {
        let oracle = oracle(encoding.name());
        same(encoding, &oracle, "");
        same(encoding, &oracle, source);
        same(encoding, &oracle, corpora);
        for paragraph in corpora.split("\n\n") {
            same(encoding, &oracle, paragraph);
        }
    }
}

#[test]
fn every_character_is_encoded_as_published_alone_and_between_letters() {
    let step = if std::env::var_os("OSSAI_FUZZ").is_some() {
        1
    } else {
        97
    };
    for name in ["o200k_base", "cl100k_base"] {
        let (encoding, oracle) = (Encoding::get(name).unwrap(), oracle(name));
        let ascii_and_latin = (0..0x250).collect::<Vec<u32>>();
        for code in ascii_and_latin
            .into_iter()
            .chain((0x250..0x11_0000).step_by(step))
        {
            let Some(c) = char::from_u32(code) else {
                continue;
            };
            same(encoding, &oracle, &format!("{c}a{c}A{c}{c} {c}1'{c}\n{c}"));
        }
    }
}

#[test]
fn unbroken_runs_are_encoded_as_published() {
    let mut random = Random(7);
    let base64: String = (0..20_000)
        .map(|_| {
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[random.below(52)])
        })
        .collect();
    for name in ["o200k_base", "cl100k_base"] {
        let (encoding, oracle) = (Encoding::get(name).unwrap(), oracle(name));
        for unit in [
            "a",
            "A",
            "ab",
            "中",
            "的",
            "é",
            "e\u{301}",
            "!",
            "-",
            "0",
            "=",
            "\u{1f600}",
            "ي",
            "я",
        ] {
            for length in [1, 15, 16, 30, 31, 95, 97, 128, 129, 1_000, 10_000] {
                same(encoding, &oracle, &unit.repeat(length));
            }
        }
        for length in 0..300 {
            same(encoding, &oracle, &" ".repeat(length));
            same(encoding, &oracle, &format!("{}x", "\n \t".repeat(length)));
        }
        same(encoding, &oracle, &base64);
        same(encoding, &oracle, &"中文字符".repeat(3_000));
    }
}

#[test]
fn a_megabyte_of_one_letter_is_counted_as_published() {
    for name in ["o200k_base", "cl100k_base"] {
        let text = "a".repeat(1 << 20);
        let expected = oracle(name).encode_ordinary(&text).len();
        assert_eq!(Encoding::get(name).unwrap().count(&text), expected);
    }
}

#[test]
fn special_tokens_are_text_unless_allowed() {
    let text = "a<|endoftext|>b<|endofprompt|><|nothing|>";
    for name in ["o200k_base", "cl100k_base"] {
        let (encoding, oracle) = (Encoding::get(name).unwrap(), oracle(name));
        assert_eq!(encoding.encode(text), oracle.encode_ordinary(text));
        let all = encoding.encode_with_special(text, |_| true);
        assert_eq!(all, oracle.encode_with_special_tokens(text));
        assert_eq!(encoding.decode(&all).unwrap(), text.as_bytes());
        assert_eq!(
            encoding.encode_with_special(text, |_| false),
            oracle.encode_ordinary(text)
        );
        let one = encoding.encode_with_special(text, |name| name == "<|endoftext|>");
        assert_eq!(
            one.len(),
            oracle.encode_ordinary("a").len()
                + 1
                + oracle.encode_ordinary("b<|endofprompt|><|nothing|>").len()
        );
    }
}

#[test]
fn an_unknown_id_is_refused_with_its_place() {
    let error = Encoding::get("o200k_base")
        .unwrap()
        .decode(&[0, 1, 250_000])
        .unwrap_err();
    assert_eq!((error.id, error.index), (250_000, 2));
    assert!(
        Encoding::get("p50k_base")
            .unwrap()
            .decode(&[u32::MAX])
            .is_err()
    );
}
