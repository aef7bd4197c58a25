//! Unicode classes of characters, as the published split patterns see them.
//!
//! Exact counts need the very Unicode version of the regex engine behind the published encodings
//! (16.0 for tiktoken 0.14), so the table is generated from that engine and not from the standard
//! library, whose version moves with the compiler. `ci/unicode-tables` rebuilds it and a test compares it.

/// Neither letter, number, mark nor white space.
pub(super) const OTHER: u8 = 1;
/// `\p{Lu}` and `\p{Lt}`.
pub(super) const UPPER: u8 = 2;
/// `\p{Ll}`.
pub(super) const LOWER: u8 = 4;
/// `\p{Lm}` and `\p{Lo}`: letters without case.
pub(super) const UNCASED: u8 = 8;
/// `\p{M}`.
pub(super) const MARK: u8 = 16;
/// `\p{N}`.
pub(super) const NUMBER: u8 = 32;
/// `\s` without carriage return and line feed.
pub(super) const SPACE: u8 = 64;
/// Carriage return and line feed.
pub(super) const NEWLINE: u8 = 128;
/// Past the end of the text.
pub(super) const END: u8 = 0;

/// `\p{L}`.
pub(super) const LETTER: u8 = UPPER | LOWER | UNCASED;
/// `\s`.
pub(super) const WHITE: u8 = SPACE | NEWLINE;
/// `[^\s\p{L}\p{N}]`.
pub(super) const PUNCTUATION: u8 = OTHER | MARK;

/// One byte for each block of 256 code points, the number of its row; then the rows.
const TABLE: &[u8] = include_bytes!("../../data/unicode-classes.bin");
const BLOCKS: usize = 0x11_0000 >> 8;

/// Classes of the ASCII characters; 0 for the bytes above, which need decoding.
pub(super) const ASCII: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = match b as u8 {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b'\r' | b'\n' => NEWLINE,
            b' ' | b'\t' | 0x0b | 0x0c => SPACE,
            _ => OTHER,
        };
        b += 1;
    }
    table
};

/// The class of a code point.
#[inline]
pub(super) fn of(code: u32) -> u8 {
    let row = TABLE.get((code >> 8) as usize).copied().unwrap_or(0);
    let at = BLOCKS + usize::from(row) * 256 + (code & 0xff) as usize;
    TABLE.get(at).copied().unwrap_or(OTHER)
}

/// Code point and width in bytes of the character that starts at `at` in valid UTF-8, or `None` at the end.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let rest = bytes.get(at..)?;
    let low = |i: usize| u32::from(rest.get(i).copied().unwrap_or(0) & 0x3f);
    let first = u32::from(*rest.first()?);
    Some(match first {
        0..0x80 => (first, 1),
        0x80..0xe0 => ((first & 0x1f) << 6 | low(1), 2),
        0xe0..0xf0 => ((first & 0x0f) << 12 | low(1) << 6 | low(2), 3),
        _ => (
            (first & 0x07) << 18 | low(1) << 12 | low(2) << 6 | low(3),
            4,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_syntax::hir::{Class, HirKind};

    fn mark(classes: &mut [u8], pattern: &str, class: u8) {
        let hir = regex_syntax::parse(pattern).unwrap();
        let HirKind::Class(Class::Unicode(set)) = hir.kind() else {
            panic!("{pattern} is not a class")
        };
        for range in set.iter() {
            classes[range.start() as usize..=range.end() as usize].fill(class);
        }
    }

    fn table_from_the_regex_engine() -> Vec<u8> {
        let mut classes = vec![OTHER; 0x11_0000];
        mark(&mut classes, r"[\p{Lu}\p{Lt}]", UPPER);
        mark(&mut classes, r"\p{Ll}", LOWER);
        mark(&mut classes, r"[\p{Lm}\p{Lo}]", UNCASED);
        mark(&mut classes, r"\p{M}", MARK);
        mark(&mut classes, r"\p{N}", NUMBER);
        mark(&mut classes, r"\s", SPACE);
        mark(&mut classes, r"[\r\n]", NEWLINE);
        let (mut index, mut rows): (Vec<u8>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        for block in classes.chunks(256) {
            let row = rows.iter().position(|r| *r == block).unwrap_or_else(|| {
                rows.push(block);
                rows.len() - 1
            });
            index.push(u8::try_from(row).unwrap());
        }
        index.extend(rows.concat());
        index
    }

    #[test]
    fn the_table_equals_the_classes_of_the_regex_engine_behind_the_published_encodings() {
        let expected = table_from_the_regex_engine();
        if std::env::var_os("OSSAI_WRITE_TABLES").is_some() {
            let path = "data/unicode-classes.bin";
            std::fs::write(path, &expected).unwrap();
            return;
        }
        assert_eq!(expected.len(), TABLE.len());
        assert!(expected == TABLE, "run ci/unicode-tables");
    }

    #[test]
    fn the_ascii_table_agrees_with_the_full_one() {
        for code in 0..128u8 {
            assert_eq!(ASCII[usize::from(code)], of(u32::from(code)), "{code:#x}");
        }
    }

    #[test]
    fn decoding_agrees_with_the_standard_library_for_every_character() {
        let mut buffer = [0; 4];
        for c in '\0'..=char::MAX {
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            assert_eq!(decode(bytes, 0), Some((c as u32, c.len_utf8())));
        }
        assert_eq!(decode(b"", 0), None);
    }
}
