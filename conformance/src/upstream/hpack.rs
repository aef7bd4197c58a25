//! Header blocks without compression (RFC 7541 §6.2.2): every field is a literal that is not indexed.

/// The block of these headers.
pub(super) fn block(headers: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        out.push(0);
        string(&mut out, name.to_ascii_lowercase().as_bytes());
        string(&mut out, value.as_bytes());
    }
    out
}

/// A string that is not Huffman-coded, with its length as an integer of a prefix of seven bits (§5.1).
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut left = bytes.len();
    if left < 127 {
        out.push(u8::try_from(left).unwrap_or(0));
    } else {
        out.push(127);
        left -= 127;
        while left >= 128 {
            out.push(u8::try_from(left % 128).unwrap_or(0) | 128);
            left /= 128;
        }
        out.push(u8::try_from(left).unwrap_or(0));
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_integers_of_seven_bits_and_more() {
        let long = "v".repeat(300);
        let block = block(&[("A".into(), "b".into()), ("n".into(), long)]);
        assert_eq!(block[..5], [0, 1, b'a', 1, b'b']);
        assert_eq!(block[5..11], [0, 1, b'n', 127, 128 + 45, 1]);
        assert_eq!(block.len(), 11 + 300);
    }
}
