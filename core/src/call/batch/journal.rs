//! What outlives the process: which batches there are, and which of their requests nobody has had the answer of.
//!
//! A line is written before a batch is sent and one after, each on the disk before anything else happens, so that whenever
//! the process is killed it is known what may be under way. A line that is cut short or spoilt says nothing. There are
//! digests, numbers and the vendors' ids in it, and nothing of what was asked or with which credential.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::call::key::Key;
use crate::error::{Error, ErrorKind, Result};

/// Of the lines' format.
const VERSION: &str = "1";
/// For how long vendors keep results: Anthropic for 29 days, OpenAI's files for 30.
const KEPT_MS: i64 = 29 * 86_400_000;
/// Largest journal that is read.
const MAX_BYTES: u64 = 1 << 30;
/// Lines beyond those that count, after which the file is written anew.
const SPARE_LINES: usize = 1_024;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    /// These requests are about to be sent.
    Begun {
        batch: Arc<str>,
        /// Milliseconds since 1970.
        at: i64,
        keys: Vec<Option<String>>,
    },
    /// The vendor has them under this id.
    Sent { batch: Arc<str>, vendor: String },
    /// These have been answered.
    Answered {
        batch: Arc<str>,
        requests: Vec<usize>,
    },
    /// These have been answered for callers who were gone by then: paid, and still to be had.
    Paid {
        batch: Arc<str>,
        requests: Vec<usize>,
    },
    /// There is nothing more to be had of it.
    Over { batch: Arc<str> },
}

/// A batch as it is known from the file.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) at: i64,
    /// Of each request, until it has been answered.
    pub(super) keys: Vec<Option<Key>>,
    pub(super) vendor: Option<String>,
    /// Which have been paid for.
    pub(super) paid: BTreeSet<usize>,
}

pub(super) type AllKnown = BTreeMap<Arc<str>, Known>;

/// The open file; while it is open no other process has it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    _lock: File,
}

impl Journal {
    /// Opens it, with what still counts of it at `now`.
    pub(super) fn open(path: &Path, now: i64) -> Result<(Self, AllKnown)> {
        let lock = private()
            .open(beside(path, "lock"))
            .map_err(|e| failed(path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let text = "another process has this journal: give each its own";
                return Err(Error::new(ErrorKind::InvalidState, text)
                    .with(|fields| fields.field = Some("config.batch.journal".into())));
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(path, &error)),
        }
        let known = read(path, now)?;
        let (file, lines) = rewritten(path, &known).map_err(|e| failed(path, &e))?;
        let journal = Self {
            path: path.to_owned(),
            file,
            lines,
            _lock: lock,
        };
        Ok((journal, known))
    }

    /// Appends a line; `safely` when it must be on the disk before anything else happens.
    pub(super) fn append(&mut self, entry: &Entry, safely: bool) -> Result<()> {
        let outcome = (|| {
            self.file.write_all(&line(entry)?)?;
            if safely {
                self.file.sync_data()?;
            }
            Ok(())
        })();
        self.lines += 1;
        outcome.map_err(|error: io::Error| failed(&self.path, &error))
    }

    /// Writes the file anew when most of it counts no more.
    pub(super) fn tidy(&mut self, known: impl FnOnce() -> AllKnown, live: usize) {
        if self.lines <= live.saturating_mul(4).saturating_add(SPARE_LINES) {
            return;
        }
        // What cannot be written now is written later; the old file says all that counts.
        if let Ok((file, lines)) = rewritten(&self.path, &known()) {
            (self.file, self.lines) = (file, lines);
        }
    }
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(
        ErrorKind::InvalidState,
        format!("the journal {} cannot be used: {error}", path.display()),
    )
    .with(|fields| fields.field = Some("config.batch.journal".into()))
}

/// `version digest json`: a line that was not written whole has another digest.
fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{VERSION} {} {json}\n", digest(&json)).into_bytes())
}

fn digest(json: &str) -> String {
    let digest = blake3::hash(json.as_bytes()).to_hex();
    digest.get(..16).unwrap_or_default().to_owned()
}

/// What a file says that is there and not too old; lines that are not whole say nothing.
fn read(path: &Path, now: i64) -> Result<AllKnown> {
    let mut known = AllKnown::new();
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(known),
        Err(error) => return Err(failed(path, &error)),
        Ok(data) if data.len() > MAX_BYTES => {
            return Err(failed(path, &io::Error::other("it is over 1 GiB")));
        }
        Ok(_) => fs::read(path).map_err(|error| failed(path, &error))?,
    };
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((version, json)) = whole(line) else {
            continue;
        };
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::VersionIncompatible,
                format!("the journal {} is a newer version's", path.display()),
            )
            .with(|fields| fields.field = Some("config.batch.journal".into())));
        }
        if let Ok(entry) = serde_json::from_str(json) {
            apply(&mut known, entry);
        }
    }
    known.retain(|_, one| {
        now.saturating_sub(one.at) < KEPT_MS && one.keys.iter().any(Option::is_some)
    });
    Ok(known)
}

fn whole(line: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let (said, json) = rest.split_once(' ')?;
    (said == digest(json)).then_some((version, json))
}

