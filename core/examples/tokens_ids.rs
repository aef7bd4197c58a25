//! Token ids of texts, for comparison with other implementations: `ci/check-tiktoken` drives it.
//!
//! Usage: `tokens_ids ENCODING`. Reads one text a line, as hexadecimal UTF-8; writes its count, then its ids, in one line.

use ossai::tokens::Encoding;
use std::io::{BufRead, Write};

fn text(line: &str) -> Option<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = line.trim().as_bytes().chunks(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

fn main() -> std::io::Result<()> {
    let name = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "o200k_base".to_owned());
    let Some(encoding) = Encoding::get(&name) else {
        return Err(std::io::Error::other(format!("{name}: no such encoding")));
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let Some(text) = text(&line?) else {
            return Err(std::io::Error::other("a line is not hexadecimal UTF-8"));
        };
        write!(out, "{}", encoding.count(&text))?;
        for id in encoding.encode(&text) {
            write!(out, " {id}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
