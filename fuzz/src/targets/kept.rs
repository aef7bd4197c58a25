//! What a cache keeps outside the process, where others can reach it.

/// An envelope, and the answer inside one.
pub(super) fn kept(input: &[u8]) {
    ossai::fuzzing::kept(input);
}
