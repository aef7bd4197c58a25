//! The table's schema (`ossai-models/1`): one reader for the embedded table, overlays and per-call prices.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::decimal::{DecimalError, scaled};
use super::read::{Object, Path, PriceError, Problems, finish};
use super::{
    Date, Dates, Limits, Meter, Modalities, ModelEntry, ModelKind, Multiplier, PriceEntry, Rates,
    Tier, When, Window,
};

const MODEL_KEYS: &str = "id, provider, otel, model, kind, api, limits, dims, tokenizer, caps, modalities, dates, \
                          multipliers, cache_min_tokens, aliases, unlike, prices, note, price_source, price_verified, checked";
macro_rules! rate_keys {
    ($($before:literal),*) => {
        concat!(
            $($before,)*
            "input, output, cache_read, cache_write, cache_write_1h, cache_write_12h, reasoning, audio_in, audio_out, ",
            "audio_cache_read, image_in, video_in, citation, web_search_per_1k, search_per_1k, request_per_1k"
        )
    };
}
const PRICE_KEYS: &str = rate_keys!("when, from, tiers, src, ");
const TIER_KEYS: &str = rate_keys!("above_input, ");
/// Most price entries, tiers or windows in one list; laying prices over each other compares entries pairwise.
const MAX_ITEMS: usize = 256;

const NUMBER: &str = "a whole number";
const TEXT: &str = "a string";
const TEXTS: &str = "a list of strings";

impl PriceEntry {
    /// Reads the prices of one call (`CallOptions::prices`): one entry in the table's form, or a list of them.
    ///
    /// Numbers of a [`Value`] went through a float when they were parsed, so they are exact up to fifteen digits.
    /// `path` names the value in errors. Fails with every mistake found.
    pub fn from_json(value: &Value, path: &str) -> Result<Vec<Self>, PriceError> {
        let mut problems = Problems::default();
        let root = Path::Root(path);
        let raw = match serde_json::value::to_raw_value(value) {
            Ok(raw) => raw,
            Err(_) => {
                problems.add(&root, "expected JSON");
                return Err(PriceError(problems.0));
            }
        };
        let prices = prices(&raw, &root, &mut problems);
        if prices.is_empty() && problems.0.is_empty() {
            problems.add(&root, "expected at least one price entry");
        }
        finish(prices, problems)
    }
}

/// One price entry or a list of them.
pub(super) fn prices(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Vec<PriceEntry> {
    if raw.get().starts_with('[') {
        let list = problems.list(raw, path, MAX_ITEMS);
        list.into_iter()
            .enumerate()
            .filter_map(|(i, raw)| price(raw, &path.index(i), problems))
            .collect()
    } else {
        price(raw, path, problems).into_iter().collect()
    }
}

fn price(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Option<PriceEntry> {
    let mut object = problems.object(raw, path)?;
    let mut entry = PriceEntry {
        when: object
            .take("when")
            .and_then(|raw| when(raw, &path.key("when"), problems)),
        from: date(&mut object, "from", path, problems),
        ..PriceEntry::default()
    };
    object.field::<String>("src", path, TEXT, problems);
    if let Some(raw) = object.take("tiers") {
        let path = path.key("tiers");
        let list = problems.list(raw, &path, MAX_ITEMS);
        entry.tiers = list
            .into_iter()
            .enumerate()
            .filter_map(|(i, raw)| tier(raw, &path.index(i), problems))
            .collect();
        if entry
            .tiers
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.above_input >= b.above_input))
        {
            problems.add(&path, "expected rising above_input");
        }
    }
    let (rates, named) = rates(&mut object, path, problems);
    entry.rates = rates;
    object.finish(path, PRICE_KEYS, problems);
    // A dated conditional entry without rates says that from then on the condition changes nothing.
    if !named && (entry.when.is_none() || entry.from.is_none()) {
        problems.add(path, "expected at least one rate");
    }
    Some(entry)
}

