//! A record, and the table it stands in.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::Value as Sql;
use serde::{Deserialize, Serialize};

use crate::types::{NanoUsd, Usage};

/// A finished call or flight: what it used and cost, never what it said.
///
/// Usage and cost are those of the provider's bill: nothing where a cache or another's flight answered. As JSON amounts
/// are nanodollars, `null` where they are not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageRow {
    /// When it ended, in milliseconds since 1970.
    #[serde(rename = "time_ms")]
    pub time: i64,
    /// The id its caller got.
    pub request_id: String,
    /// Whose call it was; `default` without one.
    pub tenant: String,
    /// The key it came with.
    pub key_id: Option<String>,
    /// `chat` or `embeddings`.
    pub operation: String,
    /// The provider asked.
    pub provider: String,
    /// The model that answered, else the one asked for: `provider/model`.
    pub model: String,
    /// The end user the request named.
    pub user: Option<String>,
    /// `ok`, or the error's kind.
    pub outcome: String,
    /// Tokens; tier, speed and region are the vendor's word, else what was asked for.
    pub usage: Usage,
    /// Money spent; absent where it is not known.
    #[serde(rename = "cost_nano_usd")]
    pub cost: Option<NanoUsd>,
    /// Money not spent thanks to caches and shared calls.
    #[serde(rename = "saved_nano_usd")]
    pub saved: Option<NanoUsd>,
    /// What priced it.
    pub price_version: String,
    /// `hit`, `miss` or `bypass`.
    pub cache: String,
    /// Calls it stands for: all that shared its flight, where the record is the flight's.
    pub calls: u32,
    /// Those of them that joined a flight under way.
    pub joined: u32,
    /// Tries at providers.
    pub attempts: u32,
    /// From its arrival to its end, in microseconds.
    pub latency_us: u64,
    /// To the first token, for streams.
    pub first_token_us: Option<u64>,
    /// Attribution.
    pub tags: BTreeMap<String, String>,
}

impl Default for UsageRow {
    fn default() -> Self {
        Self {
            time: 0,
            request_id: String::new(),
            tenant: String::new(),
            key_id: None,
            operation: String::new(),
            provider: String::new(),
            model: String::new(),
            user: None,
            outcome: String::new(),
            usage: Usage::default(),
            cost: None,
            saved: None,
            price_version: String::new(),
            cache: String::new(),
            calls: 1,
            joined: 0,
            attempts: 0,
            latency_us: 0,
            first_token_us: None,
            tags: BTreeMap::new(),
        }
    }
}

/// The columns, in the order of [`UsageRow::values`]. New ones may be absent or have a default: older programs write on.
pub(super) const COLUMNS: &[(&str, &str)] = &[
    ("time", "INTEGER NOT NULL"),
    ("request_id", "TEXT NOT NULL"),
    ("tenant", "TEXT NOT NULL"),
    ("key_id", "TEXT"),
    ("operation", "TEXT NOT NULL"),
    ("provider", "TEXT NOT NULL"),
    ("model", "TEXT NOT NULL"),
    ("end_user", "TEXT"),
    ("outcome", "TEXT NOT NULL"),
    ("input", "INTEGER NOT NULL"),
    ("output", "INTEGER NOT NULL"),
    ("cache_read", "INTEGER NOT NULL"),
    ("cache_write", "INTEGER NOT NULL"),
    ("cache_write_1h", "INTEGER NOT NULL"),
    ("cache_write_12h", "INTEGER NOT NULL"),
    ("reasoning", "INTEGER NOT NULL"),
    ("audio_input", "INTEGER NOT NULL"),
    ("audio_cache_read", "INTEGER NOT NULL"),
    ("audio_output", "INTEGER NOT NULL"),
    ("image_input", "INTEGER NOT NULL"),
    ("citation", "INTEGER NOT NULL"),
    ("web_searches", "INTEGER NOT NULL"),
    ("estimated", "INTEGER NOT NULL"),
    ("cost", "INTEGER"),
    ("saved", "INTEGER"),
    ("price_version", "TEXT NOT NULL"),
    ("cache", "TEXT NOT NULL"),
    ("joined", "INTEGER NOT NULL"),
    ("attempts", "INTEGER NOT NULL"),
    ("latency_us", "INTEGER NOT NULL"),
    ("first_token_us", "INTEGER"),
    ("tags", "TEXT"),
    ("service_tier", "TEXT"),
    ("speed", "TEXT"),
    ("region", "TEXT"),
    ("calls", "INTEGER NOT NULL DEFAULT 1"),
];

