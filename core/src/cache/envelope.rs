//! What stands around an answer in a store that other processes, versions and hands can reach.
//!
//! Everything a reader must know before it trusts the bytes is in the head: which version wrote them, under which key,
//! from when until when they count. Head and body are sealed together, so that bytes which are cut, changed, swapped with
//! another key's or written by something else open to nothing. A [`Broken`] envelope is a miss, never an error.
//!
//! ```text
//! magic "OSSC" · version · flags · kind · 0 · key (32) · created, fresh until, kept until (ms since 1970, 8 each)
//! · cost in ms (4) · length of the plain body (4) · salt (16) · body · tag (16)
//! ```
//! Integers are little-endian. With a secret the body is encrypted with ChaCha20-Poly1305 (RFC 8439) and the head is its
//! associated data; each envelope has a key of its own, derived from secret, salt and cache key with keyed BLAKE3, so that
//! no nonce is ever used twice. Without one the tag is a BLAKE3 digest: it finds damage, not malice.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::call::key::Key;

const MAGIC: [u8; 4] = *b"OSSC";
/// Changes whenever head or body do; readers of another version miss.
const VERSION: u8 = 2;
/// Before the body.
pub(super) const HEAD: usize = 88;
const TAG: usize = 16;
/// What an envelope adds to its body.
pub(super) const OVERHEAD: usize = HEAD + TAG;

const ZSTD: u8 = 1;
const SEALED: u8 = 2;
/// The fastest of zstd's usual levels: answers are small, and the store waits for nobody.
const LEVEL: i32 = 1;

/// What kind of answer a key stands for; each has sizes and times of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Completion,
    Embedding,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Completion => 1,
            Self::Embedding => 2,
        }
    }

    /// Its name in paths and keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Completion => "completions",
            Self::Embedding => "embeddings",
        }
    }
}

/// When an answer was made and how long it counts, in milliseconds since 1970: stores are shared between clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) created: u64,
    /// From here on it is stale.
    pub(crate) fresh_until: u64,
    /// From here on it is nothing; never before `fresh_until`.
    pub(crate) kept_until: u64,
    /// What it took to make it.
    pub(crate) cost_ms: u32,
}

impl Times {
    /// How long it has left of being fresh at `now`. A clock that is behind the writer's adds nothing to its time.
    pub(crate) fn left(&self, now: u64) -> u64 {
        let whole = self.fresh_until.saturating_sub(self.created);
        self.fresh_until.saturating_sub(now).min(whole)
    }

    /// How long it is kept after it has become stale.
    pub(crate) fn stale(&self) -> u64 {
        self.kept_until.saturating_sub(self.fresh_until)
    }

    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.created)
    }

    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        now < self.fresh_until
    }
}

/// The bytes are no envelope of this key: cut, changed, foreign, of another version, secret or kind, or over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// How envelopes of one store are written and read.
pub(crate) struct Sealer {
    secret: Option<[u8; 32]>,
    /// Bodies from here on are compressed.
    compress_from: usize,
    /// Largest plain body.
    max_body: usize,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("encrypts", &self.secret.is_some())
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    pub(crate) fn new(secret: Option<[u8; 32]>, compress_from: usize, max_body: usize) -> Self {
        Self {
            secret,
            compress_from,
            max_body,
            random: SystemRandom::new(),
        }
    }

