//! Ranks the units of the passages against the question and picks the few that answer it.
//!
//! BM25 (Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) over units, with document
//! frequencies from the prompt's own passages; words of the heading or question a sentence stands under count for it in
//! part; early passages and sentences come a little forward, as retrieval puts the best first; the choice trades
//! relevance against repetition (maximal marginal relevance, Carbonell & Goldstein, SIGIR 1998).
//!
//! Two passes over the text, memory in proportion to the passages' number and not to their length. All arithmetic is
//! IEEE addition, multiplication and division in a fixed order, so that every platform picks the same sentences.

use std::collections::{HashMap, HashSet};

use super::cue::Cue;
use super::prompt::Passage;
use super::units::{Kind, Unit, each_unit};
use super::words::each_word;

/// Most units looked at closely.
const CANDIDATES: usize = 48;
/// Most units quoted.
const QUOTES: usize = 4;
/// Most bytes quoted.
const BUDGET: usize = 1400;
/// Most words of a question; a bit each in a mask.
const WORDS: usize = 64;
/// Bytes read for the commonest words when nothing is asked.
const SAMPLE: usize = 1 << 20;
/// A quote is worth at least this part of the best one; half of it where nothing is asked.
const FLOOR: f64 = 0.5;
/// Below this part of the question's weight the best unit is a guess.
const GUESS: f64 = 0.4;

/// A unit to quote.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    pub(super) passage: usize,
    pub(super) unit: Unit,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Picks {
    /// Grouped by passage, the best unit's passage first; in the order of the text within one.
    pub(super) picks: Vec<Pick>,
    /// The best unit has little of the question in it.
    pub(super) guess: bool,
}

struct Candidate {
    passage: usize,
    order: u32,
    unit: Unit,
    score: f64,
    covered: f64,
}