pub(super) const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS usage_by_time ON usage (tenant, time);
    CREATE INDEX IF NOT EXISTS usage_by_age ON usage (time);
";

pub(super) fn create_sql() -> String {
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|(name, kind)| format!("{name} {kind}"))
        .collect();
    format!(
        "CREATE TABLE IF NOT EXISTS usage (id INTEGER PRIMARY KEY, {}) STRICT;",
        columns.join(", ")
    )
}

pub(super) fn names() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

pub(super) fn insert_sql() -> String {
    let marks = vec!["?"; COLUMNS.len()].join(", ");
    format!("INSERT INTO usage ({}) VALUES ({marks})", names())
}

fn int(n: u64) -> Sql {
    Sql::from(i64::try_from(n).unwrap_or(i64::MAX))
}

fn nat(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn small(n: i64) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}

impl UsageRow {
    /// Its values, in the order of the columns.
    pub(super) fn values(&self) -> Vec<Sql> {
        let used = &self.usage;
        let text = |text: &str| Sql::from(text.to_owned());
        let tags =
            (!self.tags.is_empty()).then(|| serde_json::to_string(&self.tags).unwrap_or_default());
        vec![
            self.time.into(),
            text(&self.request_id),
            text(&self.tenant),
            self.key_id.clone().into(),
            text(&self.operation),
            text(&self.provider),
            text(&self.model),
            self.user.clone().into(),
            text(&self.outcome),
            int(used.input_tokens),
            int(used.output_tokens),
            int(used.cache_read_tokens),
            int(used.cache_write_tokens),
            int(used.cache_write_1h_tokens),
            int(used.cache_write_12h_tokens),
            int(used.reasoning_tokens),
            int(used.audio_input_tokens),
            int(used.audio_cache_read_tokens),
            int(used.audio_output_tokens),
            int(used.image_input_tokens),
            int(used.citation_tokens),
            int(used.web_searches),
            i64::from(used.estimated).into(),
            self.cost.map_or(Sql::Null, |cost| int(cost.0)),
            self.saved.map_or(Sql::Null, |saved| int(saved.0)),
            text(&self.price_version),
            text(&self.cache),
            i64::from(self.joined).into(),
            i64::from(self.attempts).into(),
            int(self.latency_us),
            self.first_token_us.map_or(Sql::Null, int),
            tags.into(),
            used.service_tier.clone().into(),
            used.speed.clone().into(),
            used.region.clone().into(),
            i64::from(self.calls).into(),
        ]
    }

    /// Reads the columns, from the one at `at` on.
    pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        let mut next = at..;
        let mut at = move || next.next().unwrap_or(usize::MAX);
        macro_rules! get {
            () => {
                row.get(at())?
            };
        }
        macro_rules! number {
            () => {
                nat(get!())
            };
        }
        let time = get!();
        let request_id = get!();
        let tenant = get!();
        let key_id = get!();
        let operation = get!();
        let provider = get!();
        let model = get!();
        let user = get!();
        let outcome = get!();
        let mut usage = Usage {
            input_tokens: number!(),
            output_tokens: number!(),
            cache_read_tokens: number!(),
            cache_write_tokens: number!(),
            cache_write_1h_tokens: number!(),
            cache_write_12h_tokens: number!(),
            reasoning_tokens: number!(),
            audio_input_tokens: number!(),
            audio_cache_read_tokens: number!(),
            audio_output_tokens: number!(),
            image_input_tokens: number!(),
            citation_tokens: number!(),
            web_searches: number!(),
            estimated: get!(),
            ..Usage::default()
        };
        let money = |amount: Option<i64>| amount.map(|amount| NanoUsd(nat(amount)));
        let cost = money(get!());
        let saved = money(get!());
        let price_version = get!();
        let cache = get!();
        let joined = small(get!());
        let attempts = small(get!());
        let latency_us = number!();
        let first_token_us: Option<i64> = get!();
        let tags: Option<String> = get!();
        usage.service_tier = get!();
        usage.speed = get!();
        usage.region = get!();
        let calls = small(get!());
        Ok(Self {
            time,
            request_id,
            tenant,
            key_id,
            operation,
            provider,
            model,
            user,
            outcome,
            usage,
            cost,
            saved,
            price_version,
            cache,
            calls,
            joined,
            attempts,
            latency_us,
            first_token_us: first_token_us.map(nat),
            // Written by this module; what it cannot read was written by nobody it knows.
            tags: tags
                .and_then(|tags| serde_json::from_str(&tags).ok())
                .unwrap_or_default(),
        })
    }
}
