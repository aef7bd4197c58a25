//! Texts against a number of tokens: whether they fit, the part that does, and cutting into parts that do.

use std::{fmt, ops::ControlFlow, ops::Range};

use super::encoding::Encoding;
use super::merge::Scratch;

/// Why a text can't be split as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// `max_tokens` is 0.
    NoTokens,
    /// `overlap` is not below `max_tokens`.
    Overlap {
        /// The overlap given.
        overlap: usize,
        /// The limit given.
        max_tokens: usize,
    },
    /// One character has more tokens than `max_tokens`.
    Character {
        /// Where it begins, in bytes.
        at: usize,
        /// The limit given.
        max_tokens: usize,
    },
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTokens => write!(f, "max_tokens: 0, expected at least 1"),
            Self::Overlap {
                overlap,
                max_tokens,
            } => {
                write!(
                    f,
                    "overlap: {overlap}, expected less than max_tokens ({max_tokens})"
                )
            }
            Self::Character { at, max_tokens } => {
                write!(
                    f,
                    "max_tokens: {max_tokens}, expected at least the tokens of the character at byte {at}"
                )
            }
        }
    }
}

impl std::error::Error for SplitError {}

/// The last character border at or before `at`; the end of the text for what lies behind it.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl Encoding {
    /// The count of the text if it is at most `limit`, else `None`.
    ///
    /// Takes time in proportion to the limit, not the text.
    pub fn fits(&self, text: &str, limit: usize) -> Option<usize> {
        // No token is longer, so that much text can't fit.
        if text.len() > limit.saturating_mul(self.vocab().longest()) {
            return None;
        }
        let mut total = 0;
        self.walk::<false>(text, |_, count| {
            total += count;
            if total > limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        (total <= limit).then_some(total)
    }

    /// The longest beginning of the text, in whole tokens and whole characters, whose own count is at most `max_tokens`.
    ///
    /// "Longest" up to the few characters where a cut makes other tokens of what is before it. Takes time in proportion
    /// to `max_tokens`.
    pub fn truncate<'t>(&self, text: &'t str, max_tokens: usize) -> &'t str {
        let reach = max_tokens.saturating_mul(self.vocab().longest());
        let head = &text[..floor(text, reach)];
        let (mut total, mut over) = (0, None);
        self.walk::<false>(head, |piece, count| {
            if total + count > max_tokens {
                over = Some(piece);
                return ControlFlow::Break(());
            }
            total += count;
            ControlFlow::Continue(())
        });
        let Some(piece) = over else {
            // What lies behind the head can join its last piece, but not shorten the count of the head itself.
            return head;
        };
        let mut ids = Vec::new();
        self.encode_piece(
            head.as_bytes(),
            piece.clone(),
            &mut Scratch::default(),
            &mut ids,
        );
        ids.truncate(max_tokens - total);
        let mut end = piece.start + self.length(&ids);
        loop {
            // A token can end within a character.
            let cut = &head[..floor(head, end)];
            if cut.is_empty() || self.fits(cut, max_tokens).is_some() {
                return cut;
            }
            // Cut off from what follows, the same text can have more tokens: give back a token, then characters.
            end = match ids.pop() {
                Some(_) => piece.start + self.length(&ids),
                None => cut.len() - 1,
            };
        }
    }

    fn length(&self, ids: &[u32]) -> usize {
        let lengths = ids
            .iter()
            .filter_map(|id| self.vocab().token(*id))
            .map(<[u8]>::len);
        lengths.sum()
    }

    /// Byte ranges of parts that cover the text, each of which by itself counts at most `max_tokens`.
    ///
    /// Each part after the first begins with the end of the one before: as many whole pieces (words, roughly) as count
    /// at most `overlap` tokens. An empty text has no parts. Errors: see [`SplitError`].
    pub fn split(
        &self,
        text: &str,
        max_tokens: usize,
        overlap: usize,
    ) -> Result<Vec<Range<usize>>, SplitError> {
        if max_tokens == 0 {
            return Err(SplitError::NoTokens);
        }
        if overlap >= max_tokens {
            return Err(SplitError::Overlap {
                overlap,
                max_tokens,
            });
        }
        let mut parts: Vec<Range<usize>> = Vec::new();
        let (mut start, mut covered) = (0, 0);
        while covered < text.len() {
            let part = self.truncate(&text[start..], max_tokens);
            let end = start + part.len();
            if end <= covered {
                if start == covered {
                    return Err(SplitError::Character {
                        at: start,
                        max_tokens,
                    });
                }
                // With the overlap nothing new fits.
                start = covered;
                continue;
            }
            parts.push(start..end);
            covered = end;
            start += self.overlap_start(part, overlap);
        }
        Ok(parts)
    }

    /// Where the last pieces of a part begin that together count at most `overlap`; never at its beginning.
    fn overlap_start(&self, part: &str, overlap: usize) -> usize {
        if overlap == 0 {
            return part.len();
        }
        let mut pieces = Vec::new();
        self.walk::<false>(part, |piece, count| {
            pieces.push((piece.start, count));
            ControlFlow::Continue(())
        });
        let (mut start, mut total) = (part.len(), 0);
        for (at, count) in pieces.into_iter().skip(1).rev() {
            total += count;
            if total > overlap {
                break;
            }
            start = at;
        }
        start
    }
}