fn tier(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Option<Tier> {
    let mut object = problems.object(raw, path)?;
    let above_input = object.field("above_input", path, NUMBER, problems);
    let (rates, named) = rates(&mut object, path, problems);
    object.finish(path, TIER_KEYS, problems);
    if !named {
        problems.add(path, "expected at least one rate");
    }
    if above_input.is_none() {
        problems.add(&path.key("above_input"), format_args!("expected {NUMBER}"));
    }
    Some(Tier {
        above_input: above_input?,
        rates,
    })
}

/// Reads the rates of an entry or tier, and whether it named any, right or wrong.
fn rates(object: &mut Object<'_>, path: &Path<'_>, problems: &mut Problems) -> (Rates, bool) {
    let (mut rates, mut named) = (Rates::default(), false);
    object.0.retain(|(name, raw)| {
        let Some(meter) = Meter::from_name(name) else {
            return true;
        };
        if raw.get() == "null" {
            return false;
        }
        named = true;
        match scaled(raw.get(), meter.decimals()) {
            Ok(pico) => rates.set(meter, pico),
            Err(error) => problems.add(&path.key(meter.name()), error),
        }
        false
    });
    (rates, named)
}

fn when(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Option<When> {
    let mut object = problems.object(raw, path)?;
    let when = When {
        batch: object.field("batch", path, "true or false", problems),
        service_tier: object.field("service_tier", path, TEXT, problems),
        speed: object.field("speed", path, TEXT, problems),
        utc: object
            .take("utc")
            .map(|raw| windows(raw, &path.key("utc"), problems))
            .unwrap_or_default(),
    };
    object.finish(path, "batch, service_tier, speed, utc", problems);
    if when == When::default() {
        problems.add(path, "expected at least one condition");
    }
    Some(when)
}

fn windows(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Vec<Window> {
    let list = problems.list(raw, path, MAX_ITEMS);
    list.into_iter()
        .enumerate()
        .filter_map(|(i, raw)| window(raw, &path.index(i), problems))
        .collect()
}

fn window(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Option<Window> {
    let mut object = problems.object(raw, path)?;
    let hours: Vec<String> = object
        .field("hours", path, TEXTS, problems)
        .unwrap_or_default();
    let days: Option<Vec<u64>> = object.field("days", path, "a list of weekdays", problems);
    object.finish(path, "hours, days", problems);
    let hours: Vec<_> = hours.iter().map(|text| Window::parse_hours(text)).collect();
    if hours.is_empty() || hours.contains(&None) {
        problems.add(
            &path.key("hours"),
            "expected spans like 22:00-24:00, not empty",
        );
    }
    let days = match days {
        None => 0x7f,
        Some(days) => {
            if days.is_empty() || days.iter().any(|day| !(1..=7).contains(day)) {
                problems.add(&path.key("days"), "expected days from 1 (Monday) to 7");
            }
            days.into_iter()
                .filter(|day| (1..=7).contains(day))
                .fold(0, |set, day| set | 1 << (day - 1))
        }
    };
    Some(Window {
        hours: hours.into_iter().flatten().collect(),
        days,
    })
}

fn date(
    object: &mut Object<'_>,
    name: &str,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<Date> {
    let raw = object.take(name)?;
    let date = serde_json::from_str::<String>(raw.get())
        .ok()
        .and_then(|text| Date::parse(&text));
    if date.is_none() {
        problems.add(&path.key(name), "expected a date, YYYY-MM-DD");
    }
    date
}

/// Reads a model's row over `base`: what the row names replaces what the base has, the prices as a whole.
///
/// `known` finds the base by id; a row about an unknown id stands on its own and takes provider and model from the id.
pub(super) fn model<'a>(
    raw: &RawValue,
    path: &Path<'_>,
    version: &Arc<str>,
    known: impl Fn(&str) -> Option<&'a ModelEntry>,
    problems: &mut Problems,
) -> Option<ModelEntry> {
    let mut object = problems.object(raw, path)?;
    let id: Option<String> = object.field("id", path, TEXT, problems);
    let id = id.unwrap_or_default();
    let mut entry = new_or_known(&id, &path.key("id"), known, problems)?;
    let o = &mut object;
    replace(
        &mut entry.provider,
        o.field("provider", path, TEXT, problems),
    );
    replace(&mut entry.model, o.field("model", path, TEXT, problems));
    replace_some(&mut entry.otel, o.field("otel", path, TEXT, problems));
    replace(&mut entry.api, o.field("api", path, TEXTS, problems));
    replace(&mut entry.caps, o.field("caps", path, TEXTS, problems));
    replace(
        &mut entry.aliases,
        o.field("aliases", path, TEXTS, problems),
    );
    replace(&mut entry.unlike, o.field("unlike", path, TEXTS, problems));
    replace_some(
        &mut entry.tokenizer,
        o.field("tokenizer", path, TEXT, problems),
    );
    replace_some(&mut entry.dims, o.field("dims", path, NUMBER, problems));
    replace_some(
        &mut entry.cache_min_tokens,
        o.field("cache_min_tokens", path, NUMBER, problems),
    );
    if let Some(name) = o.field::<String>("kind", path, TEXT, problems) {
        match ModelKind::from_name(&name) {
            Some(kind) => entry.kind = kind,
            None => problems.add(&path.key("kind"), "expected chat, embedding or rerank"),
        }
    }
    if let Some(raw) = o.take("limits") {
        limits(raw, &path.key("limits"), &mut entry.limits, problems);
    }
    if let Some(raw) = o.take("modalities") {
        entry.modalities = modalities(raw, &path.key("modalities"), problems);
    }
    if let Some(raw) = o.take("dates") {
        dates(raw, &path.key("dates"), &mut entry.dates, problems);
    }
    if let Some(raw) = o.take("multipliers") {
        entry.multipliers = multipliers(raw, &path.key("multipliers"), problems);
    }
    if let Some(raw) = o.take("prices") {
        entry.prices = prices(raw, &path.key("prices"), problems);
        entry.version = Arc::clone(version);
    }
    for about_the_table in ["note", "price_source", "price_verified", "checked"] {
        o.take(about_the_table);
    }
    object.finish(path, MODEL_KEYS, problems);
    Some(entry)
}

/// The known entry, or an empty one that takes its names from the id.
pub(super) fn new_or_known<'a>(
    id: &str,
    path: &Path<'_>,
    known: impl Fn(&str) -> Option<&'a ModelEntry>,
    problems: &mut Problems,
) -> Option<ModelEntry> {
    if let Some(entry) = known(id) {
        return Some(entry.clone());
    }
    match id.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => Some(ModelEntry {
            id: id.into(),
            provider: provider.into(),
            model: model.into(),
            ..ModelEntry::default()
        }),
        _ => {
            problems.add(path, "expected provider/model");
            None
        }
    }
}

fn replace<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn replace_some<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

fn limits(raw: &RawValue, path: &Path<'_>, limits: &mut Limits, problems: &mut Problems) {
    let Some(mut object) = problems.object(raw, path) else {
        return;
    };
    replace_some(
        &mut limits.context,
        object.field("context", path, NUMBER, problems),
    );
    replace_some(
        &mut limits.input,
        object.field("input", path, NUMBER, problems),
    );
    replace_some(
        &mut limits.output,
        object.field("output", path, NUMBER, problems),
    );
    object.finish(path, "context, input, output", problems);
}

fn modalities(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Option<Modalities> {
    let mut object = problems.object(raw, path)?;
    let input = object
        .field("in", path, TEXTS, problems)
        .unwrap_or_default();
    let output = object
        .field("out", path, TEXTS, problems)
        .unwrap_or_default();
    object.finish(path, "in, out", problems);
    Some(Modalities { input, output })
}

fn dates(raw: &RawValue, path: &Path<'_>, dates: &mut Dates, problems: &mut Problems) {
    let Some(mut object) = problems.object(raw, path) else {
        return;
    };
    replace_some(
        &mut dates.released,
        object.field("released", path, TEXT, problems),
    );
    replace_some(
        &mut dates.retires,
        date(&mut object, "retires", path, problems),
    );
    replace_some(
        &mut dates.knowledge,
        object.field("knowledge", path, TEXT, problems),
    );
    object.finish(path, "released, knowledge, retires", problems);
}

fn multipliers(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Vec<Multiplier> {
    let Some(object) = problems.object(raw, path) else {
        return Vec::new();
    };
    let mut list = Vec::with_capacity(object.0.len());
    for (name, raw) in object.0 {
        let path = path.key(&name);
        let region = name.split_once(':').filter(|(kind, region)| {
            matches!(*kind, "region" | "inference_geo") && !region.is_empty()
        });
        if region.is_none() {
            problems.add(
                &path,
                "unknown key; expected region:NAME or inference_geo:NAME",
            );
        }
        match scaled(raw.get(), 6) {
            Ok(ppm) if (1..=100_000_000).contains(&ppm) => list.push(Multiplier {
                name: name.clone().into_owned(),
                ppm,
            }),
            Ok(_) | Err(DecimalError::TooLarge) => {
                problems.add(&path, "expected a factor above 0 and at most 100")
            }
            Err(error) => problems.add(&path, error),
        }
    }
    list
}