    /// Largest envelope it writes or reads.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_body.saturating_add(OVERHEAD)
    }

    /// Puts `body` into an envelope; `None` where it is too large.
    pub(crate) fn seal(
        &self,
        kind: Kind,
        key: &Key,
        times: &Times,
        body: &[u8],
    ) -> Option<Vec<u8>> {
        if body.len() > self.max_body {
            return None;
        }
        let packed = (body.len() >= self.compress_from)
            .then(|| zstd::bulk::compress(body, LEVEL).ok())
            .flatten()
            .filter(|packed| packed.len() < body.len());
        let mut flags = if packed.is_some() { ZSTD } else { 0 };
        if self.secret.is_some() {
            flags |= SEALED;
        }
        let inner = packed.as_deref().unwrap_or(body);
        let mut salt = [0; 16];
        self.random.fill(&mut salt).ok()?;
        let mut out = Vec::with_capacity(inner.len() + OVERHEAD);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, flags, kind.byte(), 0]);
        out.extend_from_slice(&key.0);
        for time in [times.created, times.fresh_until, times.kept_until] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        out.extend_from_slice(&times.cost_ms.to_le_bytes());
        out.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
        out.extend_from_slice(&salt);
        out.extend_from_slice(inner);
        let tag = match &self.secret {
            Some(secret) => {
                let (head, inner) = out.split_at_mut_checked(HEAD)?;
                let tag = cipher(secret, &salt, key)?
                    .seal_in_place_separate_tag(nonce(), Aad::from(&*head), inner)
                    .ok()?;
                tag.as_ref().try_into().ok()?
            }
            None => digest(&out),
        };
        out.extend_from_slice(&tag);
        Some(out)
    }

    /// Takes the body of `key` out of an envelope.
    ///
    /// # Errors
    /// [`Broken`] where it is not exactly that.
    pub(crate) fn open(
        &self,
        kind: Kind,
        key: &Key,
        mut bytes: Vec<u8>,
    ) -> Result<(Times, Vec<u8>), Broken> {
        if bytes.len() < OVERHEAD || bytes.len() > self.max_bytes() {
            return Err(Broken);
        }
        let end = bytes.len() - TAG;
        let (sealed, tag) = bytes.split_at_mut_checked(end).ok_or(Broken)?;
        let (head, inner) = sealed.split_at_mut_checked(HEAD).ok_or(Broken)?;
        let mut reader = Reader(head);
        let known = reader.take::<4>()? == MAGIC;
        let [version, flags, of, zero] = reader.take()?;
        let own = reader.take::<32>()? == key.0;
        let expected = if self.secret.is_some() { SEALED } else { 0 };
        if !known
            || !own
            || version != VERSION
            || of != kind.byte()
            || zero != 0
            || flags & !ZSTD != expected
        {
            return Err(Broken);
        }
        let times = Times {
            created: reader.u64()?,
            fresh_until: reader.u64()?,
            kept_until: reader.u64()?,
            cost_ms: reader.u32()?,
        };
        let plain = usize::try_from(reader.u32()?).map_err(|_| Broken)?;
        let salt = reader.take::<16>()?;
        match &self.secret {
            Some(secret) => {
                let tag: [u8; TAG] = (&*tag).try_into().map_err(|_| Broken)?;
                let opening = cipher(secret, &salt, key).ok_or(Broken)?;
                let (head, tag) = (Aad::from(&*head), tag.into());
                opening
                    .open_in_place_separate_tag(nonce(), head, tag, inner, 0..)
                    .map_err(|_| Broken)?;
            }
            None if digest_of(head, inner) == *tag => {}
            None => return Err(Broken),
        }
        if plain > self.max_body || times.kept_until < times.fresh_until {
            return Err(Broken);
        }
        let body = if flags & ZSTD == 0 {
            bytes.truncate(end);
            bytes.drain(..HEAD);
            bytes
        } else {
            // The length bounds what is unpacked; more than it, or less, is damage.
            zstd::bulk::decompress(bytes.get(HEAD..end).ok_or(Broken)?, plain)
                .map_err(|_| Broken)?
        };
        if body.len() != plain {
            return Err(Broken);
        }
        Ok((times, body))
    }
}

/// The cipher of one envelope.
fn cipher(secret: &[u8; 32], salt: &[u8; 16], key: &Key) -> Option<LessSafeKey> {
    let mut own = [0; 48];
    let (first, rest) = own.split_at_mut(16);
    first.copy_from_slice(salt);
    rest.copy_from_slice(&key.0);
    let key = blake3::keyed_hash(secret, &own);
    Some(LessSafeKey::new(
        UnboundKey::new(&CHACHA20_POLY1305, key.as_bytes()).ok()?,
    ))
}

/// Each key seals one envelope, so that one nonce is enough.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn digest(bytes: &[u8]) -> [u8; TAG] {
    digest_of(bytes, &[])
}

fn digest_of(head: &[u8], body: &[u8]) -> [u8; TAG] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head).update(body);
    let mut tag = [0; TAG];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