fn apply(known: &mut AllKnown, entry: Entry) {
    match entry {
        Entry::Begun { batch, at, keys } => {
            let keys = keys.into_iter().map(|key| unhex(&key?)).collect();
            let begun = Known {
                at,
                keys,
                vendor: None,
                paid: BTreeSet::new(),
            };
            known.insert(batch, begun);
        }
        Entry::Sent { batch, vendor } => {
            if let Some(one) = known.get_mut(&batch) {
                one.vendor = Some(vendor);
            }
        }
        Entry::Answered { batch, requests } => {
            if let Some(one) = known.get_mut(&batch) {
                for number in requests {
                    if let Some(key) = one.keys.get_mut(number) {
                        *key = None;
                    }
                }
            }
        }
        Entry::Paid { batch, requests } => {
            if let Some(one) = known.get_mut(&batch) {
                one.paid.extend(requests);
            }
        }
        Entry::Over { batch } => {
            known.remove(&batch);
        }
    }
}

fn unhex(text: &str) -> Option<Key> {
    let hash = blake3::Hash::from_hex(text).ok()?;
    Some(Key(*hash.as_bytes()))
}

/// Puts a file in its place that says what is known and nothing else.
fn rewritten(path: &Path, known: &AllKnown) -> io::Result<(File, usize)> {
    let fresh = beside(path, "tmp");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().open(&fresh)?;
    let mut lines = 0;
    for (batch, one) in known {
        let keys = one.keys.iter().map(|key| Some(key.as_ref()?.hex()));
        let begun = Entry::Begun {
            batch: Arc::clone(batch),
            at: one.at,
            keys: keys.collect(),
        };
        file.write_all(&line(&begun)?)?;
        lines += 1;
        if let Some(vendor) = &one.vendor {
            let (batch, vendor) = (Arc::clone(batch), vendor.clone());
            file.write_all(&line(&Entry::Sent { batch, vendor })?)?;
            lines += 1;
        }
        if !one.paid.is_empty() {
            let (batch, requests) = (Arc::clone(batch), one.paid.iter().copied().collect());
            file.write_all(&line(&Entry::Paid { batch, requests })?)?;
            lines += 1;
        }
    }
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // Else a machine that loses power may come up with the old file, or none.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok((file, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key([n; 32])
    }

    fn begun(batch: &str, at: i64) -> Entry {
        Entry::Begun {
            batch: batch.into(),
            at,
            keys: vec![Some(key(1).hex()), Some(key(2).hex())],
        }
    }

    fn written(entries: &[Entry]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, known) = Journal::open(&path, 0).unwrap();
        assert!(known.is_empty());
        for entry in entries {
            journal.append(entry, true).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn what_was_written_is_known_again_and_what_is_over_is_not() {
        let (_folder, path) = written(&[
            begun("a", 0),
            Entry::Sent {
                batch: "a".into(),
                vendor: "v".into(),
            },
            Entry::Paid {
                batch: "a".into(),
                requests: vec![0],
            },
            begun("b", 0),
            Entry::Answered {
                batch: "a".into(),
                requests: vec![1, 9],
            },
            begun("c", 0),
            Entry::Over { batch: "c".into() },
        ]);
        for _ in 0..2 {
            let (_, known) = Journal::open(&path, 1).unwrap();
            let names: Vec<_> = known.keys().map(|name| &**name).collect();
            assert_eq!(names, ["a", "b"]);
            assert_eq!(known["a"].vendor.as_deref(), Some("v"));
            assert_eq!(known["a"].keys, [Some(key(1)), None]);
            assert_eq!(known["a"].paid, [0].into());
            assert_eq!(known["b"].vendor, None);
            assert!(known["b"].paid.is_empty());
        }
        let (_, known) = Journal::open(&path, KEPT_MS).unwrap();
        assert!(known.is_empty(), "vendors keep it no longer");
    }

    #[test]
    fn wherever_a_write_is_cut_off_everything_before_it_counts() {
        let (_folder, path) = written(&[begun("a", 0), begun("b", 0)]);
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for end in 0..=whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let (mut journal, known) = Journal::open(&path, 0).unwrap();
            // The line break itself may be what is missing.
            let expected = usize::from(end + 1 >= first) + usize::from(end + 1 >= whole.len());
            assert_eq!(known.len(), expected, "{end}");
            journal.append(&begun("z", 0), true).unwrap();
            drop(journal);
            let (_, known) = Journal::open(&path, 0).unwrap();
            assert_eq!(known.len(), expected + 1, "{end}");
        }
    }

    #[test]
    fn a_spoilt_line_says_nothing_and_the_others_count() {
        let (_folder, path) = written(&[begun("a", 0), begun("b", 0)]);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 4;
            fs::write(&path, &spoilt).unwrap();
            match Journal::open(&path, 0) {
                Ok((_, known)) => assert!(known.len() <= 2, "{at}"),
                // Its version is no part of what the digest is of.
                Err(error) => assert_eq!(error.kind(), ErrorKind::VersionIncompatible, "{at}"),
            }
        }
    }

    #[test]
    fn two_cannot_have_it_at_once() {
        let (_folder, path) = written(&[]);
        let first = Journal::open(&path, 0).unwrap();
        let error = Journal::open(&path, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert_eq!(
            error.fields().field.as_deref(),
            Some("config.batch.journal")
        );
        drop(first);
        assert!(Journal::open(&path, 0).is_ok());
    }

    #[test]
    fn it_does_not_grow_with_what_is_over() {
        let (_folder, path) = written(&[]);
        let (mut journal, _) = Journal::open(&path, 0).unwrap();
        for n in 0..5_000 {
            let name = format!("batch-{n}");
            journal.append(&begun(&name, 0), false).unwrap();
            let over = Entry::Over {
                batch: name.as_str().into(),
            };
            journal.append(&over, false).unwrap();
            journal.tidy(AllKnown::new, 0);
        }
        assert!(fs::metadata(&path).unwrap().len() < 400_000);
    }
}
