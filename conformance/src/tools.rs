//! Tools with scripted handlers: what each does when it is called, as data, so that every language's does the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The tools of a call whose handlers the runner plays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// The tools.
    pub handlers: Vec<Handler>,
    /// The loop's options in the public types' JSON form.
    #[serde(default)]
    pub options: Map<String, Value>,
    /// What the approval callback does, by the tool's name; without it nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<BTreeMap<String, Vec<Doing>>>,
}

/// A tool and what its handler does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// The tool in the public types' JSON form.
    pub tool: Map<String, Value>,
    /// What it does at its first call, its second …; the last goes for all after it.
    pub does: Vec<Doing>,
}

/// What a handler does once; exactly one of `returns`, `throws`, `echoes`, `hangs` and `completes`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Doing {
    /// Returns this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<Value>,
    /// Fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throws: Option<Thrown>,
    /// Returns its input.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub echoes: bool,
    /// Does nothing more until it is cancelled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hangs: bool,
    /// Makes this completion with the same client and returns its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completes: Option<Value>,
    /// And takes so long over it, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<f64>,
}

/// A failure, by the name of its class.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thrown {
    /// The class.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says.
    pub message: String,
}

impl Tools {
    pub(crate) fn check(&self) -> Result<(), String> {
        let handlers = self.handlers.iter().map(|handler| &handler.does);
        let approvals = self.approve.iter().flat_map(BTreeMap::values);
        for does in handlers.chain(approvals) {
            if does.is_empty() {
                return Err("does: expected at least one thing to do".into());
            }
            for one in does {
                let ways = [
                    one.returns.is_some(),
                    one.throws.is_some(),
                    one.echoes,
                    one.hangs,
                    one.completes.is_some(),
                ];
                if ways.iter().filter(|way| **way).count() != 1 {
                    return Err(
                        "expected exactly one of returns, throws, echoes, hangs, completes".into(),
                    );
                }
            }
        }
        Ok(())
    }

    /// The same with its waits in real time.
    pub(crate) fn in_real_time(&self, scale: f64) -> Self {
        let mut tools = self.clone();
        let handlers = tools.handlers.iter_mut().map(|handler| &mut handler.does);
        let approvals = tools.approve.iter_mut().flat_map(BTreeMap::values_mut);
        for one in handlers.chain(approvals).flatten() {
            one.after_ms = one.after_ms.map(|ms| ms / scale);
        }
        tools
    }
}
