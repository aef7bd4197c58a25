//! Whether an answer that might have been given says the same as the one that came.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::cache::memory::Value;
use crate::cache::semantic::{Semantic, cosine};
use crate::call::pipeline::Flight;
use crate::types::{Completion, EmbeddingInput};

impl Flight {
    /// Whether what would have been given says the same as what came.
    pub(super) fn compare(&self, semantic: &Semantic, would: &Value, came: &Value) {
        let (
            Value::Completion {
                completion: would, ..
            },
            Value::Completion {
                completion: came, ..
            },
        ) = (would, came)
        else {
            return;
        };
        if says_the_same(would, came) {
            self.judged(semantic, false);
            return;
        }
        let least = semantic.config.watch.answer_similarity;
        let comparable = would.tool_calls().next().is_none() && came.tool_calls().next().is_none();
        let (Some(least), true) = (least, comparable) else {
            self.judged(semantic, true);
            return;
        };
        let place = Arc::clone(&semantic.comparing).try_acquire_owned();
        let (Ok(place), Ok(runtime)) = (place, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let texts = EmbeddingInput::Texts(vec![would.text.clone(), came.text.clone()]);
        let judge = self.aside();
        runtime.spawn(async move {
            let Some(semantic) = judge.core.semantic.as_deref() else {
                return;
            };
            match judge.vectors(semantic, texts, u64::MAX).await {
                Ok((vectors, _)) => {
                    let alike = match vectors.as_slice() {
                        [a, b] => cosine(a, b),
                        _ => None,
                    };
                    let same = alike.is_some_and(|alike| f64::from(alike) >= least);
                    judge.judged(semantic, !same);
                }
                Err(_) => {
                    semantic.meter.failures.fetch_add(1, Relaxed);
                }
            }
            drop(place);
        });
    }

    fn judged(&self, semantic: &Semantic, wrong: bool) {
        if semantic.meter.checked(wrong) {
            semantic.place.clear();
            let stats = semantic.stats();
            tracing::warn!(
                checked = stats.checked,
                false_hits = stats.false_hits,
                "the semantic cache turned itself off: too many of its hits were false"
            );
        }
    }
}

/// Whether two answers are equal but for spaces, punctuation and case.
fn says_the_same(a: &Completion, b: &Completion) -> bool {
    let words = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
    };
    let calls = |completion: &Completion| {
        completion
            .tool_calls()
            .map(|call| {
                // What is no JSON is compared as it is written.
                let arguments = serde_json::from_str::<serde_json::Value>(&call.arguments);
                (
                    call.name.clone(),
                    arguments.map_err(|_| call.arguments.clone()),
                )
            })
            .collect::<Vec<_>>()
    };
    words(&a.text) == words(&b.text) && calls(a) == calls(b)
}

#[cfg(test)]
mod tests {
    use super::super::answer;
    use super::*;
    use crate::types::{Answer, OutputPart, ToolCall};

    #[test]
    fn answers_are_compared_without_spaces_punctuation_and_case() {
        let same = |a: &str, b: &str| says_the_same(&answer(a), &answer(b));
        assert!(same("Paris.", "paris"));
        assert!(same("It is  Paris,\nof course", "it is Paris of course!"));
        assert!(!same("Paris", "Rome"));
        assert!(!same("3.5", "35"));
        assert!(same("", ""));
    }

    #[test]
    fn calls_are_compared_by_their_arguments_even_where_they_are_no_json() {
        let calling = |arguments: &str| {
            Completion::from(Answer {
                parts: vec![OutputPart::ToolCall(ToolCall {
                    name: "f".into(),
                    arguments: arguments.into(),
                    ..ToolCall::default()
                })],
                ..Answer::default()
            })
        };
        let same = |a: &str, b: &str| says_the_same(&calling(a), &calling(b));
        assert!(same(r#"{"a": 1, "b": 2}"#, r#"{"b":2,"a":1}"#));
        assert!(!same(r#"{"a": 1}"#, r#"{"a": 2}"#));
        assert!(!same(r#"{"a": 1"#, r#"{"a": 2"#));
        assert!(same(r#"{"a": 1"#, r#"{"a": 1"#));
    }
}
