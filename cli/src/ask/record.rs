//! Calls that no orchestrator records are recorded here, in the same store, for `ossai usage`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ossai::{CacheStatus, Client, Completion, Result, Usage};
use ossai_orchestrator::{Store, UsageRow};

use crate::usage::data_dir;

/// Writes a row per call; trouble with it is said once and ends nothing.
pub(super) struct Recorder {
    store: RefCell<Option<Store>>,
    tenant: String,
    tags: BTreeMap<String, String>,
}

impl Recorder {
    pub(super) fn new(client: &Client, off: bool, tags: BTreeMap<String, String>) -> Self {
        let config = client.config();
        // A client with a ledger of its own records there.
        let store = if off || config.endpoint.is_some() || config.usage.ledger.is_some() {
            None
        } else {
            let opened = data_dir(None).and_then(|folder| Ok(Store::open(&folder)?));
            opened.map_err(|failure| trouble(&failure)).ok()
        };
        Self {
            store: RefCell::new(store),
            tenant: config.tenant.clone().unwrap_or_else(|| "default".into()),
            tags,
        }
    }

    pub(super) fn record(&self, model: &str, outcome: &Result<Completion>) {
        match outcome {
            Ok(answer) => self.write(model, "ok", answer),
            Err(error) => {
                let mut answer = error
                    .fields()
                    .partial
                    .as_deref()
                    .cloned()
                    .unwrap_or_default();
                answer.request_id = error.fields().request_id.clone().unwrap_or_default();
                answer.attempts.clone_from(&error.fields().attempts);
                self.write(model, error.kind().name(), &answer);
            }
        }
    }

    pub(super) fn record_cancelled(&self, model: &str, partial: &Completion) {
        self.write(model, "cancelled", partial);
    }

    fn write(&self, model: &str, outcome: &str, answer: &Completion) {
        let mut store = self.store.borrow_mut();
        let Some(open) = store.as_ref() else { return };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let status = serde_json::to_value(answer.cache.status).unwrap_or_default();
        let row = UsageRow {
            time: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            request_id: answer.request_id.clone(),
            tenant: self.tenant.clone(),
            operation: "chat".into(),
            provider: model
                .split_once('/')
                .map_or("", |(provider, _)| provider)
                .to_owned(),
            model: model.to_owned(),
            outcome: outcome.to_owned(),
            // Nothing where a cache or another's flight answered, so that sums are those of the vendor's bill.
            usage: if answer.cache.status == CacheStatus::Hit || answer.cache.joined {
                Usage::default()
            } else {
                answer.usage.clone()
            },
            cost: answer.cost.total,
            saved: answer.cache.saved,
            price_version: answer.cost.price_version.clone(),
            cache: status.as_str().unwrap_or_default().to_owned(),
            joined: answer.cache.joined.into(),
            attempts: u32::try_from(answer.attempts.len()).unwrap_or(u32::MAX),
            latency_us: answer.timing.total_us,
            first_token_us: answer.timing.first_token_us,
            tags: self.tags.clone(),
            ..UsageRow::default()
        };
        if let Err(error) = open.record(&[row]) {
            trouble(&error.into());
            *store = None;
        }
    }
}

fn trouble(failure: &crate::failure::Failure) {
    let why = match failure {
        crate::failure::Failure::Call(error) => error.fields().message.clone(),
        crate::failure::Failure::Message(text) => text.clone(),
        _ => return,
    };
    anstream::eprintln!("the call is not recorded: {why} (--no-record says so quietly)");
}
