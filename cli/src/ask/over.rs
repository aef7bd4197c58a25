//! `--over`: passages of files and folders for the question, and their sources for the answer.

use std::path::PathBuf;

use ossai::Message;
use serde::Serialize;

use crate::failure::Failure;
use crate::io::progress_bar;
use crate::retrieve::{Index, prompt};

/// A passage of the prompt, by the number it is cited with.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Source {
    pub(super) number: usize,
    pub(super) path: String,
    pub(super) first_line: u32,
    pub(super) last_line: u32,
}

/// The messages that ask `question` of the best passages beneath `roots`.
pub(super) fn retrieve(
    roots: &[PathBuf],
    question: &str,
    limit: usize,
) -> Result<(Vec<Message>, Vec<Source>), Failure> {
    for root in roots {
        root.metadata()
            .map_err(|error| Failure::path(root, &error))?;
    }
    let bar = progress_bar();
    let index = Index::build(roots, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let index = index?;
    if index.skipped().total() > 0 {
        anstream::eprintln!("{} files read, {}", index.files(), index.skipped());
    }
    let found = index.search(question, limit)?;
    if found.is_empty() {
        anstream::eprintln!("no passage has a word of the question");
    }
    let sources = (1..)
        .zip(&found)
        .map(|(number, passage)| Source {
            number,
            path: passage.path.clone(),
            first_line: passage.first,
            last_line: passage.last,
        })
        .collect();
    Ok((prompt(question, &found), sources))
}

/// The sources an answer cites, a line each; of an answer that cites none, none.
pub(super) fn cited(answer: &str, sources: &[Source]) -> String {
    sources
        .iter()
        .filter(|source| answer.contains(&format!("[{}]", source.number)))
        .map(|s| {
            format!(
                "[{}] {}:{}-{}\n",
                s.number, s.path, s.first_line, s.last_line
            )
        })
        .collect()
}
