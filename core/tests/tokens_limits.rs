//! Promises about limits and streams, on texts of every kind and on random cuts of them.

use ossai::tokens::{Encoding, SplitError, StreamCounter};

const SAMPLES: &str = include_str!("tokens_text/samples.txt");

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Random stretches of the samples, some repeated, some shuffled by character.
fn texts(seed: u64, n: usize) -> Vec<String> {
    let mut random = Random(seed);
    let chars: Vec<char> = SAMPLES.chars().collect();
    let stretch = |random: &mut Random| {
        let start = random.below(chars.len());
        let length = random.below(120);
        chars[start..(start + length).min(chars.len())]
            .iter()
            .collect::<String>()
    };
    let mut texts: Vec<String> = (0..n)
        .map(|i| match i % 4 {
            0 => stretch(&mut random).repeat(1 + random.below(4)),
            1 => (0..random.below(80))
                .map(|_| chars[random.below(chars.len())])
                .collect(),
            _ => stretch(&mut random) + &stretch(&mut random),
        })
        .collect();
    texts.extend(
        [
            "",
            " ",
            "\n",
            "a",
            "'",
            "I'll",
            "👨\u{200d}👩\u{200d}👧",
            "   \n  \r\n x",
            "e\u{301}\u{301}",
        ]
        .map(String::from),
    );
    texts
}

fn exact() -> impl Iterator<Item = &'static Encoding> {
    ["o200k_base", "cl100k_base", "p50k_base"]
        .into_iter()
        .filter_map(Encoding::get)
}

#[test]
fn fits_says_the_count_up_to_the_limit_and_nothing_above() {
    for encoding in exact() {
        for text in texts(1, 400) {
            let n = encoding.count(&text);
            assert_eq!(encoding.fits(&text, n), Some(n));
            assert_eq!(encoding.fits(&text, n + 1), Some(n));
            assert_eq!(encoding.fits(&text, usize::MAX), Some(n));
            if n > 0 {
                assert_eq!(encoding.fits(&text, n - 1), None);
                assert_eq!(encoding.fits(&text, 0), None);
            }
        }
    }
}

#[test]
fn a_truncated_text_is_a_beginning_that_counts_at_most_the_limit() {
    for encoding in exact() {
        for text in texts(2, 300) {
            let n = encoding.count(&text);
            for max in 0..n + 2 {
                let cut = encoding.truncate(&text, max);
                assert!(text.starts_with(cut));
                assert!(encoding.count(cut) <= max, "{text:?} to {max}: {cut:?}");
                if max >= n {
                    assert_eq!(cut, text);
                } else if text.is_ascii() {
                    assert!(
                        encoding.count(cut) + 2 >= max,
                        "{text:?} to {max} gives too little: {cut:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_truncated_run_of_one_letter_is_full() {
    let encoding = Encoding::get("o200k_base").unwrap();
    let text = "a".repeat(1 << 20);
    for max in [1, 7, 1_000] {
        assert_eq!(encoding.count(encoding.truncate(&text, max)), max);
    }
}

#[test]
fn parts_cover_the_text_in_order_and_each_counts_at_most_the_limit() {
    let mut random = Random(3);
    for encoding in exact() {
        for text in texts(4, 300) {
            let max = 8 + random.below(20);
            let overlap = random.below(max);
            let parts = encoding.split(&text, max, overlap).unwrap();
            let mut covered = 0;
            for part in &parts {
                assert!(part.start <= covered && part.end > covered, "{parts:?}");
                assert!(encoding.count(&text[part.clone()]) <= max);
                assert!(encoding.count(&text[part.start..covered]) <= overlap);
                covered = part.end;
            }
            assert_eq!(covered, text.len());
        }
    }
}

#[test]
fn without_overlap_the_parts_are_the_text() {
    for encoding in exact() {
        let parts = encoding.split(SAMPLES, 16, 0).unwrap();
        let joined: String = parts.iter().map(|p| &SAMPLES[p.clone()]).collect();
        assert_eq!(joined, SAMPLES);
    }
}

#[test]
fn a_split_that_cannot_be_is_refused_with_the_reason() {
    let encoding = Encoding::get("o200k_base").unwrap();
    assert_eq!(encoding.split("a", 0, 0), Err(SplitError::NoTokens));
    assert_eq!(
        encoding.split("a", 4, 4),
        Err(SplitError::Overlap {
            overlap: 4,
            max_tokens: 4
        })
    );
    let rare = "ab\u{12345}";
    assert!(encoding.count("\u{12345}") > 1);
    assert_eq!(
        encoding.split(rare, 1, 0),
        Err(SplitError::Character {
            at: 2,
            max_tokens: 1
        })
    );
    assert_eq!(encoding.split("", 4, 1), Ok(Vec::new()));
}

#[test]
fn a_stream_counts_what_the_whole_text_counts_however_it_is_cut() {
    let mut random = Random(5);
    for encoding in exact() {
        for text in texts(6, 1_000).into_iter().chain([SAMPLES.repeat(3)]) {
            let mut counter = StreamCounter::new(encoding);
            let (mut at, most) = (0, 1 + random.below(12));
            while at < text.len() {
                let wanted = at + 1 + random.below(most);
                let end = (wanted..text.len())
                    .find(|i| text.is_char_boundary(*i))
                    .unwrap_or(text.len());
                counter.push(&text[at..end]);
                at = end;
                if random.below(8) == 0 {
                    assert_eq!(counter.count(), encoding.count(&text[..at]));
                }
            }
            assert_eq!(counter.count(), encoding.count(&text));
            assert!(counter.is_exact());
        }
    }
}

#[test]
fn a_stream_keeps_little_of_a_long_text() {
    let encoding = Encoding::get("o200k_base").unwrap();
    let mut counter = StreamCounter::new(encoding);
    for _ in 0..50 {
        for c in SAMPLES.chars() {
            counter.push(c.encode_utf8(&mut [0; 4]));
            assert!(counter.kept() < 1_024);
        }
    }
    assert_eq!(counter.count(), encoding.count(&SAMPLES.repeat(50)));
}

#[test]
fn an_endless_run_is_bounded_and_its_count_is_marked_as_an_estimate() {
    let encoding = Encoding::get("o200k_base").unwrap();
    let mut counter = StreamCounter::new(encoding);
    let part = "ab".repeat(1 << 15);
    for _ in 0..40 {
        counter.push(&part);
        assert!(counter.kept() <= StreamCounter::MAX_KEPT);
    }
    assert!(!counter.is_exact());
    let exact = encoding.count(&part.repeat(40));
    assert!(
        counter.count().abs_diff(exact) <= 12,
        "{} {exact}",
        counter.count()
    );
}

#[test]
fn a_client_counts_a_text_as_its_models_encoding_does() {
    let client = ossai::Client::new(ossai::Config::default()).unwrap();
    let encoding = Encoding::get("o200k_base").unwrap();
    for text in texts(7, 40) {
        let counted = client.count_text("openai/gpt-4o", &text);
        assert_eq!(counted.tokens, encoding.count(&text) as u64, "{text:?}");
        assert!(counted.exact);
    }
}
