//! Which beginnings are marked, and for how long.
//!
//! Of a beginning that came within the time in `h` of `n` waits it is taken that it will in `h / (n + 1)`: what was never seen
//! to come again is not bet on, and a dearer bet wants more evidence. A mark then saves, for each token and call,
//! `p × (input − read) − (1 − p) × (write − input)`; it is set where that is positive, with the time for which it is largest.
//!
//! The vendor's rules (Anthropic, "Prompt caching"): at most four marks, the caller's own among them; a mark for an hour
//! stands before every one for five minutes; beginnings shorter than the model's least length are not kept.

use serde_json::json;

use super::BYTES_PER_TOKEN;
use super::prefix::{Boundary, Place, Prefixes, Ttl, is_system};
use super::reuse::Tally;
use crate::types::{CompletionRequest, Content, Extra, Message, Part, PromptCache, Tool};

/// Most marks of a request.
const MOST: usize = 4;

/// Rates in picodollars a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prices {
    pub(super) input: u64,
    pub(super) read: u64,
    pub(super) write: u64,
    pub(super) write_1h: Option<u64>,
}

impl Prices {
    /// What a mark of that time saves for each token in so many calls, one more than were waited for.
    fn saved(&self, tally: &Tally, ttl: Ttl) -> Option<i128> {
        let write = match ttl {
            Ttl::Five => self.write,
            Ttl::Hour => self.write_1h?,
        };
        let hits = i128::from(tally.within(ttl));
        let misses = i128::from(tally.waits) + 1 - hits;
        let (input, read, write) = (self.input.into(), i128::from(self.read), i128::from(write));
        let input: i128 = input;
        Some(hits * (input - read) - misses * (write - input)).filter(|saved| *saved > 0)
    }

    /// The time that saves most, if one saves anything, and how much.
    fn best(&self, tally: &Tally, wanted: PromptCache) -> Option<(Ttl, i128)> {
        let of = |ttl| {
            allowed(wanted, ttl)
                .then(|| Some((ttl, self.saved(tally, ttl)?)))
                .flatten()
        };
        match (of(Ttl::Five), of(Ttl::Hour)) {
            (Some(five), Some(hour)) => Some(if hour.1 > five.1 { hour } else { five }),
            (five, hour) => five.or(hour),
        }
    }
}

fn allowed(wanted: PromptCache, ttl: Ttl) -> bool {
    match wanted {
        PromptCache::Off => false,
        PromptCache::Auto => true,
        PromptCache::FiveMinutes => ttl == Ttl::Five,
        PromptCache::OneHour => ttl == Ttl::Hour,
    }
}

/// A mark to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) place: Place,
    pub(super) ttl: Ttl,
}

impl Chosen {
    /// The place as a path.
    pub(super) fn name(&self) -> String {
        match self.place {
            Place::Tools => "tools".into(),
            Place::System => "system".into(),
            Place::Message(at) => format!("messages[{at}]"),
        }
    }
}

