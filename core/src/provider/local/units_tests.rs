use super::*;

fn units(text: &str, syntax: Syntax) -> Vec<(Kind, String)> {
    let mut out = Vec::new();
    each_unit(text, syntax, &mut |unit| {
        out.push((unit.kind, quote(text, &unit, syntax)))
    });
    out
}

fn prose(text: &str, syntax: Syntax) -> Vec<String> {
    units(text, syntax)
        .into_iter()
        .filter(|(kind, _)| *kind == Kind::Prose)
        .map(|(_, quote)| quote)
        .collect()
}

#[test]
fn sentences_end_where_people_end_them() {
    assert_eq!(
        prose(
            "It costs $1.50, e.g. in May. Dr. Ng (see Fig. 2) agrees! \"Really?\" Yes… J. Doe\nwrote it.",
            Syntax::Prose
        ),
        [
            "It costs $1.50, e.g. in May.",
            "Dr. Ng (see Fig. 2) agrees!",
            "\"Really?\"",
            "Yes…",
            "J. Doe wrote it."
        ]
    );
    assert_eq!(
        prose("缓存命中。没有费用！「真的吗？」是的", Syntax::Prose),
        ["缓存命中。", "没有费用！", "「真的吗？」", "是的"]
    );
    assert_eq!(
        prose("ما هذا؟ هذا كتاب. انتهى", Syntax::Prose),
        ["ما هذا؟", "هذا كتاب.", "انتهى"]
    );
}

#[test]
fn wrapped_lines_join_and_chinese_ones_without_a_space() {
    assert_eq!(
        prose("one\n  two\nthree.", Syntax::Prose),
        ["one two three."]
    );
    assert_eq!(prose("缓存\n命中。", Syntax::Prose), ["缓存命中。"]);
}

#[test]
fn comments_are_prose_and_code_is_code() {
    let rust = "//! Why it exists.\n//!\n//! # Errors\n//! - The first\n//!   item.\n/// Adds `a`\n/// and `b`.\npub fn add(a: u8) {\n    // Not quite.\n}";
    assert_eq!(
        units(rust, Syntax::of("src/x.rs:1-9")),
        [
            (Kind::Prose, "Why it exists.".to_owned()),
            (Kind::Heading, "Errors".to_owned()),
            (Kind::Prose, "The first item.".to_owned()),
            (Kind::Prose, "Adds `a` and `b`.".to_owned()),
            (Kind::Code, "`pub fn add(a: u8) {`".to_owned()),
            (Kind::Prose, "Not quite.".to_owned()),
            (Kind::Code, "`}`".to_owned()),
        ]
    );
    assert_eq!(
        prose(
            "/**\n * Folds events.\n * In order.\n */\nint fold();",
            Syntax::Source
        ),
        ["Folds events.", "In order."]
    );
    assert_eq!(
        prose(
            "def f():\n    \"\"\"Reads a file.\n\n    Raises OSError.\"\"\"\n    return 1\n# Done.",
            Syntax::Source
        ),
        ["Reads a file.", "Raises OSError.", "Done."]
    );
}

#[test]
fn fenced_code_rows_and_headings_are_told_apart() {
    let text =
        "# Title\nText.\n```rust\nlet x = 1;\n```\n| a | b |\n|---|---|\n- one\n- two\n1. three";
    let expected = [
        (Kind::Heading, "Title"),
        (Kind::Prose, "Text."),
        (Kind::Code, "`let x = 1;`"),
        (Kind::Row, "a | b"),
        (Kind::Prose, "one"),
        (Kind::Prose, "two"),
        (Kind::Prose, "three"),
    ];
    assert_eq!(
        units(text, Syntax::Prose),
        expected.map(|(kind, text)| (kind, text.to_owned()))
    );
}

#[test]
fn a_sentence_stands_under_its_heading_or_question() {
    let text = "# Flights\nOne. Why? Two. Three. Four.";
    let mut under = Vec::new();
    each_unit(text, Syntax::Prose, &mut |unit| {
        under.push(&text[unit.under])
    });
    assert_eq!(under, ["", "Flights", "Flights", "Why?", "Why?", ""]);
}

#[test]
fn a_quote_is_bounded_whatever_the_text() {
    for text in [
        "x".repeat(100_000),
        "é ".repeat(100_000),
        "字".repeat(100_000),
        format!("# {}", "y".repeat(9_000)),
        "🧑‍🚀".repeat(5_000),
        "a.".repeat(50_000),
    ] {
        for syntax in [Syntax::Prose, Syntax::Source, Syntax::Unknown] {
            for (_, quote) in units(&text, syntax) {
                assert!(quote.len() < MAX_QUOTE + 16, "{}", quote.len());
            }
        }
    }
}

#[test]
fn a_comment_stands_under_the_code_below_it() {
    let text = "//! Module.\n\n/// Adds.\n/// Twice.\n#[inline]\npub fn add() {\n}";
    let mut under = Vec::new();
    each_unit(text, Syntax::Source, &mut |unit| {
        under.push((&text[unit.range], &text[unit.under]))
    });
    let below = "pub fn add() {";
    let expected = [
        ("Module.", ""),
        ("Adds.", below),
        ("/// Twice.", below),
        ("#[inline]", below),
        (below, ""),
        ("}", ""),
    ];
    assert_eq!(under, expected);
}
