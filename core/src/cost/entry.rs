//! A model's row in the table: what it can do, and its prices by date, condition and size.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Date, Rates, Window};

/// What a model does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelKind {
    /// Messages in, messages out.
    #[default]
    Chat,
    /// Text in, vectors out.
    Embedding,
    /// A query and texts in, an order out.
    Rerank,
}

impl ModelKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Chat, Self::Embedding, Self::Rerank];

    /// The kind's name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// Tokens a model takes and gives, where known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Input and output together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
    /// Input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
}

/// What goes in and comes out (`text`, `image`, `audio` …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Modalities {
    /// What goes in.
    #[serde(rename = "in")]
    pub input: Vec<String>,
    /// What comes out.
    #[serde(rename = "out")]
    pub output: Vec<String>,
}

/// A model's dates, where known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dates {
    /// When it came out: `2026-11-20`, or `2026-11` where only the month is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// Until when it knows the world, written alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knowledge: Option<String>,
    /// The first day on which the vendor no longer serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retires: Option<Date>,
}

/// A factor on the token prices of calls processed in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiplier {
    /// As the table names it: `region:us`, `inference_geo:us`.
    pub name: String,
    /// Millionths: 1.1 is 1,100,000.
    pub ppm: u64,
}

/// One model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelEntry {
    /// `provider/model`.
    pub id: String,
    /// The provider.
    pub provider: String,
    /// The provider's name in the OpenTelemetry conventions.
    pub otel: Option<String>,
    /// The model as the vendor's API names it.
    pub model: String,
    /// What it does.
    pub kind: ModelKind,
    /// The wire APIs that serve it (`responses`, `messages` …).
    pub api: Vec<String>,
    /// How much it takes and gives.
    pub limits: Limits,
    /// Length of its vectors.
    pub dims: Option<u32>,
    /// Its public encoding.
    pub tokenizer: Option<String>,
    /// What it can do (`tools`, `vision`, `json_schema` …).
    pub caps: Vec<String>,
    /// What goes in and comes out.
    pub modalities: Option<Modalities>,
    /// Its dates.
    pub dates: Dates,
    /// Regional factors on its token prices.
    pub multipliers: Vec<Multiplier>,
    /// The shortest prompt the vendor caches.
    pub cache_min_tokens: Option<u64>,
    /// Other names of it that the table's sources price alike.
    pub aliases: Vec<String>,
    /// Names that look like snapshots or regional names of it but are priced otherwise.
    pub unlike: Vec<String>,
    /// Its prices; none means that the price is unknown.
    pub prices: Vec<PriceEntry>,
    /// Where the prices come from: the table's date, `overlay` or `call`.
    pub version: Arc<str>,
}

impl ModelEntry {
    /// Whether the model has a capability of the table's list.
    #[must_use]
    pub fn has_cap(&self, cap: &str) -> bool {
        self.caps.iter().any(|have| have == cap)
    }

    /// Whether the vendor no longer serves it at a moment, in seconds since 1970.
    #[must_use]
    pub fn is_retired(&self, at: i64) -> bool {
        self.dates.retires.is_some_and(|day| day.start() <= at)
    }
}

/// In the table's own schema, so that what `ossai models --json` prints can be read back as an overlay.
impl Serialize for ModelEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("provider", &self.provider)?;
        if let Some(otel) = &self.otel {
            map.serialize_entry("otel", otel)?;
        }
        map.serialize_entry("model", &self.model)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("api", &self.api)?;
        map.serialize_entry("limits", &self.limits)?;
        if let Some(dims) = self.dims {
            map.serialize_entry("dims", &dims)?;
        }
        if let Some(tokenizer) = &self.tokenizer {
            map.serialize_entry("tokenizer", tokenizer)?;
        }
        map.serialize_entry("caps", &self.caps)?;
        if let Some(modalities) = &self.modalities {
            map.serialize_entry("modalities", modalities)?;
        }
        if self.dates != Dates::default() {
            map.serialize_entry("dates", &self.dates)?;
        }
        if !self.multipliers.is_empty() {
            map.serialize_entry("multipliers", &Multipliers(&self.multipliers))?;
        }
        if let Some(tokens) = self.cache_min_tokens {
            map.serialize_entry("cache_min_tokens", &tokens)?;
        }
        for (name, list) in [("aliases", &self.aliases), ("unlike", &self.unlike)] {
            if !list.is_empty() {
                map.serialize_entry(name, list)?;
            }
        }
        map.serialize_entry("prices", &self.prices)?;
        map.end()
    }
}

struct Multipliers<'a>(&'a [Multiplier]);

impl Serialize for Multipliers<'_> {
    #[allow(clippy::cast_precision_loss)]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|m| (&m.name, m.ppm as f64 / 1e6)))
    }
}

/// Prices of a model from a date on, under a condition or always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceEntry {
    /// The condition; without one the entry is a standard price.
    pub when: Option<When>,
    /// The first day it holds; without one it always did.
    pub from: Option<Date>,
    /// The rates it names.
    pub rates: Rates,
    /// Rates of larger requests, by rising size.
    pub tiers: Vec<Tier>,
}

impl PriceEntry {
    /// The rates the entry names for a request with this much input, cached input included.
    ///
    /// A tier is a cliff: above its size *every* token is billed at it. A rate that the tier reached does not name
    /// keeps the last one named below it.
    #[must_use]
    pub fn rates_for(&self, input_tokens: u64) -> Rates {
        let mut rates = self.rates;
        for tier in self
            .tiers
            .iter()
            .filter(|tier| input_tokens > tier.above_input)
        {
            rates.override_with(&tier.rates);
        }
        rates
    }
}

impl Serialize for PriceEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(when) = &self.when {
            map.serialize_entry("when", when)?;
        }
        if let Some(from) = &self.from {
            map.serialize_entry("from", from)?;
        }
        self.rates.serialize_into(&mut map)?;
        if !self.tiers.is_empty() {
            map.serialize_entry("tiers", &self.tiers)?;
        }
        map.end()
    }
}

/// When a conditional price holds: if every condition named does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct When {
    /// The vendor processes the call as part of a batch, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<bool>,
    /// The processing tier (`flex`, `priority` …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// The speed mode (`fast`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
    /// The hours, in UTC; any window will do, and no window means any time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub utc: Vec<Window>,
}

/// Rates of requests whose whole input, cached input included, is above a size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    /// Tokens; the tier begins one above.
    pub above_input: u64,
    /// The rates it names.
    pub rates: Rates,
}

impl Serialize for Tier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("above_input", &self.above_input)?;
        self.rates.serialize_into(&mut map)?;
        map.end()
    }
}
