//! Words as keys of tables: short ones as one number, and the hashes of both kinds.

/// A word of at most 15 bytes as a key: the bytes, zero-padded, with the length in the top byte. 0 is no word.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Word(pub(super) u128);

impl Word {
    pub(super) const MAX: usize = 15;

    /// The key of `bytes[start..end]`, which is at most 15 bytes long.
    #[inline(always)]
    pub(super) fn new(bytes: &[u8], start: usize, end: usize) -> Self {
        let length = end - start;
        let raw = match bytes.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; 16];
                for (to, from) in chunk.iter_mut().zip(bytes.get(start..end).unwrap_or(&[])) {
                    *to = *from;
                }
                u128::from_le_bytes(chunk)
            }
        };
        let kept = raw & !(u128::MAX << (8 * length));
        Self(kept | (length as u128) << 120)
    }

    #[inline(always)]
    pub(super) fn hash(self) -> u64 {
        mix(
            self.0 as u64 ^ 0x9e37_79b9_7f4a_7c15,
            (self.0 >> 64) as u64 ^ 0xd1b5_4a32_d192_ed03,
        )
    }
}

#[inline(always)]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// A hash of any number of bytes, for the few tokens longer than a [`Word`].
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let step =
        |hash: u64, word: u64| mix(hash ^ 0x9e37_79b9_7f4a_7c15, word ^ 0xd1b5_4a32_d192_ed03);
    let mut hash = bytes.len() as u64;
    let (whole, rest) = bytes.as_chunks::<8>();
    for chunk in whole {
        hash = step(hash, u64::from_le_bytes(*chunk));
    }
    rest.iter()
        .fold(hash, |hash, byte| step(hash, u64::from(*byte)))
}
