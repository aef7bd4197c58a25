//! Finds the passages of a folder that a question is about, for `ossai ask --over PATH`.
//!
//! The files are read as git sees them ([`walk`]), cut into passages of some ten to forty lines ([`split`]) and indexed in
//! memory by BM25; nothing is written to disk. The prompt has the best passages in the form that `local/extract` reads
//! and that every other model understands ([`ossai::provider::local::passages`]). The same tree and question give the
//! same prompt, so that a repeated question is a cache hit.

mod bm25;
pub mod split;
pub mod walk;

use std::collections::BTreeSet;
use std::path::Path;

use ossai::provider::local::passages;
use ossai::types::Message;
use ossai::{Error, Result};

pub use split::Passage;
pub use walk::Skipped;

/// Most text of a folder that is indexed, in bytes.
const MAX_TOTAL: u64 = 256 << 20;

const INSTRUCTIONS: &str = "Answer the question from the passages only, in a few sentences. After each statement cite the \
    number of its passage in square brackets, as [1]. If the passages do not answer the question, say so.";

/// The passages of a folder or a file, ready to be searched; safe to share between threads.
pub struct Index {
    passages: Vec<Passage>,
    bm25: bm25::Bm25,
    files: u64,
    skipped: Skipped,
}

impl Index {
    /// Reads and indexes the files of `roots`, folders and files, and calls `progress` with how many of how many are done.
    /// A passage's path is one that can be opened from here; what several roots have in common is read once.
    ///
    /// # Errors
    /// `invalid_request` naming `over`, with the path in the message: nothing is there, it cannot be read, it is neither
    /// file nor folder, or all of them have no text; `request_too_large` for more than 256 MiB of text.
    pub fn build(roots: &[impl AsRef<Path>], progress: &dyn Fn(u64, u64)) -> Result<Self> {
        let mut skipped = Skipped::default();
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for root in roots {
            let (mut files, passed_over) = walk::files(root.as_ref())?;
            skipped += passed_over;
            files.retain(|file| {
                seen.insert(
                    file.path
                        .canonicalize()
                        .unwrap_or_else(|_| file.path.clone()),
                )
            });
            found.extend(files);
        }
        let total = found.len() as u64;
        let mut passages = Vec::new();
        let (mut files, mut bytes) = (0, 0);
        for (i, file) in found.iter().enumerate() {
            progress(i as u64, total);
            if let Some(text) = walk::read(file, &mut skipped) {
                bytes += text.len() as u64;
                if bytes > MAX_TOTAL {
                    let message = format!("over: expected at most {} MiB of text", MAX_TOTAL >> 20);
                    let error = Error::new(ossai::ErrorKind::RequestTooLarge, message);
                    return Err(error.with(|fields| fields.field = Some("over".into())));
                }
                split::split(&file.name, &text, &mut passages);
                files += 1;
            }
        }
        progress(total, total);
        if passages.is_empty() {
            let roots: Vec<_> = roots
                .iter()
                .map(|root| root.as_ref().display().to_string())
                .collect();
            let expected = format_args!(
                "{}: expected text, found none ({skipped})",
                roots.join(", ")
            );
            return Err(Error::invalid("over", expected));
        }
        Ok(Self {
            bm25: bm25::Bm25::build(&passages)?,
            passages,
            files,
            skipped,
        })
    }

    /// Files indexed.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Files left out, by reason.
    #[must_use]
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// All passages, in the order of paths and lines.
    #[must_use]
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// The at most `limit` passages that match `question` best, the best first, equal ones by path and line; none where
    /// no word of it occurs.
    ///
    /// # Errors
    /// `internal` if the index fails.
    pub fn search(&self, question: &str, limit: usize) -> Result<Vec<&Passage>> {
        let hits = self.bm25.search(question, limit.min(self.passages.len()))?;
        Ok(hits
            .into_iter()
            .filter_map(|hit| self.passages.get(hit as usize))
            .collect())
    }
}

/// The messages that ask `question` of `passages`.
#[must_use]
pub fn prompt(question: &str, passages: &[&Passage]) -> Vec<Message> {
    let sources: Vec<String> = passages.iter().map(|passage| passage.source()).collect();
    let block = passages::render(
        sources
            .iter()
            .zip(passages)
            .map(|(source, p)| (source.as_str(), p.text.as_str())),
    );
    vec![
        Message::system(INSTRUCTIONS),
        Message::user(format!("{block}\n\n{}", question.trim())),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