/// The marks to set, the first one first.
pub(super) fn choose(
    prefixes: &Prefixes<'_>,
    tallies: &[Tally],
    prices: &Prices,
    least: u64,
    wanted: PromptCache,
) -> Vec<Chosen> {
    let all: Vec<(&Boundary, &Tally)> = prefixes.boundaries.iter().zip(tallies).collect();
    let mut bets: Vec<(usize, Ttl, i128)> = Vec::new();
    let mut inside = None;
    for (at, (boundary, tally)) in all.iter().enumerate() {
        let tokens = boundary.bytes / BYTES_PER_TOKEN;
        if !boundary.markable || boundary.own.is_some() || tokens < least {
            continue;
        }
        let Some((ttl, saved)) = prices.best(tally, wanted) else {
            continue;
        };
        // In a whole call, so that beginnings of different standing can be compared.
        let worth = saved.saturating_mul(i128::from(tokens)) / (i128::from(tally.waits) + 1);
        let bet = (at, ttl, worth);
        if matches!(boundary.place, Place::Message(_)) && at + 1 < all.len() {
            // Of the messages before the last the longest beginning that comes again: it holds the shorter ones.
            inside = Some(bet);
        } else {
            bets.push(bet);
        }
    }
    bets.extend(inside);
    bets.sort_by_key(|(_, _, worth)| std::cmp::Reverse(*worth));
    bets.truncate(MOST.saturating_sub(prefixes.own));

    let mut times: Vec<Option<Ttl>> = vec![None; all.len()];
    for (at, ttl, _) in bets {
        if let Some(time) = times.get_mut(at) {
            *time = Some(ttl);
        }
    }
    let positive = |at: usize, ttl: Ttl| {
        let tally = all.get(at).map(|(_, tally)| *tally);
        let pays = tally.and_then(|tally| prices.saved(tally, ttl)).is_some();
        (allowed(wanted, ttl) && pays).then_some(ttl)
    };
    // What stands before an hour's mark must last an hour …
    let mut hour = false;
    for (at, time) in times.iter_mut().enumerate().rev() {
        if hour && *time == Some(Ttl::Five) {
            *time = positive(at, Ttl::Hour);
        }
        let own = all.get(at).and_then(|(boundary, _)| boundary.own);
        hour |= *time == Some(Ttl::Hour) || own == Some(Ttl::Hour);
    }
    // … and what comes after one of the caller's for five minutes cannot.
    let mut five = false;
    for (at, time) in times.iter_mut().enumerate() {
        five |= all
            .get(at)
            .is_some_and(|(boundary, _)| boundary.own == Some(Ttl::Five));
        if five && *time == Some(Ttl::Hour) {
            *time = positive(at, Ttl::Five);
        }
    }
    let marked = all.iter().zip(times);
    marked
        .filter_map(|((boundary, _), time)| {
            let place = boundary.place;
            time.map(|ttl| Chosen { place, ttl })
        })
        .collect()
}

/// Sets a mark.
pub(super) fn put(request: &mut CompletionRequest, chosen: &Chosen) {
    let mark = match chosen.ttl {
        Ttl::Five => json!({"type": "ephemeral"}),
        Ttl::Hour => json!({"type": "ephemeral", "ttl": "1h"}),
    };
    let set = |extra: &mut Extra| {
        extra.insert("cache_control".into(), mark.clone());
    };
    match chosen.place {
        Place::Tools => match request.tools.last_mut() {
            Some(Tool::Function(function)) => set(&mut function.extra),
            Some(Tool::Provider(value)) => {
                if let Some(object) = value.as_object_mut() {
                    set(object);
                }
            }
            None => {}
        },
        Place::System => {
            join(&mut request.messages);
            let last = |m: &&mut Message| is_system(m) && !m.content.is_empty();
            if let Some(message) = request.messages.iter_mut().rev().find(last) {
                set(&mut message.extra);
            }
        }
        Place::Message(at) => {
            if let Some(message) = request.messages.get_mut(at) {
                set(&mut message.extra);
            }
        }
    }
}

/// Makes instructions that would go out as one text one text: a mark must not change what the model reads.
fn join(messages: &mut [Message]) {
    let text = |message: &Message| match &message.content {
        _ if message.extra.contains_key("cache_control") => None,
        Content::Text(text) => Some(text.clone()),
        Content::Parts(parts) => match parts.as_slice() {
            [Part::Text(text)] if text.extra.is_empty() => Some(text.text.clone()),
            _ => None,
        },
    };
    let of = |m: &&Message| is_system(m) && !m.content.is_empty();
    let texts: Option<Vec<String>> = messages.iter().filter(of).map(text).collect();
    let Some(texts) = texts.filter(|texts| texts.len() > 1) else {
        return;
    };
    let mut whole = Some(texts.join("\n\n"));
    for message in messages
        .iter_mut()
        .filter(|m| is_system(m) && !m.content.is_empty())
    {
        message.content = Content::Text(whole.take().unwrap_or_default());
    }
}
