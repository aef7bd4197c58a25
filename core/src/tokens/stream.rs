//! A running count of text that arrives in parts.

use std::ops::ControlFlow;

use super::{encoding::Encoding, limit::floor};

/// Counts the tokens of a stream: at any time, the count of all text so far.
///
/// Equal to the count of the whole text, wherever the parts are cut. Only the end of the text that later text could
/// still change is kept: a few words, as a rule. A run without any break (a megabyte of one letter) is one piece and
/// stays until it ends; beyond [`MAX_KEPT`](Self::MAX_KEPT) bytes it is cut, and the count becomes an estimate
/// ([`is_exact`](Self::is_exact) says so), a cut adding two or three tokens at most in all that was tried.
#[derive(Clone, Debug)]
pub struct StreamCounter {
    encoding: &'static Encoding,
    settled: usize,
    kept: String,
    /// Length of `kept` at which to look for settled text again; doubling keeps the work linear in the text.
    look_at: usize,
    exact: bool,
}

impl StreamCounter {
    /// The most bytes kept.
    pub const MAX_KEPT: usize = 1 << 20;

    /// A counter that has seen no text.
    pub fn new(encoding: &'static Encoding) -> Self {
        Self {
            encoding,
            settled: 0,
            kept: String::new(),
            look_at: 256,
            exact: true,
        }
    }

    /// Adds text.
    pub fn push(&mut self, mut text: &str) {
        while !text.is_empty() {
            let room = Self::MAX_KEPT - self.kept.len();
            let (now, later) = text.split_at(floor(text, room));
            self.kept.push_str(now);
            text = later;
            if !text.is_empty() || self.kept.len() >= self.look_at {
                self.settle(!text.is_empty());
            }
        }
    }

    fn settle(&mut self, full: bool) {
        let (mut settled, mut end) = (0, 0);
        self.encoding.walk::<true>(&self.kept, |piece, count| {
            settled += count;
            end = piece.end;
            ControlFlow::Continue(())
        });
        if full && end < Self::MAX_KEPT / 2 {
            // Half of the most is one piece: cut it.
            let cut = floor(&self.kept, Self::MAX_KEPT / 2);
            settled = self.encoding.count(&self.kept[..cut]);
            end = cut;
            self.exact = false;
        }
        self.settled += settled;
        self.kept.drain(..end);
        self.look_at = (self.kept.len() * 2).clamp(256, Self::MAX_KEPT);
    }

    /// The count of all text so far. Takes time in proportion to the text kept.
    pub fn count(&self) -> usize {
        self.settled + self.encoding.count(&self.kept)
    }

    /// Whether the count is exact: true unless an unbroken run went over [`MAX_KEPT`](Self::MAX_KEPT) bytes.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Bytes of text kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }
}
