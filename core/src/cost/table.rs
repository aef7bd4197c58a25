//! The table of models and prices, embedded in the library and read on first use.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use serde_json::value::RawValue;

use super::parse;
use super::read::{Path, PriceError, Problems, finish};
use super::{Date, ModelEntry, PriceEntry};

static EMBEDDED: &str = include_str!("../../data/models.json");

/// Largest overlay read, in bytes.
pub const MAX_OVERLAY_BYTES: usize = 16 << 20;

/// Most models in one document.
const MAX_MODELS: usize = 100_000;

/// Bedrock's inference profiles put one of these before the model (AWS, "Supported Regions for inference profiles").
const BEDROCK_REGIONS: &[&str] = &[
    "us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global.",
];

/// Models and prices by `provider/model`. Cheap to clone and safe to share between threads.
#[derive(Clone, Debug)]
pub struct PriceTable {
    date: Arc<str>,
    models: Arc<BTreeMap<String, Arc<ModelEntry>>>,
}

/// How a name led to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Match {
    /// It is the entry's id, or an alias that the table's sources price alike.
    Listed,
    /// It is the entry's name with a date after it or a Bedrock region before it that the table does not list. Costs
    /// are then `estimated`: vendors have priced a snapshot apart before (gpt-4o-2024-05-13).
    Derived,
}

/// An entry, found by a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The entry.
    pub entry: Arc<ModelEntry>,
    /// How the name led to it.
    pub matched: Match,
    /// Whether the name is another than the entry's id.
    pub alias: bool,
}

impl Found {
    /// An entry by its own id.
    #[must_use]
    pub fn exactly(entry: Arc<ModelEntry>) -> Self {
        Self {
            entry,
            matched: Match::Listed,
            alias: false,
        }
    }

    /// The same model at a call's own prices (`CallOptions::prices`), which replace all of the table's.
    ///
    /// Regional factors stay, for they are the vendor's surcharge on whatever the price is.
    #[must_use]
    pub fn with_prices(&self, prices: Vec<PriceEntry>) -> Self {
        let entry = ModelEntry {
            prices,
            version: "call".into(),
            ..(*self.entry).clone()
        };
        Self::exactly(Arc::new(entry))
    }

    /// A model the table does not know, at a call's own prices.
    #[must_use]
    pub fn priced_by_call(id: &str, prices: Vec<PriceEntry>) -> Self {
        let (provider, model) = id.split_once('/').unwrap_or(("", id));
        Self::exactly(Arc::new(ModelEntry {
            id: id.into(),
            provider: provider.into(),
            model: model.into(),
            prices,
            version: "call".into(),
            ..ModelEntry::default()
        }))
    }
}

