//! Which kept answers shall not be given any more, and what came of it.

use serde::{Deserialize, Serialize};

use super::CacheTier;
use crate::error::{Error, Result};

/// Which kept answers are meant, always of the client's own tenant.
///
/// In JSON `{"model": "openai/gpt-4o"}`, `{"tag": "feature", "value": "search"}` or `{"all": true}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub enum Invalidation {
    /// What the model `provider/model` has answered.
    Model(String),
    /// What was kept for calls that had this tag. A later call without it, or with another one, may have been given it.
    Tag {
        /// The tag's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Everything of the tenant's.
    All,
}

/// What an invalidation did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Invalidated {
    /// Answers dropped out of memory, an orchestrator's included. What counts no more in the tiers beneath is not counted.
    pub dropped: u64,
    /// Where it holds, in the order tiers are asked.
    pub tiers: Vec<CacheTier>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
}

impl TryFrom<Fields> for Invalidation {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        match fields {
            Fields {
                model: Some(model),
                tag: None,
                value: None,
                all: false,
            } => Ok(Self::Model(model)),
            Fields {
                model: None,
                tag: Some(name),
                value: Some(value),
                all: false,
            } => Ok(Self::Tag { name, value }),
            Fields {
                model: None,
                tag: None,
                value: None,
                all: true,
            } => Ok(Self::All),
            _ => Err("expected exactly one of `model`, `tag` with `value`, and `all: true`"),
        }
    }
}

impl From<Invalidation> for Fields {
    fn from(what: Invalidation) -> Self {
        let none = Self::default();
        match what {
            Invalidation::Model(model) => Self {
                model: Some(model),
                ..none
            },
            Invalidation::Tag { name, value } => Self {
                tag: Some(name),
                value: Some(value),
                ..none
            },
            Invalidation::All => Self { all: true, ..none },
        }
    }
}

impl Invalidation {
    /// # Errors
    /// `invalid_request` naming the field.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Model(model) => crate::call::validate::split_model(model).map(drop),
            Self::Tag { name, .. } if name.is_empty() => {
                Err(Error::invalid("tag", "expected a name"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_thing_is_named() {
        for json in [
            r#"{"model":"openai/gpt-4o"}"#,
            r#"{"tag":"feature","value":""}"#,
            r#"{"all":true}"#,
        ] {
            let what: Invalidation = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&what).unwrap(), json);
        }
        for json in [
            "{}",
            r#"{"all":false}"#,
            r#"{"tag":"feature"}"#,
            r#"{"value":"x"}"#,
            r#"{"model":"a/b","all":true}"#,
            r#"{"model":"a/b","tag":"c","value":"d"}"#,
            r#"{"models":["a/b"]}"#,
        ] {
            assert!(
                serde_json::from_str::<Invalidation>(json).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn a_model_without_a_provider_is_refused_by_name() {
        let error = Invalidation::Model("gpt-4o".into()).check().unwrap_err();
        assert_eq!(error.fields().field.as_deref(), Some("model"));
    }
}
