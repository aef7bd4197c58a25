//! What stands in a row: an envelope sealed with its place and with the vector it is found by.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;

use super::super::{Fresh, Item, Wanted, cosine};
use super::{MOST_MS, Store, millis};
use crate::cache::envelope::{Kind, Times};
use crate::cache::memory::{Entry, Value};
use crate::cache::{parse_value, record};
use crate::call::key::Key;

/// Answers above this size are opened and sealed on a blocking thread.
const LARGE: usize = 64 << 10;

impl Store {
    /// A row as what is kept, and how near it is; `None` where it is not what was written.
    pub(super) async fn read(&self, wanted: &Wanted<'_>, row: &Row) -> Option<(f32, Item)> {
        let key = Key(row.try_get::<_, Vec<u8>>(1).ok()?.try_into().ok()?);
        let time = |at| u64::try_from(row.try_get::<_, i64>(at).ok()?.max(0)).ok();
        let (age, left) = (time(2)?, time(3)?);
        let answer: Vec<u8> = row.try_get(4).ok()?;
        let vector: Vec<f32> = row.try_get(5).ok()?;
        let similarity = cosine(wanted.vector, &vector)?;
        let place = place(wanted.group, &key, &vector);
        let sealer = Arc::clone(&self.sealer);
        let open = move |answer| {
            let (times, body) = sealer.open(Kind::Completion, &place, answer).ok()?;
            let (text, value) = unpacked(&body)?;
            Some((times, text, value))
        };
        let (times, text, value) = if answer.len() <= LARGE {
            open(answer)?
        } else {
            let opened = tokio::task::spawn_blocking(move || open(answer));
            opened.await.ok().flatten()?
        };
        // The dates in the row are not sealed; how long it is kept at all is.
        if age >= times.fresh_until {
            return None;
        }
        let item = Item {
            key,
            text,
            vector: vector.into(),
            entry: Entry::new(value, wanted.now, Duration::from_millis(left)),
            found_age: Some(Duration::from_millis(age)),
        };
        Some((similarity, item))
    }

    /// The envelope of what is to be kept; `None` where it is too large.
    pub(super) async fn sealed(&self, fresh: &Arc<Fresh>) -> Option<Vec<u8>> {
        let (sealer, kept) = (Arc::clone(&self.sealer), Arc::clone(fresh));
        let seal = move || {
            let ttl = millis(kept.ttl).min(MOST_MS);
            let times = Times {
                fresh_until: ttl,
                kept_until: ttl,
                ..Times::default()
            };
            let place = place(&kept.group, &kept.key, &kept.vector);
            let body = packed(&kept.text, &kept.value)?;
            sealer.seal(Kind::Completion, &place, &times, &body)
        };
        if fresh.value.bytes() <= LARGE {
            seal()
        } else {
            tokio::task::spawn_blocking(seal).await.ok().flatten()
        }
    }
}

/// What an envelope is sealed with: where it stands, and by what it is found.
pub(super) fn place(group: &Key, key: &Key, vector: &[f32]) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 semantic row v1");
    hasher.update(&group.0);
    hasher.update(&key.0);
    for number in vector {
        hasher.update(&number.to_le_bytes());
    }
    Key(*hasher.finalize().as_bytes())
}

/// `length of the text (4) · text · answer`.
fn packed(text: &str, value: &Value) -> Option<Vec<u8>> {
    let mut out = u32::try_from(text.len()).ok()?.to_le_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(&record::write(value)?);
    Some(out)
}

pub(super) fn unpacked(bytes: &[u8]) -> Option<(Box<str>, Value)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    let text = std::str::from_utf8(text).ok()?;
    Some((text.into(), parse_value(Kind::Completion, rest)?))
}
