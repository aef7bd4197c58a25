//! The price of a call from its usage.
//!
//! Tokens fall into disjoint buckets, each bucket is multiplied by its own rate in picodollars, and the sum is rounded
//! up to nanodollars once. Rules are those of the table's `notes`; where a vendor has no rate of its own for a bucket it
//! is billed at the next broader one, as the table's price source does it:
//!
//! | bucket | rate, first one known |
//! |---|---|
//! | fresh text | `input` |
//! | fresh audio, fresh images | `audio_in`, `image_in`, else `input` |
//! | cache reads | `cache_read`, else `input` (no discount is known) |
//! | cached audio | `audio_cache_read`, else `cache_read`, `audio_in`, `input` |
//! | cache writes | `cache_write`, else `input` |
//! | cache writes of 1 h, 12 h | `cache_write_1h`, `cache_write_12h`, else `cache_write`, `input` |
//! | output text | `output` |
//! | reasoning, citations, audio output | `reasoning`, `citation`, `audio_out`, else `output` |
//! | web searches | `web_search_per_1k`; part of the fee where there is a `request_per_1k` |
//!
//! A bucket that is not empty and finds no rate makes the whole cost unknown. Vendors' free quotas (Gemini's searches)
//! are an account's, not a call's, and are not deducted.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Date, Found, Match, Meter, ModelEntry, ModelKind, PriceEntry, Rates};
use crate::types::{Cost, CostStatus, NanoUsd, Usage};

/// Names vendors have for no particular processing.
const STANDARD: &[&str] = &[
    "",
    "auto",
    "default",
    "standard",
    "standard_only",
    "on_demand",
];

/// What decides a call's price beside its usage: what was asked for. What the vendor's usage says it did goes before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriceContext<'a> {
    /// When the request was sent, in seconds since 1970.
    pub at: i64,
    /// The processing tier asked for (`flex`, `priority`, `fast` …).
    pub service_tier: Option<&'a str>,
    /// Whether it was sent through the vendor's batch API.
    pub batch: bool,
    /// The speed mode asked for (Anthropic's `fast`).
    pub speed: Option<&'a str>,
    /// The region that processes it: OpenAI's regional endpoint (`us`, `eu`), Anthropic's `inference_geo`.
    pub region: Option<&'a str>,
}

impl PriceContext<'_> {
    /// A standard call at this time.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        let seconds = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds)
            }
        };
        Self {
            at: seconds,
            ..Self::default()
        }
    }
}

/// What a call with this usage cost.
///
/// The parts are picodollars and sum to the whole, which is the sum rounded up to a nanodollar; each part and the whole
/// stop at the largest number they can hold (18 million dollars a part). A regional factor applies to the token parts,
/// not to charges by the piece (Anthropic, "Data residency pricing"; OpenAI, "Regional processing"); rates under it are
/// rounded up to a whole picodollar, which no price of today needs.
///
/// The status is `estimated` where the usage is, where the name was only derived ([`Match::Derived`]) and where the
/// vendor's tier, speed or batch has no price in the entry and the standard one stands in; `unknown` where no price is
/// known. Usage whose cached parts exceed its input is billed by its parts.
#[must_use]
pub fn cost(found: &Found, usage: &Usage, context: &PriceContext<'_>) -> Cost {
    let entry = &*found.entry;
    let applied = apply(entry, &effective(context, usage), usage.input_tokens);
    let mut cost = Cost {
        price_version: version(found, applied.from),
        ..Cost::default()
    };
    let Some(bill) = Bill::of(usage, &applied.rates, entry.kind) else {
        return cost;
    };

    let exact =
        !usage.estimated && !applied.stand_in && !bill.guessed && found.matched == Match::Listed;
    cost.status = if exact {
        CostStatus::Exact
    } else {
        CostStatus::Estimated
    };
    let part = |pico: u128| u64::try_from(pico).unwrap_or(u64::MAX);
    cost.input_pico = part(bill.input);
    cost.cache_read_pico = part(bill.cache_read);
    cost.cache_write_pico = part(bill.cache_write);
    cost.output_pico = part(bill.output);
    cost.other_pico = part(bill.other);
    cost.prompt_cache_saved_pico = bill.saved();
    let whole = [
        bill.input,
        bill.cache_read,
        bill.cache_write,
        bill.output,
        bill.other,
    ];
    cost.total = Some(NanoUsd::from_pico_ceil(
        whole.into_iter().fold(0, u128::saturating_add),
    ));
    cost
}

