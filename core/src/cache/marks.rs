//! What an invalidation changes, and how every answer is held against it.
//!
//! Each scope (all answers of a tenant, those of one of its models, those of its calls with one tag) has a mark: a random
//! token in the most shared tier, and another one in the folder on the disk. An answer is written down with a digest of
//! the marks of all its scopes, read before it was asked for; it counts while they are the same. To invalidate is to
//! change a mark: nothing has to be found, and what was under way meanwhile, or is written by a process that slept, never
//! counts again. One mark more for each tenant changes with every invalidation: by it a process knows that its memory
//! holds what it should not.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A scope of one tenant.
pub(crate) type Id = [u8; 16];
/// The value of a mark, or a digest of several.
pub(crate) type Token = [u8; 16];

/// What a mark is worth where there never was one, and a digest that nothing matches.
pub(super) const NONE: Token = [0; 16];

fn id(tenant: Option<&str>, kind: u8, words: &[&str]) -> Id {
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 cache scope v1");
    hasher.update(&[kind, u8::from(tenant.is_some())]);
    for word in std::iter::once(tenant.unwrap_or_default()).chain(words.iter().copied()) {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    first_half(hasher)
}

fn first_half(hasher: blake3::Hasher) -> [u8; 16] {
    let mut half = [0; 16];
    hasher.finalize_xof().fill(&mut half);
    half
}

/// Changes with every invalidation of the tenant's.
pub(crate) fn any(tenant: Option<&str>) -> Id {
    id(tenant, 0, &[])
}

/// Everything of the tenant's.
pub(crate) fn all(tenant: Option<&str>) -> Id {
    id(tenant, 1, &[])
}

/// What a model, by its whole name, has answered.
pub(crate) fn model(tenant: Option<&str>, model: &str) -> Id {
    id(tenant, 2, &[model])
}

/// What was kept for calls with a tag.
pub(crate) fn tag(tenant: Option<&str>, name: &str, value: &str) -> Id {
    id(tenant, 3, &[name, value])
}

/// The scopes of a call's tags; `None` where it has none.
pub(crate) fn tags(tenant: Option<&str>, tags: &BTreeMap<String, String>) -> Option<Arc<[Id]>> {
    (!tags.is_empty()).then(|| {
        tags.iter()
            .map(|(name, value)| tag(tenant, name, value))
            .collect()
    })
}

/// The scopes of a call.
#[derive(Clone, Debug)]
pub(crate) struct Scopes {
    pub(crate) any: Id,
    pub(crate) all: Id,
    pub(crate) model: Id,
    pub(crate) tags: Option<Arc<[Id]>>,
}

impl Scopes {
    pub(crate) fn new(
        tenant: Option<&str>,
        of_model: &str,
        of_tags: &BTreeMap<String, String>,
    ) -> Self {
        Self {
            any: any(tenant),
            all: all(tenant),
            model: model(tenant, of_model),
            tags: tags(tenant, of_tags),
        }
    }

    /// Those an answer kept with these tags is held against.
    pub(crate) fn of(&self, tags: Option<&Arc<[Id]>>) -> Vec<Id> {
        let tags = tags.map(|tags| &tags[..]).unwrap_or_default();
        [&[self.all, self.model], tags].concat()
    }

    /// All that a look asks for.
    #[cfg(feature = "redis")]
    pub(super) fn asked(&self) -> Vec<Id> {
        [&[self.any], &self.of(self.tags.as_ref())[..]].concat()
    }
}

/// One token for all marks of an answer.
pub(super) fn digest<'a>(marks: impl IntoIterator<Item = &'a Token>) -> Token {
    let mut hasher = blake3::Hasher::new_derive_key("ossai 2026 cache marks v1");
    for mark in marks {
        hasher.update(mark);
    }
    first_half(hasher)
}

/// A new mark.
pub(super) fn fresh() -> Option<Token> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut token = NONE;
    SystemRandom::new().fill(&mut token).ok()?;
    Some(token)
}

/// What the marks were before an answer was asked for. Where a tier could not say, nothing is written there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(super) redis: Option<Token>,
    pub(super) disk: Option<Token>,
    /// The tenant's mark that changes every time, in the most shared tier.
    pub(crate) any: Option<Token>,
}

/// What stands before an answer in a store: `number of tags (2) · tags (16 each) · digest in Redis (16) · on disk (16)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) tags: Option<Arc<[Id]>>,
    pub(super) redis: Token,
    pub(super) disk: Token,
}

impl Label {
    pub(super) fn new(tags: Option<Arc<[Id]>>, seen: &Seen) -> Self {
        Self {
            tags,
            redis: seen.redis.unwrap_or(NONE),
            disk: seen.disk.unwrap_or(NONE),
        }
    }

    pub(super) fn write(&self) -> Option<Vec<u8>> {
        let tags = self.tags.as_deref().unwrap_or_default();
        let mut out = u16::try_from(tags.len()).ok()?.to_le_bytes().to_vec();
        for piece in tags.iter().chain([&self.redis, &self.disk]) {
            out.extend_from_slice(piece);
        }
        Some(out)
    }

    /// Takes it off the front.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (count, mut rest) = bytes.split_first_chunk::<2>()?;
        let count = usize::from(u16::from_le_bytes(*count));
        let mut take = || {
            let (piece, after) = rest.split_first_chunk::<16>()?;
            rest = after;
            Some(*piece)
        };
        let tags = (0..count).map(|_| take()).collect::<Option<Arc<[Id]>>>()?;
        let (redis, disk) = (take()?, take()?);
        let tags = (count > 0).then_some(tags);
        Some((Self { tags, redis, disk }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_other_tenants_kinds_and_names_are_others() {
        let ids = [
            any(None),
            all(None),
            all(Some("")),
            all(Some("a")),
            any(Some("a")),
            model(Some("a"), "b"),
            model(Some("ab"), ""),
            tag(Some("a"), "b", "c"),
            tag(Some("a"), "bc", ""),
            tag(Some("a"), "", "bc"),
        ];
        for (i, id) in ids.iter().enumerate() {
            assert!(!ids[..i].contains(id), "{i}");
        }
    }

    #[test]
    fn a_label_comes_back_and_a_cut_one_is_none() {
        for tags in [None, Some(Arc::from([[1; 16], [2; 16]]))] {
            let label = Label {
                tags,
                redis: [3; 16],
                disk: [4; 16],
            };
            let mut bytes = label.write().unwrap_or_default();
            for cut in 0..bytes.len() {
                assert_eq!(Label::read(&bytes[..cut]), None, "cut at {cut}");
            }
            bytes.push(9);
            assert_eq!(Label::read(&bytes), Some((label, &[9][..])));
        }
    }
}
