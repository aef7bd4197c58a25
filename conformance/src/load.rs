//! Case files: reading, tables, short forms.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::case::{Api, Case, Road};
use crate::expand::{finish, merge, substitute};
use crate::upstream_process::Registered;

/// A case as loaded: a file, or a row of its table.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// `area/name` or `area/name[row]`.
    pub id: String,
    /// The file.
    pub file: PathBuf,
    /// The roads it holds on.
    pub roads: Vec<Road>,
    value: Value,
    on: Value,
}

impl Loaded {
    /// The case on `road`, with `${upstream.url}` and the like replaced by what `lookup` gives.
    ///
    /// # Errors
    /// What is wrong with the case.
    pub fn resolve(
        &self,
        road: Road,
        lookup: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<Case, String> {
        let mut value = self.value.clone();
        if let Some(patch) = self.on.get(road.name()) {
            merge(&mut value, patch);
        }
        // The provider short form stands beneath the case's own configuration.
        if let Some(api) = value.get("provider").filter(|api| !api.is_null()) {
            let api: Api =
                serde_json::from_value(api.clone()).map_err(|e| format!("provider: {e}"))?;
            let mut config = json!({"providers": api.providers()});
            merge(&mut config, value.get("config").unwrap_or(&json!({})));
            merge(&mut value, &json!({"config": config}));
        }
        let value = finish(&substitute(&value, lookup))?;
        let mut case: Case = serde_json::from_value(value).map_err(|e| e.to_string())?;
        let mut config = json!({"testing": {"time_scale": case.time_scale, "seed": 7}});
        merge(&mut config, &case.config);
        case.config = config;
        case.check()?;
        Ok(case)
    }

    /// What the case promises.
    #[must_use]
    pub fn promise(&self) -> &str {
        self.value
            .get("promise")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The upstreams' names, in the order in which they start: a script may refer to those before it.
    #[must_use]
    pub fn upstreams(&self) -> Vec<String> {
        let object = self.value.get("upstreams").and_then(Value::as_object);
        let mut names: Vec<String> = object
            .map(|o| o.keys().cloned().collect())
            .unwrap_or_default();
        names.sort();
        names
    }
}

/// Loads every case under `folder`, in the order of their names.
///
/// # Errors
/// Every fault found, one per line with its file.
pub fn load_all(folder: &Path) -> Result<Vec<Loaded>, Vec<String>> {
    let mut files = Vec::new();
    if let Err(error) = find_files(folder, &mut files) {
        return Err(vec![format!("{}: {error}", folder.display())]);
    }
    files.sort();
    let (mut cases, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        match load(folder, &file) {
            Ok(loaded) => cases.extend(loaded),
            Err(error) => faults.push(format!("{}: {error}", file.display())),
        }
    }
    if faults.is_empty() {
        Ok(cases)
    } else {
        Err(faults)
    }
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_files(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            files.push(path);
        }
    }
    Ok(())
}

/// Loads one file: one case, or one per row of its table.
///
/// # Errors
/// What is wrong with it.
pub fn load(folder: &Path, file: &Path) -> Result<Vec<Loaded>, String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let mut value: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let object = value.as_object_mut().ok_or("expected an object")?;
    object.remove("$schema");
    let table = object.remove("table");
    let on = object.remove("on").unwrap_or_default();
    let id = file
        .strip_prefix(folder)
        .unwrap_or(file)
        .with_extension("")
        .to_string_lossy()
        .replace('\\', "/");
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned());
    if object.get("name").and_then(Value::as_str) != stem.as_deref() {
        return Err("name: expected the name of the file".into());
    }
    let rows = match &table {
        None => vec![(id, value, on)],
        Some(table) => table
            .as_array()
            .filter(|rows| !rows.is_empty())
            .ok_or("table: expected a list of rows")?
            .iter()
            .map(|row| expand_row(&id, &value, &on, row))
            .collect::<Result<_, _>>()?,
    };
    rows.into_iter()
        .map(|(id, value, on)| loaded(id, file, value, on))
        .collect()
}

fn expand_row(
    id: &str,
    value: &Value,
    on: &Value,
    row: &Value,
) -> Result<(String, Value, Value), String> {
    let name = row
        .get("name")
        .and_then(Value::as_str)
        .ok_or("table: a row without `name`")?;
    let lookup = |key: &str| row.get(key).cloned();
    let mut value = value.clone();
    if let Some(patch) = row.get("patch") {
        merge(&mut value, patch);
    }
    let mut value = substitute(&value, &lookup);
    let full = format!(
        "{}[{name}]",
        value
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    );
    merge(&mut value, &json!({"name": full}));
    Ok((format!("{id}[{name}]"), value, substitute(on, &lookup)))
}

fn loaded(id: String, file: &Path, value: Value, on: Value) -> Result<Loaded, String> {
    let roads = value.get("roads").cloned().unwrap_or_default();
    let roads: Vec<Road> =
        serde_json::from_value(roads).map_err(|e| format!("{id}: roads: {e}"))?;
    let loaded = Loaded {
        id,
        file: file.into(),
        roads,
        value,
        on,
    };
    // A dry run with made-up addresses finds every fault that does not need a running upstream.
    let lookup = |name: &str| {
        upstream_variable(&loaded.upstreams(), name, &|_| Registered {
            id: "s0".into(),
            base_url: "http://127.0.0.1:9/s0".into(),
            authority: Some("an authority".into()),
        })
    };
    for road in &loaded.roads {
        loaded
            .resolve(*road, &lookup)
            .map_err(|e| format!("{} on {}: {e}", loaded.id, road.name()))?;
    }
    Ok(loaded)
}

/// The value of `${name.url}`, `${name.origin}`, `${name.port}` or `${name.authority}` for a started upstream.
pub fn upstream_variable(
    names: &[String],
    variable: &str,
    started: &dyn Fn(&str) -> Registered,
) -> Option<Value> {
    let (name, what) = variable.split_once('.')?;
    if !names.iter().any(|known| known == name) {
        return None;
    }
    let started = started(name);
    let (scheme, rest) = started.base_url.split_once("://")?;
    let authority = rest.split('/').next()?;
    Some(match what {
        "origin" => format!("{scheme}://{authority}").into(),
        "port" => authority.rsplit(':').next()?.into(),
        "authority" => started.authority?.into(),
        "url" => started.base_url.into(),
        _ => return None,
    })
}
