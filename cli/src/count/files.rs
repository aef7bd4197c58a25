//! Counting files and folders on all cores.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::{Counted, Counter, Skipped};
use crate::io::progress_bar;

/// Largest file that is counted, in bytes.
const MAX_FILE: u64 = 1 << 30;

/// Counts every file beneath the paths; one named itself is counted whatever ignores it.
pub(super) fn count(paths: &[&PathBuf], counter: Counter<'_>) -> (Vec<Counted>, Vec<Skipped>) {
    let Some((first, rest)) = paths.split_first() else {
        return (Vec::new(), Vec::new());
    };
    let mut walk = WalkBuilder::new(first);
    for path in rest {
        walk.add(path);
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let bar = progress_bar();
    let (sender, receiver) = mpsc::channel();
    walk.threads(threads)
        .require_git(false)
        .build_parallel()
        .run(|| {
            let (sender, bar) = (sender.clone(), &bar);
            Box::new(move |entry| {
                let outcome = match entry {
                    Ok(entry) if is_file(&entry) => {
                        bar.inc_length(1);
                        let outcome = count_file(entry.path(), entry.depth() == 0, counter);
                        bar.inc(1);
                        outcome
                    }
                    Ok(_) => return WalkState::Continue,
                    Err(error) => Err(Skipped {
                        path: String::new(),
                        why: error.to_string(),
                        named: false,
                    }),
                };
                if sender.send(outcome).is_ok() {
                    WalkState::Continue
                } else {
                    WalkState::Quit
                }
            })
        });
    drop(sender);
    bar.finish_and_clear();
    let (mut counted, mut skipped) = (Vec::new(), Vec::new());
    for outcome in receiver {
        match outcome {
            Ok(file) => counted.push(file),
            Err(file) => skipped.push(file),
        }
    }
    (counted, skipped)
}

/// Links are followed only where they are named themselves.
fn is_file(entry: &DirEntry) -> bool {
    let plain = entry.file_type().is_some_and(|kind| kind.is_file());
    plain || (entry.depth() == 0 && entry.path().is_file())
}

fn count_file(path: &Path, named: bool, counter: Counter<'_>) -> Result<Counted, Skipped> {
    let name = path.strip_prefix(".").unwrap_or(path).display().to_string();
    match read(path) {
        Ok(text) => Ok(Counted::new(name, &text, counter)),
        Err(why) => Err(Skipped {
            path: name,
            why,
            named,
        }),
    }
}

/// The text of a file, or why it has none.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let outcome = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    outcome.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("larger than 1 GiB".into());
    }
    if bytes.contains(&0) {
        return Err("binary".into());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".into())
}