impl PriceTable {
    /// The embedded table, read once per process on first use (a few milliseconds).
    #[must_use]
    pub fn embedded() -> &'static Self {
        static TABLE: OnceLock<PriceTable> = OnceLock::new();
        TABLE.get_or_init(|| {
            let empty = Self {
                date: "".into(),
                models: Arc::default(),
            };
            // A test reads the embedded table, so no released build gets the empty one.
            Self::read(&empty, EMBEDDED, None).unwrap_or(empty)
        })
    }

    /// This table with `json` laid over it.
    ///
    /// `json` is either a table (`{"models": [{"id": …, "prices": […]}]}`), whose rows replace what they name of the
    /// row with the same id and keep the rest, or the short form `{"provider/model": {"input": 2, "output": 10}}`, whose
    /// values are one price entry or a list. Either way prices are replaced as a whole, conditions and tiers included,
    /// so an overlay's price never mixes with the table's. Fails with every mistake found; then nothing is taken over.
    pub fn with_overlay(&self, json: &str) -> Result<Self, PriceError> {
        if json.len() > MAX_OVERLAY_BYTES {
            let mut problems = Problems::default();
            problems.add(
                &Path::Root("prices"),
                format_args!("expected at most {MAX_OVERLAY_BYTES} bytes"),
            );
            return finish(self.clone(), problems);
        }
        self.read(json, Some("overlay"))
    }

    fn read(&self, json: &str, layer: Option<&str>) -> Result<Self, PriceError> {
        let mut problems = Problems::default();
        let root = Path::Root("");
        let raw: &RawValue = match serde_json::from_str(json.trim_start_matches('\u{feff}')) {
            Ok(raw) => raw,
            Err(error) => {
                problems.add(
                    &Path::Root("prices"),
                    format_args!("expected JSON ({error})"),
                );
                return Err(PriceError(problems.0));
            }
        };
        let Some(mut object) = problems.object(raw, &root) else {
            return Err(PriceError(problems.0));
        };
        let mut models = (*self.models).clone();
        let mut date = Arc::clone(&self.date);
        if object
            .0
            .iter()
            .any(|(name, _)| name == "models" || name == "schema")
        {
            let schema: Option<String> = object.field("schema", &root, "a string", &mut problems);
            if schema.is_some_and(|schema| schema != "ossai-models/1") {
                problems.add(&root.key("schema"), "expected ossai-models/1");
            }
            for (name, only) in [
                ("currency", "USD"),
                (
                    "unit",
                    "per 1,000,000 tokens unless the field name says otherwise",
                ),
            ] {
                let value: Option<String> = object.field(name, &root, "a string", &mut problems);
                if value.is_some_and(|value| value != only) {
                    problems.add(&root.key(name), format_args!("expected {only}"));
                }
            }
            let generated: Option<String> =
                object.field("generated", &root, "a date", &mut problems);
            if generated
                .as_deref()
                .is_some_and(|text| Date::parse(text).is_none())
            {
                problems.add(&root.key("generated"), "expected a date, YYYY-MM-DD");
            }
            let version: Arc<str> = match (layer, &generated) {
                (Some(layer), Some(generated)) => format!("{layer}:{generated}").into(),
                (Some(layer), None) => layer.into(),
                (None, generated) => generated.as_deref().unwrap_or_default().into(),
            };
            if layer.is_none() {
                date = Arc::clone(&version);
            }
            object.take("notes");
            object.take("sources");
            let path = root.key("models");
            let rows = object
                .take("models")
                .map(|raw| problems.list(raw, &path, MAX_MODELS))
                .unwrap_or_default();
            let mut seen = std::collections::HashSet::with_capacity(rows.len());
            for (index, row) in rows.into_iter().enumerate() {
                let path = path.index(index);
                let known = |id: &str| models.get(id).map(Arc::as_ref);
                if let Some(entry) = parse::model(row, &path, &version, known, &mut problems) {
                    if !seen.insert(entry.id.clone()) {
                        problems.add(
                            &path.key("id"),
                            format_args!("expected each id once ({})", entry.id),
                        );
                    }
                    models.insert(entry.id.clone(), Arc::new(entry));
                }
            }
            object.finish(
                &root,
                "schema, generated, currency, unit, notes, sources, models",
                &mut problems,
            );
        } else {
            let version: Arc<str> = layer.unwrap_or_default().into();
            for (id, raw) in &object.0 {
                let path = root.key(id);
                let known = |id: &str| models.get(id).map(Arc::as_ref);
                if let Some(mut entry) = parse::new_or_known(id, &path, known, &mut problems) {
                    entry.prices = parse::prices(raw, &path, &mut problems);
                    entry.version = Arc::clone(&version);
                    models.insert(entry.id.clone(), Arc::new(entry));
                }
            }
        }
        finish(
            Self {
                date,
                models: Arc::new(models),
            },
            problems,
        )
    }

    /// The day the embedded table was made, `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Every model, by id.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Arc<ModelEntry>> {
        self.models.values()
    }

    /// The entry with exactly this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<ModelEntry>> {
        self.models.get(id)
    }

    /// The entry a request's model stands for, or `None`: then its price is unknown.
    ///
    /// In this order: the exact id; an alias the table lists; the id followed by `-YYYY-MM-DD` or `-YYYYMMDD` (a
    /// calendar day), and on `bedrock/` the id after a region (`us.`, `eu.` …), each unless the table lists it as
    /// priced otherwise. Nothing else is cut off a name: `gpt-5-ultra` is not `gpt-5`.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Found> {
        if let Some(entry) = self.models.get(id) {
            return Some(Found::exactly(Arc::clone(entry)));
        }
        let (provider, name) = id.split_once('/')?;
        let base = match provider {
            "bedrock" => BEDROCK_REGIONS
                .iter()
                .find_map(|region| name.strip_prefix(region)),
            _ => without_date(name),
        };
        if let Some(entry) = base.and_then(|base| self.models.get(&format!("{provider}/{base}"))) {
            if entry.unlike.iter().any(|other| other == name) {
                return None;
            }
            let listed = entry.aliases.iter().any(|alias| alias == name);
            let matched = if listed {
                Match::Listed
            } else {
                Match::Derived
            };
            return Some(Found {
                entry: Arc::clone(entry),
                matched,
                alias: true,
            });
        }
        let aliased = |entry: &&Arc<ModelEntry>| {
            entry.provider == provider && entry.aliases.iter().any(|alias| alias == name)
        };
        let entry = self.models.values().find(aliased)?;
        Some(Found {
            entry: Arc::clone(entry),
            matched: Match::Listed,
            alias: true,
        })
    }

    /// [`Self::find`], with a call's own prices in place of the table's where it brings some (`CallOptions::prices`).
    ///
    /// Fails with every mistake in them; paths begin with `prices`.
    pub fn find_for_call(
        &self,
        id: &str,
        prices: Option<&Value>,
    ) -> Result<Option<Found>, PriceError> {
        let found = self.find(id);
        let Some(prices) = prices else {
            return Ok(found);
        };
        let prices = PriceEntry::from_json(prices, "prices")?;
        Ok(Some(match found {
            Some(found) => found.with_prices(prices),
            None => Found::priced_by_call(id, prices),
        }))
    }
}

/// The name before a trailing `-YYYY-MM-DD` or `-YYYYMMDD`, if that is a day of this century.
fn without_date(name: &str) -> Option<&str> {
    let dashed = name
        .len()
        .checked_sub(11)
        .and_then(|at| name.split_at_checked(at));
    if let Some((base, tail)) = dashed
        && !base.is_empty()
        && tail
            .strip_prefix('-')
            .is_some_and(|day| day.starts_with("20") && Date::parse(day).is_some())
    {
        return Some(base);
    }
    let (base, tail) = name
        .len()
        .checked_sub(9)
        .and_then(|at| name.split_at_checked(at))?;
    let day = tail
        .strip_prefix('-')
        .filter(|day| day.starts_with("20") && day.is_ascii())?;
    let day = format!("{}-{}-{}", day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    (!base.is_empty() && Date::parse(&day).is_some()).then_some(base)
}
