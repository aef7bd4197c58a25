//! The published encodings, and encoding, decoding and counting with them.

use std::sync::OnceLock;
use std::{cell::RefCell, ops::ControlFlow, ops::Range};

use super::counts::{TextCounts, WordCounts};
use super::merge::{Scratch, merge};
use super::scan::{CL100K, GPT2, O200K, Pattern, Scan};
use super::special;
use super::vocab::Vocab;
use super::word::Word;

static O200K_FILE: &[u8] = include_bytes!("../../data/o200k_base.vocab");
static CL100K_FILE: &[u8] = include_bytes!("../../data/cl100k_base.vocab");
/// p50k_base is r50k_base with some runs of spaces after it.
static P50K_FILE: &[u8] = include_bytes!("../../data/p50k_base.vocab");
const R50K_IDS: usize = 50_256;

static O200K_VOCAB: OnceLock<Vocab> = OnceLock::new();
static CL100K_VOCAB: OnceLock<Vocab> = OnceLock::new();
static P50K_VOCAB: OnceLock<Vocab> = OnceLock::new();
static R50K_VOCAB: OnceLock<Vocab> = OnceLock::new();

static ENCODINGS: [Encoding; 7] = [
    Encoding::new("o200k_base", Pattern::O200k, 0, special::O200K_BASE),
    Encoding::new("o200k_harmony", Pattern::O200k, 0, special::O200K_HARMONY),
    Encoding::new("cl100k_base", Pattern::Cl100k, 1, special::CL100K_BASE),
    Encoding::new("p50k_base", Pattern::Gpt2, 2, special::ENDOFTEXT),
    Encoding::new("p50k_edit", Pattern::Gpt2, 2, special::P50K_EDIT),
    Encoding::new("r50k_base", Pattern::Gpt2, 3, special::ENDOFTEXT),
    Encoding::new("gpt2", Pattern::Gpt2, 3, special::ENDOFTEXT),
];

/// A published encoding. Exact: ids and counts are those of tiktoken.
///
/// Works offline from tables in the binary, which are expanded at first use and shared by all threads and by encodings
/// with the same vocabulary. Text is any `&str`; the names of special tokens in it are ordinary text except in
/// [`encode_with_special`](Self::encode_with_special). Time is linear in the text on every input.
#[derive(Debug)]
pub struct Encoding {
    name: &'static str,
    pattern: Pattern,
    vocab: usize,
    special: &'static [(&'static str, u32)],
}

/// An id that is neither a token nor a special token of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownToken {
    /// The id.
    pub id: u32,
    /// Its place in the ids given.
    pub index: usize,
}

impl std::fmt::Display for UnknownToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ids[{}]: {} is not a token of this encoding",
            self.index, self.id
        )
    }
}

impl std::error::Error for UnknownToken {}

/// What a thread keeps between calls: merge buffers, and the counts of words (by vocabulary) and of whole texts.
#[derive(Default)]
struct Local {
    scratch: Scratch,
    counts: [WordCounts; 4],
    texts: TextCounts,
}

thread_local! {
    static LOCAL: RefCell<Local> = RefCell::default();
}