/// The rates a request with this much input, cached input included, is billed at; the regional factor is in them.
#[must_use]
pub fn rates_in_force(entry: &ModelEntry, context: &PriceContext<'_>, input_tokens: u64) -> Rates {
    apply(entry, &effective(context, &Usage::default()), input_tokens).rates
}

/// The table's date, the date of the newest entry applied, and the id a derived name stands for.
fn version(found: &Found, from: Option<Date>) -> String {
    let mut version = found.entry.version.to_string();
    if let Some(from) = from {
        version.push_str(&format!("+{from}"));
    }
    if found.alias {
        version.push_str(&format!(";as={}", found.entry.id));
    }
    version
}

/// What was done where the vendor says so, else what was asked for.
fn effective<'a>(context: &PriceContext<'a>, usage: &'a Usage) -> PriceContext<'a> {
    let tier = usage
        .service_tier
        .as_deref()
        .or(context.service_tier)
        .filter(|tier| !is_any(STANDARD, tier));
    // Anthropic reports a batch as a tier.
    let is_batch = tier.is_some_and(|tier| tier.eq_ignore_ascii_case("batch"));
    PriceContext {
        at: context.at,
        service_tier: tier.filter(|_| !is_batch),
        batch: context.batch || is_batch,
        speed: usage
            .speed
            .as_deref()
            .or(context.speed)
            .filter(|speed| !is_any(STANDARD, speed)),
        region: usage.region.as_deref().or(context.region),
    }
}

