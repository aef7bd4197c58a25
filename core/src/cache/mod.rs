//! Answers kept for the same question: in this process, in a store that processes share, and on this machine's disk.

pub mod config;
mod disk;
pub(crate) mod envelope;
pub(crate) mod marks;
pub(crate) mod memory;
pub(crate) mod missing;
pub(crate) mod policy;
mod record;
#[cfg(feature = "redis")]
mod redis;
pub(crate) mod semantic;
mod tier;
pub(crate) mod tiers;
pub(crate) mod trust;
pub(crate) mod turn;

pub(crate) use envelope::{Kind, Times};
pub(crate) use marks::{Label, Scopes, Seen};
pub(crate) use tiers::{Found, Keep, Tiers};
pub(crate) use trust::Trust;

#[cfg(feature = "redis")]
pub(crate) use self::redis::Follow;

/// Where in another process's stream somebody is: nowhere, without a tier that processes share.
#[cfg(not(feature = "redis"))]
#[derive(Debug)]
pub(crate) enum Follow {}

use std::sync::OnceLock;

use crate::call::key::Key;
use memory::Value;

/// An answer on its way to the slower tiers; its bytes are made once, when the first of them needs them.
pub(crate) struct Kept {
    kind: Kind,
    key: Key,
    value: Value,
    label: Label,
    body: OnceLock<Option<Vec<u8>>>,
}

impl Kept {
    fn new(kind: Kind, key: Key, value: Value, label: Label) -> Self {
        Self {
            kind,
            key,
            value,
            label,
            body: OnceLock::new(),
        }
    }

    fn body(&self) -> Option<&[u8]> {
        self.body
            .get_or_init(|| write(&self.label, &self.value))
            .as_deref()
    }
}

fn write(label: &Label, value: &Value) -> Option<Vec<u8>> {
    let mut out = label.write()?;
    out.extend_from_slice(&record::write(value)?);
    Some(out)
}

fn parse(kind: Kind, bytes: &[u8]) -> Option<(Label, Value)> {
    let (label, bytes) = Label::read(bytes)?;
    Some((label, parse_value(kind, bytes)?))
}

fn parse_value(kind: Kind, bytes: &[u8]) -> Option<Value> {
    match kind {
        Kind::Completion => record::read_completion(bytes),
        Kind::Embedding => record::read_embedding(bytes),
    }
}

/// For the fuzzers: see [`crate::fuzzing::kept`].
#[cfg(any(ossai_fuzz, test))]
pub(crate) fn fuzzed(bytes: &[u8]) {
    const KEY: Key = Key([7; 32]);
    let times = Times::default();
    for secret in [None, Some([9; 32])] {
        let sealer = envelope::Sealer::new(secret, 64, 1 << 20);
        let _ = sealer.open(Kind::Completion, &KEY, bytes.to_vec());
        let sealed = sealer.seal(Kind::Completion, &KEY, &times, bytes);
        let opened = sealed.map(|sealed| sealer.open(Kind::Completion, &KEY, sealed));
        assert_eq!(opened, Some(Ok((times, bytes.to_vec()))));
    }
    for kind in [Kind::Completion, Kind::Embedding] {
        if let Some((label, value)) = parse(kind, bytes) {
            let written = write(&label, &value).unwrap_or_default();
            let again = parse(kind, &written).map(|(label, value)| write(&label, &value));
            assert_eq!(again, Some(Some(written)));
        }
        if let Some(value) = parse_value(kind, bytes) {
            let written = record::write(&value).unwrap_or_default();
            let again = parse_value(kind, &written).map(|value| record::write(&value));
            assert_eq!(again, Some(Some(written)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::{Random, SeededRandom};

    // proves: 2.11.envelope
    #[test]
    fn whatever_bytes_a_store_holds_nothing_breaks() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/kept");
        let random = SeededRandom::new(7);
        let mut seeds = Vec::new();
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            seeds.extend(std::fs::read(file.path()));
        }
        assert!(seeds.len() >= 3, "{} seeds", seeds.len());
        for seed in &seeds {
            fuzzed(seed);
            for _ in 0..2_000 {
                let mut bytes = seed.clone();
                for _ in 0..=random.next_u64() % 4 {
                    let at = usize::try_from(random.next_u64()).unwrap_or(0) % bytes.len().max(1);
                    match random.next_u64() % 3 {
                        0 => bytes.truncate(at),
                        1 => bytes.insert(at, random.next_u64().to_le_bytes()[0]),
                        _ => {
                            if let Some(byte) = bytes.get_mut(at) {
                                *byte = random.next_u64().to_le_bytes()[0];
                            }
                        }
                    }
                }
                fuzzed(&bytes);
            }
        }
    }
}