impl Encoding {
    const fn new(
        name: &'static str,
        pattern: Pattern,
        vocab: usize,
        special: &'static [(&'static str, u32)],
    ) -> Self {
        Self {
            name,
            pattern,
            vocab,
            special,
        }
    }

    /// The encoding of a name: o200k_base, o200k_harmony, cl100k_base, p50k_base, p50k_edit, r50k_base or gpt2.
    pub fn get(name: &str) -> Option<&'static Encoding> {
        ENCODINGS.iter().find(|e| e.name == name)
    }

    /// Every encoding there is.
    pub fn all() -> &'static [Encoding] {
        &ENCODINGS
    }

    /// The published name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Expands the vocabulary now, instead of at first use.
    pub fn load(&self) {
        self.vocab();
    }

    pub(super) fn vocab(&self) -> &'static Vocab {
        match self.vocab {
            0 => O200K_VOCAB.get_or_init(|| Vocab::load(O200K_FILE, usize::MAX)),
            1 => CL100K_VOCAB.get_or_init(|| Vocab::load(CL100K_FILE, usize::MAX)),
            2 => P50K_VOCAB.get_or_init(|| Vocab::load(P50K_FILE, usize::MAX)),
            _ => R50K_VOCAB.get_or_init(|| Vocab::load(P50K_FILE, R50K_IDS)),
        }
    }

    /// How many tokens the text is.
    ///
    /// A thread remembers the counts of some thousand texts by a 128-bit keyed hash: what is sent again, as the earlier
    /// messages of a chat are, is not counted again.
    pub fn count(&self, text: &str) -> usize {
        if text.len() < TextCounts::SHORTEST {
            return self.count_anew(text);
        }
        let key = TextCounts::key(text.as_bytes(), self.pattern as u64 * 8 + self.vocab as u64);
        let known = LOCAL.try_with(|local| local.try_borrow().ok()?.texts.get(key));
        if let Ok(Some(count)) = known {
            return count;
        }
        let count = self.count_anew(text);
        let _ = LOCAL.try_with(|local| {
            if let Ok(mut local) = local.try_borrow_mut() {
                local.texts.put(key, count);
            }
        });
        count
    }

    fn count_anew(&self, text: &str) -> usize {
        let mut total = 0;
        self.walk::<false>(text, |_, count| {
            total += count;
            ControlFlow::Continue(())
        });
        total
    }

    /// Calls `visit` with each piece of the text and its count, until it breaks. With `SETTLED`, stops before the first
    /// piece that text added at the end could change.
    #[inline]
    pub(super) fn walk<const SETTLED: bool>(
        &self,
        text: &str,
        visit: impl FnMut(Range<usize>, usize) -> ControlFlow<()>,
    ) {
        let run = |local: &mut Local, visit| match self.pattern {
            Pattern::O200k => self.walk_as::<O200K, SETTLED>(text, local, visit),
            Pattern::Cl100k => self.walk_as::<CL100K, SETTLED>(text, local, visit),
            Pattern::Gpt2 => self.walk_as::<GPT2, SETTLED>(text, local, visit),
        };
        let mut visit = Some(visit);
        // A thread that is ending, or a `visit` that counts, has no thread-local state: do without.
        let done = LOCAL.try_with(|local| {
            if let (Ok(mut local), Some(visit)) = (local.try_borrow_mut(), visit.take()) {
                run(&mut local, visit);
            }
        });
        if let (_, Some(visit)) = (done, visit) {
            run(&mut Local::default(), visit);
        }
    }

    fn walk_as<const PATTERN: u8, const SETTLED: bool>(
        &self,
        text: &str,
        local: &mut Local,
        mut visit: impl FnMut(Range<usize>, usize) -> ControlFlow<()>,
    ) {
        let (vocab, scan, bytes) = (self.vocab(), Scan::new(text), text.as_bytes());
        let Local {
            scratch, counts, ..
        } = local;
        let Some(counts) = counts.get_mut(self.vocab) else {
            return;
        };
        let mut at = 0;
        while at < bytes.len() {
            let end = scan.piece_end::<PATTERN>(at);
            if SETTLED && scan.met_end() {
                return;
            }
            let count = if end - at == 1 {
                1
            } else if end - at <= Word::MAX {
                let word = Word::new(bytes, at, end);
                let hash = word.hash();
                counts.short.get_or(word, hash, || {
                    if vocab.has_word(word, hash) {
                        return 1;
                    }
                    merged_count(vocab, bytes, at..end, scratch)
                })
            } else {
                long_count(vocab, bytes, at..end, counts, scratch)
            };
            if visit(at..end, count).is_break() {
                return;
            }
            at = end;
        }
    }

    /// The token ids of the text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4);
        self.encode_into(text, &mut ids);
        ids
    }

    fn encode_into(&self, text: &str, ids: &mut Vec<u32>) {
        let mut scratch = Scratch::default();
        let scan = Scan::new(text);
        let mut at = 0;
        while at < text.len() {
            let end = match self.pattern {
                Pattern::O200k => scan.piece_end::<O200K>(at),
                Pattern::Cl100k => scan.piece_end::<CL100K>(at),
                Pattern::Gpt2 => scan.piece_end::<GPT2>(at),
            };
            self.encode_piece(text.as_bytes(), at..end, &mut scratch, ids);
            at = end;
        }
    }

    /// Appends the token ids of one piece.
    pub(super) fn encode_piece(
        &self,
        bytes: &[u8],
        piece: Range<usize>,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        let vocab = self.vocab();
        let whole = if piece.len() <= Word::MAX {
            let word = Word::new(bytes, piece.start, piece.end);
            vocab.word(word)
        } else {
            vocab.long(bytes.get(piece.clone()).unwrap_or(&[]))
        };
        match whole {
            Some(id) => ids.push(id),
            None => {
                merge(vocab, bytes.get(piece).unwrap_or(&[]), scratch);
                ids.extend_from_slice(&scratch.parts);
            }
        }
    }

    /// The token ids of the text, where the names of special tokens that `allowed` accepts become their ids.
    ///
    /// All other text, names of special tokens that are not accepted included, is ordinary. Only pass text here that the
    /// program itself composed: a special token in a user's text changes the structure of the prompt.
    pub fn encode_with_special(&self, text: &str, allowed: impl Fn(&str) -> bool) -> Vec<u32> {
        let mut ids = Vec::new();
        let (mut done, mut from) = (0, 0);
        while let Some(found) = text.get(from..).and_then(|rest| rest.find("<|")) {
            let at = from + found;
            let rest = text.get(at..).unwrap_or("");
            let special = self
                .special
                .iter()
                .find(|(name, _)| rest.starts_with(name) && allowed(name));
            from = at + 2;
            if let Some((name, id)) = special {
                self.encode_into(text.get(done..at).unwrap_or(""), &mut ids);
                ids.push(*id);
                (done, from) = (at + name.len(), at + name.len());
            }
        }
        self.encode_into(text.get(done..).unwrap_or(""), &mut ids);
        ids
    }

    /// The special tokens of the encoding: names and ids.
    pub fn special_tokens(&self) -> &'static [(&'static str, u32)] {
        self.special
    }

    /// The bytes that the ids stand for; not always valid UTF-8, as a token can end within a character.
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<u8>, UnknownToken> {
        let vocab = self.vocab();
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for (index, &id) in ids.iter().enumerate() {
            let special = || {
                self.special
                    .iter()
                    .find(|(_, s)| *s == id)
                    .map(|(name, _)| name.as_bytes())
            };
            let token = vocab.token(id).or_else(special);
            bytes.extend_from_slice(token.ok_or(UnknownToken { id, index })?);
        }
        Ok(bytes)
    }
}

#[inline(never)]
fn merged_count(vocab: &Vocab, bytes: &[u8], piece: Range<usize>, scratch: &mut Scratch) -> usize {
    merge(vocab, bytes.get(piece).unwrap_or(&[]), scratch);
    scratch.parts.len()
}

/// The count of a piece of more than 15 bytes.
#[inline(never)]
fn long_count(
    vocab: &Vocab,
    bytes: &[u8],
    piece: Range<usize>,
    counts: &mut WordCounts,
    scratch: &mut Scratch,
) -> usize {
    let length = piece.len();
    let count = |scratch: &mut Scratch| {
        let whole = vocab.long(bytes.get(piece.clone()).unwrap_or(&[]));
        match whole {
            Some(_) => 1,
            None => merged_count(vocab, bytes, piece.clone(), scratch),
        }
    };
    if length > 2 * Word::MAX {
        return count(scratch);
    }
    let middle = piece.start + Word::MAX;
    let key = [
        Word::new(bytes, piece.start, middle),
        Word::new(bytes, middle, piece.end),
    ];
    let hash = key[0].hash() ^ key[1].hash().rotate_left(32);
    counts.long.get_or(key, hash, || count(scratch))
}
