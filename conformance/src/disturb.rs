//! What befalls a client between two calls: its files damaged, its ledger locked, its orchestrator restarted, itself closed, another
//! process killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A disturbance; exactly one of `files`, `lock`, `orchestrator`, `client` and `killed`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disturbance {
    /// A folder all of whose files are damaged.
    pub files: Option<String>,
    /// How.
    pub how: Option<Damage>,
    /// A SQLite database that is locked for writing.
    pub lock: Option<PathBuf>,
    /// For how long, in milliseconds of the case.
    pub ms: f64,
    /// `restart`: it drains, ends and starts again at the same address.
    pub orchestrator: Option<Orchestrator>,
    /// `close`: it is closed as a program would close it.
    pub client: Option<Closing>,
    /// Another process streams this request with the client's configuration and is killed (SIGKILL) after its first event.
    pub killed: Option<Value>,
}

/// How files are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// One bit in the middle of each is turned.
    Flip,
    /// The second half of each is gone.
    Cut,
    /// Nothing is left in them.
    Empty,
    /// Each has another one's content; a single one gets its own twice.
    Swap,
    /// Each holds something else.
    Foreign,
    /// Each is a symbolic link to a copy outside of the folder.
    Link,
    /// The folder is gone.
    Gone,
    /// A file stands where the folder was, so that nothing can be written there, whoever tries.
    Blocked,
}

/// What happens to an orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orchestrator {
    /// It ends as it does when told to, and starts again.
    Restart,
}

/// What happens to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// It is closed.
    Close,
}

impl Disturbance {
    /// Reads and checks one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let parsed: Self = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
        let ways = [
            parsed.files.is_some(),
            parsed.lock.is_some(),
            parsed.orchestrator.is_some(),
            parsed.client.is_some(),
            parsed.killed.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Err("expected exactly one of files, lock, orchestrator, client, killed".into());
        }
        if parsed.files.is_some() != parsed.how.is_some() {
            return Err("files and how belong together".into());
        }
        if parsed.lock.is_some() != (parsed.ms > 0.0) || !parsed.ms.is_finite() {
            return Err("lock and ms belong together".into());
        }
        Ok(parsed)
    }
}

/// Damages all files below `folder`, and says so when there are none.
pub(crate) fn damage(folder: &Path, how: Damage) -> io::Result<()> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(io::Error::other(format!(
            "there are no files in {}",
            folder.display()
        )));
    }
    match how {
        Damage::Gone => return fs::remove_dir_all(folder),
        Damage::Blocked => {
            fs::remove_dir_all(folder)?;
            return fs::write(folder, "in the way");
        }
        Damage::Swap => {
            let mut contents = files.iter().map(fs::read).collect::<io::Result<Vec<_>>>()?;
            match contents.as_mut_slice() {
                [only] => *only = only.repeat(2),
                several => several.rotate_left(1),
            }
            for (file, content) in files.iter().zip(contents) {
                fs::write(file, content)?;
            }
            return Ok(());
        }
        _ => {}
    }
    for (i, file) in files.iter().enumerate() {
        let mut bytes = fs::read(file)?;
        let half = bytes.len() / 2;
        match how {
            Damage::Flip => {
                if let Some(byte) = bytes.get_mut(half) {
                    *byte ^= 1;
                }
            }
            Damage::Cut => bytes.truncate(half),
            Damage::Empty => bytes.clear(),
            Damage::Foreign => bytes = b"{\"text\": \"forged\"}".to_vec(),
            _ => {}
        }
        if how == Damage::Link {
            let outside = folder.with_extension(format!("outside-{i}"));
            fs::write(&outside, &bytes)?;
            fs::remove_file(file)?;
            link(&outside, file)?;
        } else {
            fs::write(file, bytes)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn link(outside: &Path, file: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(outside, file)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::other("symbolic links need Unix here"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Holds the write lock of a database, as another process in a transaction would, on a thread of its own until the time is
/// over. Returns once it is held.
pub(crate) async fn lock(path: PathBuf, real: Duration) -> Result<(), String> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let held = rusqlite::Connection::open(&path).and_then(|other| {
            other.busy_timeout(Duration::from_secs(5))?;
            other.execute_batch("BEGIN IMMEDIATE")?;
            Ok(other)
        });
        match held {
            Err(error) => drop(tell.send(Err(error.to_string()))),
            Ok(other) => {
                let _ = tell.send(Ok(()));
                std::thread::sleep(real);
                // Dropping it rolls back.
                drop(other);
            }
        }
    });
    told.await.map_err(|e| e.to_string())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_disturbance_is_one_thing_and_whole() {
        for good in [
            json!({"files": "@folder", "how": "flip"}),
            json!({"lock": "@folder/l.db", "ms": 1}),
            json!({"orchestrator": "restart"}),
            json!({"client": "close"}),
            json!({"killed": {"model": "openai/m"}}),
        ] {
            assert!(Disturbance::parse(&good).is_ok(), "{good}");
        }
        for bad in [
            json!({}),
            json!({"files": "@folder"}),
            json!({"lock": "l.db"}),
            json!({"client": "close", "orchestrator": "restart"}),
            json!({"client": "kill"}),
        ] {
            assert!(Disturbance::parse(&bad).is_err(), "{bad}");
        }
    }
}