fn is_any(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The outcome of laying an entry's prices over each other.
struct Applied {
    rates: Rates,
    /// The latest `from` among the entries applied.
    from: Option<Date>,
    /// A condition has no price of its own, so the standard one stands in.
    stand_in: bool,
}

/// Lays every conditional entry that holds over the standard one in force.
///
/// Later entries of the file win over earlier ones, and those on `batch` over all others.
fn apply(entry: &ModelEntry, context: &PriceContext<'_>, input_tokens: u64) -> Applied {
    let today = Date::of_unix(context.at);
    let started = |price: &PriceEntry| price.from.is_none_or(|from| from <= today);
    let in_force = |index: usize, price: &PriceEntry| {
        let newer = |(other, later): (usize, &PriceEntry)| {
            later.when == price.when && started(later) && (later.from, other) > (price.from, index)
        };
        started(price) && !entry.prices.iter().enumerate().any(newer)
    };
    let has_fast = entry
        .prices
        .iter()
        .any(|price| tier_of(price).is_some_and(|tier| tier.eq_ignore_ascii_case("fast")));

    let (mut rates, mut from) = (Rates::default(), None);
    let (mut batch_priced, mut tier_priced, mut speed_priced) = (false, false, false);
    for pass in [Pass::Standard, Pass::Conditional, Pass::Batch] {
        for (index, price) in entry.prices.iter().enumerate() {
            if Pass::of(price) != pass
                || !holds(price, context, has_fast)
                || !in_force(index, price)
            {
                continue;
            }
            rates.override_with(&price.rates_for(input_tokens));
            from = from.max(price.from);
            // An entry without rates says that the condition has no price of its own any more.
            if let Some(when) = price.when.as_ref().filter(|_| !price.rates.is_empty()) {
                batch_priced |= when.batch == Some(true);
                tier_priced |= when.service_tier.is_some();
                speed_priced |= when.speed.is_some();
            }
        }
    }
    scale(&mut rates, entry, context.region);
    let stand_in = context.batch && !batch_priced
        || context.service_tier.is_some() && !tier_priced && !batch_priced
        || context.speed.is_some() && !speed_priced;
    Applied {
        rates,
        from,
        stand_in,
    }
}

#[derive(PartialEq)]
enum Pass {
    Standard,
    Conditional,
    Batch,
}

impl Pass {
    fn of(price: &PriceEntry) -> Self {
        match &price.when {
            None => Self::Standard,
            Some(when) if when.batch == Some(true) => Self::Batch,
            Some(_) => Self::Conditional,
        }
    }
}

fn tier_of(price: &PriceEntry) -> Option<&str> {
    price.when.as_ref()?.service_tier.as_deref()
}

/// Whether every condition of the entry holds.
fn holds(price: &PriceEntry, context: &PriceContext<'_>, has_fast: bool) -> bool {
    let Some(when) = &price.when else { return true };
    let tier = |named: &str| {
        context.service_tier.is_some_and(|tier| {
            // OpenAI's `fast` is billed as `priority` unless the entry prices it apart.
            let tier = if tier.eq_ignore_ascii_case("fast") && !has_fast {
                "priority"
            } else {
                tier
            };
            tier.eq_ignore_ascii_case(named)
        })
    };
    // A batch is billed as a batch, whatever tier was asked for.
    let of_a_batch = !context.batch || when.batch.is_some() || when.service_tier.is_none();
    of_a_batch
        && when.batch.is_none_or(|batch| batch == context.batch)
        && when.service_tier.as_deref().is_none_or(tier)
        && when.speed.as_deref().is_none_or(|named| {
            context
                .speed
                .is_some_and(|speed| speed.eq_ignore_ascii_case(named))
        })
        && (when.utc.is_empty() || when.utc.iter().any(|window| window.contains(context.at)))
}

/// Applies the region's factor to the token rates.
fn scale(rates: &mut Rates, entry: &ModelEntry, region: Option<&str>) {
    let Some(region) = region else { return };
    let in_region = |name: &str| {
        name.split_once(':')
            .is_some_and(|(_, named)| named.eq_ignore_ascii_case(region))
    };
    let Some(factor) = entry
        .multipliers
        .iter()
        .find(|factor| in_region(&factor.name))
    else {
        return;
    };
    for &meter in Meter::ALL {
        let by_the_piece = matches!(meter, Meter::WebSearch | Meter::Search | Meter::Request);
        if let Some(rate) = rates.get(meter).filter(|_| !by_the_piece) {
            let scaled = (u128::from(rate) * u128::from(factor.ppm)).div_ceil(1_000_000);
            rates.set(meter, u64::try_from(scaled).unwrap_or(u64::MAX));
        }
    }
}

/// A call's charges, in picodollars.
#[derive(Default)]
struct Bill {
    input: u128,
    cache_read: u128,
    cache_write: u128,
    output: u128,
    other: u128,
    /// What the cached and written tokens would have cost as fresh input.
    uncached: u128,
    /// A count the vendor did not report was assumed.
    guessed: bool,
}

impl Bill {
    /// The charges, or `None` if one of them has no rate.
    ///
    /// Nothing can overflow: a bucket is below 2⁶⁴ tokens, a rate below 2⁶⁴ picodollars, and `charge` saturates.
    fn of(usage: &Usage, rates: &Rates, kind: ModelKind) -> Option<Self> {
        use Meter as M;
        let known = |meter| rates.get(meter).is_some();
        let priced = match kind {
            ModelKind::Chat => known(M::Input) && known(M::Output),
            _ => known(M::Input) || known(M::Search),
        };
        if !priced {
            return None;
        }
        let rate = |meters: &[M]| meters.iter().find_map(|&meter| rates.get(meter));
        let mut bill = Self::default();

        let u = usage;
        let write_1h = u.cache_write_1h_tokens.min(u.cache_write_tokens);
        let write_12h = u
            .cache_write_12h_tokens
            .min(u.cache_write_tokens - write_1h);
        let write = u.cache_write_tokens - write_1h - write_12h;
        charge(
            &mut bill.cache_write,
            write,
            rate(&[M::CacheWrite, M::Input]),
        )?;
        charge(
            &mut bill.cache_write,
            write_1h,
            rate(&[M::CacheWrite1h, M::CacheWrite, M::Input]),
        )?;
        charge(
            &mut bill.cache_write,
            write_12h,
            rate(&[M::CacheWrite12h, M::CacheWrite, M::Input]),
        )?;

        let read_audio = u.audio_cache_read_tokens.min(u.cache_read_tokens);
        charge(
            &mut bill.cache_read,
            u.cache_read_tokens - read_audio,
            rate(&[M::CacheRead, M::Input]),
        )?;
        charge(
            &mut bill.cache_read,
            read_audio,
            rate(&[M::AudioCacheRead, M::CacheRead, M::AudioIn, M::Input]),
        )?;

        let written = write.saturating_add(write_1h).saturating_add(write_12h);
        let text = written.saturating_add(u.cache_read_tokens - read_audio);
        charge(&mut bill.uncached, text, rate(&[M::Input]))?;
        charge(
            &mut bill.uncached,
            read_audio,
            rate(&[M::AudioIn, M::Input]),
        )?;

        let fresh = u
            .input_tokens
            .saturating_sub(u.cache_read_tokens)
            .saturating_sub(u.cache_write_tokens);
        let audio = u.audio_input_tokens.saturating_sub(read_audio).min(fresh);
        let image = u.image_input_tokens.min(fresh - audio);
        charge(&mut bill.input, fresh - audio - image, rate(&[M::Input]))?;
        charge(&mut bill.input, audio, rate(&[M::AudioIn, M::Input]))?;
        charge(&mut bill.input, image, rate(&[M::ImageIn, M::Input]))?;

        let reasoning = u.reasoning_tokens.min(u.output_tokens);
        let citation = u.citation_tokens.min(u.output_tokens - reasoning);
        let spoken = u
            .audio_output_tokens
            .min(u.output_tokens - reasoning - citation);
        charge(
            &mut bill.output,
            u.output_tokens - reasoning - citation - spoken,
            rate(&[M::Output]),
        )?;
        charge(
            &mut bill.output,
            reasoning,
            rate(&[M::Reasoning, M::Output]),
        )?;
        charge(&mut bill.output, citation, rate(&[M::Citation, M::Output]))?;
        charge(&mut bill.output, spoken, rate(&[M::AudioOut, M::Output]))?;

        if known(M::Request) {
            charge(&mut bill.other, 1, rate(&[M::Request]))?;
        }
        if kind == ModelKind::Rerank && known(M::Search) {
            // A rerank call is at least one search; more documents than a search holds make more, if the vendor says so.
            bill.guessed = u.web_searches == 0;
            charge(&mut bill.other, u.web_searches.max(1), rate(&[M::Search]))?;
        } else if known(M::WebSearch) || !known(M::Request) {
            charge(&mut bill.other, u.web_searches, rate(&[M::WebSearch]))?;
        }
        Some(bill)
    }
}

impl Bill {
    /// What the vendor's cache saved, see [`Cost::prompt_cache_saved_pico`].
    fn saved(&self) -> i64 {
        let whole = |pico: u128| i128::try_from(pico).unwrap_or(i128::MAX);
        let billed = self.cache_read.saturating_add(self.cache_write);
        let saved = whole(self.uncached).saturating_sub(whole(billed));
        i64::try_from(saved).unwrap_or(if saved < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Adds `count` at `rate`; `None` if there is something to bill and no rate.
fn charge(sum: &mut u128, count: u64, rate: Option<u64>) -> Option<()> {
    if count > 0 {
        *sum = sum.saturating_add(u128::from(count) * u128::from(rate?));
    }
    Some(())
}
