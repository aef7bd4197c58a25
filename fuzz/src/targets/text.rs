//! Any text, cut into tokens.

use ossai::tokens::Encoding;

use super::choose;

/// Tokens spell the text; their count is their number; a beginning and the parts keep to their limit and lose nothing.
pub fn tokens(input: &[u8]) {
    let Some((which, rest)) = choose(input, Encoding::all().len()) else {
        return;
    };
    let Some((limit, rest)) = choose(rest, 16) else {
        return;
    };
    let (encoding, text) = (&Encoding::all()[which], String::from_utf8_lossy(rest));
    let ids = encoding.encode(&text);
    assert_eq!(encoding.count(&text), ids.len());
    assert_eq!(encoding.decode(&ids).as_deref(), Ok(text.as_bytes()));
    let kept = encoding.truncate(&text, limit);
    assert!(text.starts_with(kept) && encoding.count(kept) <= limit);
    let parts = encoding
        .split(&text, limit + 8, 0)
        .expect("room for any character");
    assert_eq!(
        parts
            .iter()
            .map(|part| &text[part.clone()])
            .collect::<String>(),
        text
    );
    for part in parts {
        assert!(encoding.count(&text[part]) <= limit + 8);
    }
}