/// Takes fixed pieces off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (piece, rest) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = rest;
        Ok(*piece)
    }

    fn u64(&mut self) -> Result<u64, Broken> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Broken> {
        self.take().map(u32::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);
    const TIMES: Times = Times {
        created: 1_000,
        fresh_until: 5_000,
        kept_until: 6_000,
        cost_ms: 12,
    };

    fn sealers() -> [Sealer; 2] {
        [
            Sealer::new(None, 256, 1 << 16),
            Sealer::new(Some([9; 32]), 256, 1 << 16),
        ]
    }

    fn bodies() -> [Vec<u8>; 4] {
        let mixed =
            (0..2_000_u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..8].to_vec());
        [
            Vec::new(),
            b"short".to_vec(),
            vec![b'x'; 5_000],
            mixed.collect(),
        ]
    }

    #[test]
    fn what_is_sealed_opens_to_the_same() {
        for sealer in sealers() {
            for body in bodies() {
                let sealed = sealer.seal(Kind::Completion, &KEY, &TIMES, &body).unwrap();
                if body.len() == 5_000 {
                    assert!(sealed.len() < 300, "{} bytes", sealed.len());
                }
                let opened = sealer.open(Kind::Completion, &KEY, sealed);
                assert_eq!(opened, Ok((TIMES, body)));
            }
        }
    }

    // proves: 2.11.envelope 3.disk-corrupt
    #[test]
    fn any_flipped_bit_and_any_cut_is_a_miss() {
        for sealer in sealers() {
            for body in [b"a secret answer".to_vec(), vec![b'x'; 2_000]] {
                let sealed = sealer.seal(Kind::Completion, &KEY, &TIMES, &body).unwrap();
                for at in 0..sealed.len() {
                    for bit in 0..8 {
                        let mut broken = sealed.clone();
                        broken[at] ^= 1 << bit;
                        let opened = sealer.open(Kind::Completion, &KEY, broken);
                        assert_eq!(opened, Err(Broken), "byte {at} bit {bit}");
                    }
                    let cut = sealed[..at].to_vec();
                    assert_eq!(sealer.open(Kind::Completion, &KEY, cut), Err(Broken));
                }
                let mut longer = sealed.clone();
                longer.push(0);
                assert_eq!(sealer.open(Kind::Completion, &KEY, longer), Err(Broken));
            }
        }
    }

    // proves: 2.11.envelope
    #[test]
    fn another_key_kind_secret_or_way_of_sealing_is_a_miss() {
        let [plain, secret] = sealers();
        let other = Sealer::new(Some([8; 32]), 256, 1 << 16);
        let sealed = secret
            .seal(Kind::Completion, &KEY, &TIMES, b"answer")
            .unwrap();
        let open = |sealer: &Sealer, kind, key: &Key| sealer.open(kind, key, sealed.clone());
        assert!(open(&secret, Kind::Completion, &KEY).is_ok());
        assert_eq!(open(&secret, Kind::Embedding, &KEY), Err(Broken));
        assert_eq!(
            open(&secret, Kind::Completion, &KEY.as_stream()),
            Err(Broken)
        );
        assert_eq!(open(&other, Kind::Completion, &KEY), Err(Broken));
        assert_eq!(open(&plain, Kind::Completion, &KEY), Err(Broken));
        let bare = plain
            .seal(Kind::Completion, &KEY, &TIMES, b"answer")
            .unwrap();
        assert_eq!(secret.open(Kind::Completion, &KEY, bare), Err(Broken));
        assert!(!sealed.windows(6).any(|window| window == b"answer"));
    }

    #[test]
    fn a_body_over_the_bound_is_neither_written_nor_unpacked() {
        let small = Sealer::new(None, 256, 1_000);
        assert_eq!(
            small.seal(Kind::Completion, &KEY, &TIMES, &[0; 1_001]),
            None
        );
        let bomb = Sealer::new(None, 256, 1 << 20)
            .seal(Kind::Completion, &KEY, &TIMES, &vec![0; 1 << 20])
            .unwrap();
        assert!(bomb.len() < 1_000, "{} bytes", bomb.len());
        assert_eq!(small.open(Kind::Completion, &KEY, bomb), Err(Broken));
    }

    #[test]
    fn a_clock_that_is_behind_adds_no_time() {
        assert_eq!(TIMES.left(1_000), 4_000);
        assert_eq!(TIMES.left(0), 4_000);
        assert_eq!(TIMES.left(4_999), 1);
        assert_eq!(TIMES.left(9_000), 0);
        assert_eq!((TIMES.age(500), TIMES.age(3_000)), (0, 2_000));
    }
}
