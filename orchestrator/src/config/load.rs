//! Reads the document and the environment, and finds every mistake in one go: what is wrong is noted, taken out, and the
//! rest read again.

use std::path::{Path, PathBuf};

use ossai::client::config::without_value;
use ossai::{Error, ErrorKind};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::{ConfigErrors, ServeConfig};

/// Most mistakes reported at once.
const MAX_ERRORS: usize = 100;

/// How the text of a variable is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// `true`, `1`, `false` or `0`.
    Flag,
    /// Texts with commas between them.
    List,
}

/// The environment variables that go over the document: name, path in it, form.
pub const ENVIRONMENT: &[(&str, &str, Kind)] = &[
    ("OSSAI_BIND", "bind", Kind::Text),
    ("OSSAI_TLS_CERT", "tls.cert", Kind::Text),
    ("OSSAI_TLS_KEY", "tls.key", Kind::Text),
    ("OSSAI_TLS_CLIENT_CA", "tls.client_ca", Kind::Text),
    ("OSSAI_ALLOW_INSECURE", "allow_insecure", Kind::Flag),
    ("OSSAI_DATA_DIR", "data_dir", Kind::Text),
    ("OSSAI_AUTH", "auth", Kind::Text),
    ("OSSAI_HOSTS", "hosts", Kind::List),
    ("OSSAI_ORIGINS", "origins", Kind::List),
    ("OSSAI_DEFAULT_PROVIDER", "default_provider", Kind::Text),
    ("OSSAI_METRICS_BIND", "metrics_bind", Kind::Text),
    ("OSSAI_REFLECTION", "reflection", Kind::Flag),
    (
        "OSSAI_CONCURRENT_REQUESTS",
        "limits.concurrent_requests",
        Kind::Number,
    ),
    (
        "OSSAI_NOTICE_SECONDS",
        "shutdown.notice_seconds",
        Kind::Number,
    ),
    (
        "OSSAI_DRAIN_SECONDS",
        "shutdown.drain_seconds",
        Kind::Number,
    ),
    (
        "OSSAI_USAGE_RETENTION_DAYS",
        "usage.retention_days",
        Kind::Number,
    ),
    ("OSSAI_LOG_LEVEL", "log.level", Kind::Text),
    ("OSSAI_LOG_FORMAT", "log.format", Kind::Text),
    ("OSSAI_PRICES", "client.prices", Kind::Text),
];

impl ServeConfig {
    /// The configuration of a file (or, without one, of the file `OSSAI_CONFIG` names, or of none) with the environment
    /// over it ([`ENVIRONMENT`]), checked.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let env = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        let file = file
            .map(Path::to_owned)
            .or_else(|| env("OSSAI_CONFIG").map(PathBuf::from));
        let text = file
            .map(|file| {
                std::fs::read_to_string(&file).map_err(|error| {
                    let message = format!("cannot read {}: {error}", file.display());
                    ConfigErrors(vec![Error::new(ErrorKind::InvalidRequest, message)])
                })
            })
            .transpose()?;
        Self::from_parts(text.as_deref(), &env)
    }

    /// The same of a document's text and a look-up of variables.
    ///
    /// # Errors
    /// As [`ServeConfig::load`].
    pub fn from_parts(
        json: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut document = match json.map(serde_json::from_str) {
            None => Value::Object(Map::new()),
            Some(Ok(document @ Value::Object(_))) => document,
            Some(Ok(_)) => return Err(one("the document: expected a JSON object".into())),
            Some(Err(error)) => return Err(one(format!("the document: {error}"))),
        };
        for (name, path, kind) in ENVIRONMENT {
            if let Some(text) = env(name) {
                match kind.read(text.trim()) {
                    Ok(value) => put(&mut document, path, value),
                    Err(expected) => errors.push(Error::invalid(*name, expected)),
                }
            }
        }
        if let Some(config) = read::<Self>(&mut document, &mut errors) {
            errors.extend(config.problems(document.get_mut("client")));
            if errors.is_empty() {
                return Ok(config);
            }
        }
        Err(ConfigErrors(errors))
    }

    /// Checks what types cannot, for a configuration that was made or changed in code.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        let errors = self.problems(None);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(errors))
        }
    }
}

fn one(message: String) -> ConfigErrors {
    ConfigErrors(vec![Error::new(ErrorKind::InvalidRequest, message)])
}

impl Kind {
    fn read(self, text: &str) -> Result<Value, &'static str> {
        Ok(match self {
            Self::Text => Value::from(text),
            Self::Number => {
                Value::from(text.parse::<u64>().map_err(|_| "expected a whole number")?)
            }
            Self::Flag => Value::from(match text {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err("expected `true` or `false`"),
            }),
            Self::List => text
                .split(',')
                .map(|item| Value::from(item.trim()))
                .collect(),
        })
    }
}

fn put(document: &mut Value, path: &str, value: Value) {
    let mut place = document;
    for name in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Some(object) = place.as_object_mut() else {
            return;
        };
        place = object.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

/// Reads as much as can be read; what cannot is noted and taken out of the document.
pub(super) fn read<T: serde::de::DeserializeOwned>(
    document: &mut Value,
    errors: &mut Vec<Error>,
) -> Option<T> {
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&*document) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let path = error.path();
        let names: Vec<String> = path
            .iter()
            .filter_map(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                Segment::Seq { index } => Some(index.to_string()),
                _ => None,
            })
            .collect();
        let field = path.to_string();
        errors.push(Error::invalid(
            field,
            without_value(&error.into_inner().to_string()),
        ));
        if errors.len() >= MAX_ERRORS || !take_out(document, &names) {
            return None;
        }
    }
}

/// Takes the value at a path out, or what of the path there is; whether something changed.
pub(super) fn take_out(document: &mut Value, path: &[String]) -> bool {
    let Some((last, outer)) = path.split_last() else {
        return false;
    };
    let mut place = &mut *document;
    for (depth, name) in outer.iter().enumerate() {
        let next = match place {
            Value::Object(object) if object.contains_key(name) => object.get_mut(name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
            _ => return take_out(document, path.get(..depth).unwrap_or_default()),
        };
        let Some(next) = next else { return false };
        place = next;
    }
    let gone = match place {
        Value::Object(object) => object.remove(last).is_some(),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(i) if i < items.len() => {
                items.remove(i);
                true
            }
            _ => false,
        },
        _ => false,
    };
    gone || take_out(document, outer)
}

/// `ossai` in the folder where programs of this platform keep a user's data.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    let env = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = if cfg!(windows) {
        env("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        env("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        // XDG Base Directory Specification: a relative path counts as unset.
        env("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| env("HOME").map(|home| home.join(".local/share")))
    };
    base.map(|base| base.join("ossai"))
}