/// Picks the units that answer the question, or that stand for the text where nothing is asked.
pub(super) fn pick(question: &str, passages: &[Passage<'_>]) -> Picks {
    let mut words = question_words(question);
    let asked = !words.is_empty();
    if !asked {
        words = commonest(passages);
    }
    let stats = Stats::of(passages, &words);
    let mut best = candidates(question, passages, &words, &stats);
    let covered = |kind: Option<Kind>, best: &[Candidate]| {
        let of_kind = best
            .iter()
            .filter(|c| kind.is_none_or(|kind| c.unit.kind == kind));
        of_kind.map(|c| c.covered).fold(0.0, f64::max)
    };
    // A heading is quoted only where nothing else is found, code only where prose does not answer.
    if best.iter().any(|c| c.unit.kind != Kind::Heading) {
        best.retain(|c| c.unit.kind != Kind::Heading);
    }
    let prose = covered(Some(Kind::Prose), &best);
    if prose >= 0.5 || prose >= covered(None, &best) {
        best.retain(|c| c.unit.kind != Kind::Code);
    }
    let guess = asked && covered(None, &best) < GUESS;
    Picks {
        picks: choose(best, passages, if asked { FLOOR } else { FLOOR / 2.0 }),
        guess,
    }
}

/// Words of the question with their bit.
fn question_words(question: &str) -> HashMap<String, u32> {
    /// What is wanted rather than what it is about.
    const ASKING: &[&str] = &[
        "summariz",
        "summaris",
        "summary",
        "overview",
        "tldr",
        "explain",
        "describ",
        "tell",
        "follow",
        "abov",
        "below",
        "text",
        "passag",
        "answer",
        "question",
        "document",
        "give",
        "differenc",
        "between",
        "happen",
        "mean",
        "list",
        "say",
    ];
    let mut words = HashMap::new();
    each_word(question, |word| {
        if words.len() < WORDS && !ASKING.contains(&word) && !words.contains_key(word) {
            words.insert(word.to_owned(), words.len() as u32);
        }
    });
    words
}

/// The commonest words of the passages: what stands in for a question where nothing is asked.
fn commonest(passages: &[Passage<'_>]) -> HashMap<String, u32> {
    let mut counts: HashMap<String, u32> = HashMap::new();
    let mut left = SAMPLE;
    for passage in passages {
        let text = passage
            .text
            .get(..super::units::floor(passage.text, left))
            .unwrap_or("");
        each_word(text, |word| {
            if let Some(count) = counts.get_mut(word) {
                *count += 1;
            } else {
                counts.insert(word.to_owned(), 1);
            }
        });
        left = left.saturating_sub(passage.text.len());
        if left == 0 {
            break;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
        .into_iter()
        .take(12)
        .zip(0..)
        .map(|((word, _), bit)| (word, bit))
        .collect()
}

/// What the question's words weigh in these passages.
struct Stats {
    /// Inverse document frequency by bit.
    idf: Vec<f64>,
    total_idf: f64,
    mean_len: f64,
    /// Bits of the words in each passage, its source included.
    masks: Vec<u64>,
}

impl Stats {
    fn of(passages: &[Passage<'_>], words: &HashMap<String, u32>) -> Self {
        let mut frequency = vec![0_u32; words.len()];
        let (mut units, mut total_len) = (0_u32, 0_u64);
        let mut masks = Vec::with_capacity(passages.len());
        for passage in passages {
            let mut mask = 0;
            each_word(&passage.source(), |word| mask |= bit(words, word));
            each_unit(passage.text, passage.syntax(), &mut |unit| {
                let mut found = 0_u64;
                each_word(passage.text.get(unit.range).unwrap_or(""), |word| {
                    total_len += 1;
                    found |= bit(words, word);
                });
                units = units.saturating_add(1);
                mask |= found;
                for (i, count) in frequency.iter_mut().enumerate() {
                    *count = count.saturating_add((found >> i & 1) as u32);
                }
            });
            masks.push(mask);
        }
        let n = f64::from(units);
        // A background of other text, so that a word's weight means something in a prompt of two sentences.
        let all = n + 20.0;
        let idf: Vec<f64> = frequency
            .iter()
            .map(|&f| log2(1.0 + (all - f64::from(f) + 0.5) / (f64::from(f) + 0.5)))
            .collect();
        #[allow(clippy::cast_precision_loss)]
        let mean_len = (total_len as f64 / n.max(1.0)).max(1.0);
        Self {
            total_idf: idf.iter().sum::<f64>().max(f64::MIN_POSITIVE),
            idf,
            mean_len,
            masks,
        }
    }

    fn weight(&self, mask: u64) -> f64 {
        self.idf
            .iter()
            .enumerate()
            .filter(|(i, _)| mask >> i & 1 == 1)
            .map(|(_, idf)| idf)
            .sum()
    }
}

fn bit(words: &HashMap<String, u32>, word: &str) -> u64 {
    words.get(word).map_or(0, |&bit| 1 << bit)
}

/// log2 of x >= 1 to about 1 %, from the parts of the float: `f64::log2` may differ in its last bit between platforms.
fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    #[allow(clippy::cast_precision_loss)]
    let exponent = (bits >> 52) as f64 - 1023.0;
    let mantissa = f64::from_bits(bits & !(0x7ff << 52) | 1023 << 52);
    exponent + (mantissa - 1.0) * (4.0 - mantissa) / 2.0 * 0.996 + (mantissa - 1.0) * 0.004
}

/// Scores every unit and keeps the best ones, best first.
fn candidates(
    question: &str,
    passages: &[Passage<'_>],
    words: &HashMap<String, u32>,
    stats: &Stats,
) -> Vec<Candidate> {
    let cue = Cue::of(question, words);
    let mut best: Vec<Candidate> = Vec::new();
    let mut counts = vec![0_u32; words.len()];
    for (passage, (found, &mask)) in passages.iter().zip(&stats.masks).enumerate() {
        if mask == 0 {
            continue;
        }
        let mut order = 0;
        let part = stats.weight(mask) / stats.total_idf;
        #[allow(clippy::cast_precision_loss)]
        let early = 1.0 + 0.2 / (1.0 + passage as f64);
        each_unit(found.text, found.syntax(), &mut |unit| {
            order += 1;
            let text = found.text.get(unit.range.clone()).unwrap_or("");
            counts.fill(0);
            let (mut own, mut len) = (0_u64, 0_u32);
            each_word(text, |word| {
                len += 1;
                if let Some(&bit) = words.get(word) {
                    own |= 1 << bit;
                    if let Some(count) = counts.get_mut(bit as usize) {
                        *count += 1;
                    }
                }
            });
            let mut under = 0_u64;
            each_word(found.text.get(unit.under.clone()).unwrap_or(""), |word| {
                under |= bit(words, word)
            });
            let context = 0.5 * stats.weight(under & !own);
            if own == 0 && context < 0.2 * stats.total_idf || len == 0 {
                return;
            }
            let norm = 0.6 * (0.6 + 0.4 * f64::from(len) / stats.mean_len);
            let bm25: f64 = stats
                .idf
                .iter()
                .zip(&counts)
                .map(|(idf, &count)| idf * f64::from(count) * 1.6 / (f64::from(count) + norm))
                .sum();
            let kind = match unit.kind {
                Kind::Prose if text.ends_with(['?', '？', '؟']) => 0.3,
                Kind::Prose => 1.0,
                Kind::Row => 0.9,
                Kind::Code => 0.6,
                Kind::Heading => 0.4,
            };
            let covered = (stats.weight(own) + context) / stats.total_idf;
            let mut score = (bm25 + context)
                * (0.4 + 0.6 * covered)
                * kind
                * early
                * (1.0 + 0.1 / f64::from(order))
                * (0.85 + 0.3 * part)
                * if len < 3 { 0.6 } else { 1.0 };
            let beaten = |score| {
                best.len() == CANDIDATES && best.last().is_some_and(|last| score <= last.score)
            };
            if beaten(score * Cue::MOST) {
                return;
            }
            score *= cue.weight(text);
            if beaten(score) {
                return;
            }
            let at = best.partition_point(|other| other.score >= score);
            best.insert(
                at,
                Candidate {
                    passage,
                    order,
                    unit,
                    score,
                    covered,
                },
            );
            best.truncate(CANDIDATES);
        });
    }
    best
}

/// Takes the best candidates that do not repeat each other, within the budget.
fn choose(mut left: Vec<Candidate>, passages: &[Passage<'_>], floor: f64) -> Vec<Pick> {
    let floor = left.first().map_or(0.0, |c| c.score * floor);
    let mut chosen: Vec<(Candidate, HashSet<String>)> = Vec::new();
    let mut sets: Vec<HashSet<String>> = left.iter().map(|c| words_of(c, passages)).collect();
    let mut budget = BUDGET;
    while chosen.len() < QUOTES {
        let mut top: Option<(usize, f64)> = None;
        for (i, (candidate, words)) in left.iter().zip(&sets).enumerate() {
            let alike = chosen
                .iter()
                .map(|(_, other)| overlap(words, other))
                .fold(0.0, f64::max);
            let worth = candidate.score * (1.0 - alike);
            if worth >= floor
                && candidate.unit.range.len() <= budget
                && top.is_none_or(|(_, w)| worth > w)
            {
                top = Some((i, worth));
            }
        }
        let Some((i, _)) = top else { break };
        let (candidate, words) = (left.remove(i), sets.remove(i));
        budget = budget.saturating_sub(candidate.unit.range.len());
        chosen.push((candidate, words));
    }
    let mut ranks: Vec<usize> = Vec::new();
    for (candidate, _) in &chosen {
        if !ranks.contains(&candidate.passage) {
            ranks.push(candidate.passage);
        }
    }
    chosen.sort_by_key(|(c, _)| (ranks.iter().position(|&p| p == c.passage), c.order));
    chosen
        .into_iter()
        .map(|(c, _)| Pick {
            passage: c.passage,
            unit: c.unit,
        })
        .collect()
}

fn words_of(candidate: &Candidate, passages: &[Passage<'_>]) -> HashSet<String> {
    let text = passages
        .get(candidate.passage)
        .and_then(|p| p.text.get(candidate.unit.range.clone()));
    let mut words = HashSet::new();
    each_word(text.unwrap_or(""), |word| {
        words.insert(word.to_owned());
    });
    words
}

/// Jaccard similarity: the words both have, of all the words they have.
#[allow(clippy::cast_precision_loss)]
fn overlap(a: &HashSet<String>, b: &HashSet<String>) -> f64 {
    let common = a.intersection(b).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}
