//! The built-in offline models, so that everything runs with no key and no network.
//!
//! **`local/extract`** answers from the passages in the prompt: it ranks their sentences against the question, quotes the
//! best and cites them. It writes no sentence of its own but fixed ones that say what it is. **`local/hash`** makes
//! lexical embeddings ([`embed`]). Both are pure functions: the same request gives the same bytes on every platform, in
//! time in proportion to the prompt; sampling parameters and the seed change nothing.
//!
//! What `local/extract` reads:
//! - *Passages* are the blocks of [`passages`] in any message. Where there is none, they are the paragraphs of all messages
//!   but the assistant's, less the question.
//! - *The question* is in the last user message, outside of blocks: its last line if that asks (`?`, `？`, `؟`), else its
//!   first if that asks, else its last line that asks, else its last line. Where nothing is left to ask (`Summarise the
//!   text.`), the passages' commonest words stand in for a question.
//! - *Tools* are ignored unless the caller forces one, which is `unsupported`. `json_object` gives
//!   `{"answer": …, "citations": [{"number": …, "source": …}]}`; a JSON schema is `unsupported`. So are parts other than text.
//!
//! The citations are also in the answer's `extra` as `citations`.

mod answer;
mod cue;
mod embed;
pub mod passages;
mod prompt;
mod rank;
mod units;
pub mod words;

pub use answer::{Citation, Extract, answer};
pub use embed::embed;

use crate::error::{Error, ErrorKind, Result};
use crate::types::{
    Answer, Completion, CompletionRequest, Extra, ModelInfo, OutputPart, StreamEvent,
};

/// The provider's name.
pub const PROVIDER: &str = "local";
/// The extractive model.
pub const EXTRACT: &str = "local/extract";
/// The embedding model.
pub const HASH: &str = "local/hash";

/// Changes whenever the same prompt may get another answer.
const EXTRACT_VERSION: &str = "extract-1";
const HASH_VERSION: &str = "hash-1";

/// The models of this provider.
#[must_use]
pub fn models() -> Vec<ModelInfo> {
    [EXTRACT, HASH]
        .map(|id| ModelInfo {
            id: id.into(),
            owned_by: Some("ossai".into()),
            ..ModelInfo::default()
        })
        .into()
}

fn check_model(asked: &str, known: &str) -> Result<()> {
    if asked == known || known.strip_prefix("local/") == Some(asked) {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::NotFound,
        format!("model: no such local model for this call; expected {known}"),
    );
    Err(error.with(|fields| {
        fields.field = Some("model".into());
        fields.provider = Some(PROVIDER.into());
        fields.model = Some(asked.into());
    }))
}

/// Answers `request` as `local/extract`; `count` counts the tokens of a text.
///
/// # Errors
/// As [`answer`], and `not_found` for another model.
pub fn complete(request: &CompletionRequest, count: &dyn Fn(&str) -> u64) -> Result<Completion> {
    check_model(&request.model, EXTRACT)?;
    answer(request, count).map(|extract| completion(request, &extract))
}

/// The answer of [`complete`] as the events of a stream, about a word each; they fold to the same completion.
///
/// # Errors
/// As [`complete`].
pub fn events(
    request: &CompletionRequest,
    count: &dyn Fn(&str) -> u64,
) -> Result<Vec<StreamEvent>> {
    check_model(&request.model, EXTRACT)?;
    let extract = answer(request, count)?;
    let completion = completion(request, &extract);
    let mut events = vec![StreamEvent::Start {
        id: completion.id.clone(),
        response_model: completion.response_model.clone(),
        created: None,
    }];
    events.extend(
        extract
            .pieces
            .into_iter()
            .map(|text| StreamEvent::TextDelta { index: 0, text }),
    );
    if !completion.extra.is_empty() {
        events.push(StreamEvent::Extra {
            fields: completion.extra.clone(),
        });
    }
    events.push(StreamEvent::Finish {
        reason: extract.finish_reason,
        raw: None,
    });
    events.push(StreamEvent::Usage {
        usage: extract.usage,
        raw: None,
    });
    events.push(StreamEvent::End {
        completion: Box::new(completion),
    });
    Ok(events)
}

fn completion(request: &CompletionRequest, extract: &Extract) -> Completion {
    let text = extract.pieces.concat();
    let mut extra = Extra::new();
    if !extract.citations.is_empty() {
        extra.insert("citations".into(), serde_json::json!(extract.citations));
    }
    Completion::from(Answer {
        id: EXTRACT_VERSION.into(),
        model: request.model.clone(),
        response_model: Some(EXTRACT_VERSION.into()),
        parts: if text.is_empty() {
            Vec::new()
        } else {
            vec![OutputPart::Text { text: text.clone() }]
        },
        text,
        finish_reason: extract.finish_reason.clone(),
        usage: extract.usage.clone(),
        extra,
        ..Answer::default()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests.rs"]
mod tests;
