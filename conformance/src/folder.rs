//! A folder of a case's own, for what a client keeps in files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// Stands in a configuration for a folder of the case's own.
const FOLDER: &str = "@folder";

/// The folder of a case that asks for one; it goes with the case.
#[derive(Default)]
pub(crate) struct Folder(OnceLock<PathBuf>);

impl Folder {
    /// Its path; it is made when somebody first asks.
    fn path(&self) -> std::io::Result<&PathBuf> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if let Some(path) = self.0.get() {
            return Ok(path);
        }
        let name = format!(
            "ossai-case-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(self.0.get_or_init(|| path))
    }

    /// Puts files into it.
    pub(crate) fn given(&self, files: &BTreeMap<String, Value>) -> std::io::Result<()> {
        for (name, content) in files {
            let text = match content {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            std::fs::write(self.path()?.join(name), text)?;
        }
        Ok(())
    }

    /// The configuration with the folder's path in place of its name.
    pub(crate) fn given_to(&self, config: &Value) -> std::io::Result<Value> {
        let text = config.to_string();
        if !text.contains(FOLDER) {
            return Ok(config.clone());
        }
        let shown = json!(self.path()?).to_string();
        let given = text.replace(FOLDER, shown.trim_matches('"'));
        Ok(serde_json::from_str(&given)?)
    }

    /// The files of text that stand in it, by name.
    pub(crate) fn texts(&self) -> Value {
        let entries = self.0.get().and_then(|path| std::fs::read_dir(path).ok());
        let text = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, std::fs::read_to_string(entry.path()).ok()?.into()))
        };
        let texts = entries.into_iter().flatten().flatten().filter_map(text);
        Value::Object(texts.collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = self.0.get() {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
