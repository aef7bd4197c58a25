//! One call of a program, and what became of it: exactly one answer, the right one, or one typed error, in time.

use std::time::Duration;

use ossai::{CallOptions, Client, CompletionRequest, ErrorKind, StreamEvent};

use crate::upstream::answer_to;

/// What became of a call.
#[derive(Debug)]
pub enum Outcome {
    /// The right answer.
    Answered,
    /// A typed error.
    Failed(ErrorKind, String),
    /// Given up by its caller.
    Cancelled,
    /// An answer that is not the call's own, or not whole.
    Wrong(String),
    /// Neither, long after its deadline.
    Hung,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A whole answer.
    Complete,
    /// A stream, read to its end.
    Stream,
}

/// Makes the call `name`; `timeout_ms` is its own total, `patience` when it counts as hung (real time).
pub async fn make(
    client: &Client,
    name: &str,
    way: Way,
    options: CallOptions,
    patience: Duration,
) -> Outcome {
    let work = async {
        match way {
            Way::Complete => complete(client, name, options).await,
            Way::Stream => stream(client, name, options).await,
        }
    };
    match tokio::time::timeout(patience, work).await {
        Ok(Ok(text)) if text == answer_to(name) => Outcome::Answered,
        Ok(Ok(text)) => Outcome::Wrong(format!("answered {text:?}")),
        Ok(Err(error)) => Outcome::Failed(error.kind(), error.to_string()),
        Err(_) => Outcome::Hung,
    }
}

fn request(name: &str) -> CompletionRequest {
    CompletionRequest::new("openai/gpt-4o-mini", format!("{name} please"))
}

async fn complete(client: &Client, name: &str, options: CallOptions) -> ossai::Result<String> {
    Ok(client
        .complete_with(request(name), options)
        .await?
        .text
        .clone())
}

async fn stream(client: &Client, name: &str, options: CallOptions) -> ossai::Result<String> {
    let mut stream = client.stream_with(request(name), options).await?;
    let mut text = String::new();
    let mut ends = 0;
    while let Some(event) = stream.next().await {
        match event? {
            StreamEvent::TextDelta { text: delta, .. } => text += &delta,
            StreamEvent::End { completion } => {
                ends += 1;
                if completion.text != text {
                    return Ok(format!("pieces {text:?}, whole {:?}", completion.text));
                }
            }
            _ => {}
        }
    }
    Ok(match ends {
        1 => text,
        n => format!("{n} ends of {text:?}"),
    })
}
