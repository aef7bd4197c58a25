//! Whose turn it is to ask for an answer that several processes want at once.

/// A turn of ours. Dropping it lets the next one.
pub(crate) struct Lease {
    _held: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

impl Lease {
    #[cfg(feature = "redis")]
    pub(super) fn new(held: impl Send + Sync + 'static) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
pub(crate) enum Turn {
    Ours(Lease),
    /// Somebody else's, with this token.
    Theirs(Vec<u8>),
    /// Theirs has just ended.
    Nobodys,
}
