//! `ossai ask`: a question, a stream of text, and what it took.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use clap::Args;
use ossai::{
    CacheOptions, CallOptions, Client, Completion, CompletionRequest, Content, EstimateOptions,
    ImagePart, Message, NanoUsd, Part, ResponseFormat, StreamEvent,
};
use serde_json::Value;

use crate::common::{Failure, Global, default_model, out, piped, progress_bar};
use crate::retrieve;

/// Ask a model
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ossai ask 'Why is the sky blue?'
  git diff | ossai ask 'Write a commit message for this change'
  ossai ask --over docs 'How are budgets held?'
  ossai ask -m openai/gpt-5-mini --max-cost 0.01 --cost 'Name three rivers'")]
pub struct Ask {
    /// The question; what is piped in goes before it
    prompt: Vec<String>,
    /// Model, as `provider/model`
    #[arg(short, long)]
    model: Option<String>,
    /// Instructions for the model
    #[arg(short, long)]
    system: Option<String>,
    /// Attach a file: text as text, PNG, JPEG, GIF and WebP as an image
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Sampling temperature
    #[arg(short, long)]
    temperature: Option<f64>,
    /// Most tokens of the answer
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Seed
    #[arg(long)]
    seed: Option<i64>,
    /// JSON Schema the answer must have, a file or inline
    #[arg(long, value_name = "SCHEMA")]
    schema: Option<String>,
    /// Wait for the whole answer
    #[arg(long)]
    no_stream: bool,
    /// Look for the answer in these files and folders, and cite them
    #[arg(long, value_name = "PATH")]
    over: Vec<PathBuf>,
    /// Passages taken from --over
    #[arg(short = 'k', long, value_name = "N", default_value_t = 8)]
    passages: usize,
    /// Refuse if the call could cost more than this many dollars
    #[arg(long, value_name = "USD", value_parser = dollars)]
    max_cost: Option<NanoUsd>,
    /// Print the request, its tokens and its price instead of sending it
    #[arg(long)]
    dry_run: bool,
    /// Say on standard error what the call took
    #[arg(long)]
    cost: bool,
    /// Neither read nor fill the cache
    #[arg(long)]
    no_cache: bool,
    /// Ask this many times, one after the other
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: usize,
    /// Ask this many times at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    at_once: usize,
    /// Record with the call, as `name=value`
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Time for the whole call, in seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected name=value".into())
}

/// Reads dollars as a decimal, exactly to the nanodollar.
fn dollars(text: &str) -> Result<NanoUsd, String> {
    let bad = || "expected dollars, such as 0.05".to_owned();
    let text = text.trim().trim_start_matches('$');
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if decimals.len() > 9
        || !digits(whole)
        || !digits(decimals)
        || (whole.is_empty() && decimals.is_empty())
    {
        return Err(bad());
    }
    let number = format!("{whole}{decimals:0<9}");
    number.parse().map(NanoUsd).map_err(|_| bad())
}

impl Ask {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever ended it.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        let request = Arc::new(self.request(&client).await?);
        let options = Arc::new(self.options());
        if self.dry_run {
            return dry_run(global, &client, &request);
        }
        let answered = self.answer(global, &client, &request, &options);
        let outcome = tokio::select! {
            outcome = answered => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        };
        if matches!(outcome, Err(Failure::Interrupted)) {
            anstream::eprintln!("\ninterrupted");
        }
        outcome
    }

    async fn answer(
        &self,
        global: &Global,
        client: &Client,
        request: &Arc<CompletionRequest>,
        options: &Arc<CallOptions>,
    ) -> Result<(), Failure> {
        let mut last = None;
        for round in 0..self.repeat.max(1) {
            let answer = if self.at_once > 1 {
                at_once(client, request, options, self.at_once).await?
            } else if self.no_stream || global.json {
                client
                    .complete_with(Arc::clone(request), Arc::clone(options))
                    .await?
            } else {
                self.stream(global, client, request, options, round > 0)
                    .await?
            };
            if self.cost || self.repeat > 1 || self.at_once > 1 {
                say_cost(&answer);
            }
            last = Some(answer);
        }
        let Some(answer) = last else { return Ok(()) };
        if global.json {
            global.print_json(&answer)?;
        } else if self.at_once > 1 || self.no_stream {
            out(&format!("{}\n", answer.text))?;
        }
        if self.repeat > 1 || self.at_once > 1 {
            let stats = client.stats();
            anstream::eprintln!(
                "{} calls: {} flights, {} joined, {} cache hits, {} upstream tries",
                stats.calls,
                stats.flights,
                stats.joined,
                stats.cache_hits,
                stats.attempts
            );
        }
        Ok(())
    }

    async fn stream(
        &self,
        global: &Global,
        client: &Client,
        request: &Arc<CompletionRequest>,
        options: &Arc<CallOptions>,
        quiet: bool,
    ) -> Result<Completion, Failure> {
        let mut stream = client
            .stream_with(Arc::clone(request), Arc::clone(options))
            .await?;
        let mut ends_line = true;
        while let Some(event) = stream.next().await {
            let event = event?;
            if global.jsonl {
                global.print_json(&event)?;
            }
            match event {
                StreamEvent::TextDelta { text, .. } | StreamEvent::RefusalDelta { text, .. }
                    if !global.jsonl && !quiet =>
                {
                    ends_line = text.ends_with('\n');
                    out(&text)?;
                }
                StreamEvent::End { completion } => {
                    if !ends_line {
                        out("\n")?;
                    }
                    return Ok(*completion);
                }
                _ => {}
            }
        }
        Err(Failure::message("the stream ended without an answer"))
    }

    fn options(&self) -> CallOptions {
        CallOptions {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            timeout_ms: self
                .timeout
                .map(|seconds| (seconds.max(0.0) * 1000.0) as u64),
            cache: CacheOptions {
                no_cache: self.no_cache,
                ..CacheOptions::default()
            },
            tags: self.tag.iter().cloned().collect(),
            max_cost: self.max_cost,
            ..CallOptions::default()
        }
    }

    async fn request(&self, client: &Client) -> Result<CompletionRequest, Failure> {
        let question = self.prompt.join(" ");
        let piped = piped()?;
        let text = match (piped, question.is_empty()) {
            (Some(piped), true) => piped,
            (Some(piped), false) => format!("{piped}\n\n{question}"),
            (None, false) => question.clone(),
            (None, true) => {
                return Err(Failure::Call(ossai::Error::invalid(
                    "PROMPT",
                    "expected a question, or text on standard input",
                )));
            }
        };
        let model = match &self.model {
            Some(model) => model.clone(),
            None => default_model(client).await,
        };
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(Message::system(system.as_str()));
        }
        if self.over.is_empty() {
            messages.push(Message::user(self.with_files(text)?));
        } else {
            messages.extend(self.retrieve(&text)?);
        }
        Ok(CompletionRequest {
            model,
            messages,
            temperature: self.temperature,
            max_tokens: self.max_tokens,
            seed: self.seed,
            response_format: self.schema.as_deref().map(response_format).transpose()?,
            ..CompletionRequest::default()
        })
    }

    fn with_files(&self, text: String) -> Result<Content, Failure> {
        if self.file.is_empty() {
            return Ok(text.into());
        }
        let mut parts = Vec::new();
        for path in &self.file {
            parts.push(attach(path)?);
        }
        parts.push(Part::text(text));
        Ok(Content::Parts(parts))
    }

    fn retrieve(&self, question: &str) -> Result<Vec<Message>, Failure> {
        let bar = progress_bar();
        let mut found = Vec::new();
        for path in &self.over {
            let index = retrieve::Index::build(path, &|done, total| {
                bar.set_length(total);
                bar.set_position(done);
            })?;
            let skipped = index.skipped().total();
            if skipped > 0 {
                anstream::eprintln!(
                    "{}: {} files read, {skipped} passed over",
                    path.display(),
                    index.files()
                );
            }
            found.extend(index.search(question, self.passages)?.into_iter().cloned());
        }
        bar.finish_and_clear();
        if found.is_empty() {
            anstream::eprintln!("no passage has a word of the question");
        }
        Ok(retrieve::prompt(
            question,
            &found.iter().collect::<Vec<_>>(),
        ))
    }
}

fn attach(path: &Path) -> Result<Part, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::message(format!("{}: {error}", path.display())))?;
    let media_type = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    };
    if let Some(media_type) = media_type {
        return Ok(Part::Image(ImagePart {
            data: Some(base64::engine::general_purpose::STANDARD.encode(&bytes)),
            media_type: Some(media_type.into()),
            ..ImagePart::default()
        }));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Part::text(format!("{}:\n{text}", path.display()))),
        Err(_) => Err(Failure::message(format!(
            "{}: neither text nor an image",
            path.display()
        ))),
    }
}

fn response_format(schema: &str) -> Result<ResponseFormat, Failure> {
    let text = if schema.trim_start().starts_with('{') {
        schema.to_owned()
    } else {
        std::fs::read_to_string(schema)
            .map_err(|error| Failure::message(format!("{schema}: {error}")))?
    };
    let schema: Value = serde_json::from_str(&text).map_err(|error| {
        Failure::Call(ossai::Error::invalid(
            "--schema",
            format_args!("expected JSON: {error}"),
        ))
    })?;
    Ok(ResponseFormat::JsonSchema {
        name: "answer".into(),
        schema,
        strict: None,
        description: None,
    })
}

async fn at_once(
    client: &Client,
    request: &Arc<CompletionRequest>,
    options: &Arc<CallOptions>,
    n: usize,
) -> Result<Completion, Failure> {
    let calls: Vec<_> = (0..n)
        .map(|_| {
            let (client, request, options) =
                (client.clone(), Arc::clone(request), Arc::clone(options));
            tokio::spawn(async move { client.complete_with(request, options).await })
        })
        .collect();
    let mut answer = None;
    for call in calls {
        let outcome = call
            .await
            .map_err(|error| Failure::message(error.to_string()))?;
        answer = Some(outcome?);
    }
    answer.ok_or_else(|| Failure::message("nothing was asked"))
}

fn say_cost(answer: &Completion) {
    let cost = answer
        .cost
        .total
        .map_or_else(|| "cost unknown".to_owned(), |total| total.to_string());
    let cache = serde_json::to_value(answer.cache.status).unwrap_or_default();
    let saved = answer
        .cache
        .saved
        .map(|saved| format!(", saved {saved}"))
        .unwrap_or_default();
    anstream::eprintln!(
        "{}: {} tokens in, {} out, {cost}, cache {}{saved}, {:.1} ms",
        answer.model,
        answer.usage.input_tokens,
        answer.usage.output_tokens,
        cache.as_str().unwrap_or("-"),
        answer.timing.total_us as f64 / 1000.0,
    );
}

fn dry_run(global: &Global, client: &Client, request: &CompletionRequest) -> Result<(), Failure> {
    let count = client.count(request)?;
    let estimate = client.estimate(request, &EstimateOptions::default())?;
    global.print_json(&serde_json::json!({
        "request": request,
        "tokens": count,
        "estimate": estimate,
        "key": client.key(request)?.hex(),
        "config": client.config(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        assert_eq!(dollars("0.05"), Ok(NanoUsd(50_000_000)));
        assert_eq!(dollars("$1"), Ok(NanoUsd(1_000_000_000)));
        assert_eq!(dollars(".000000001"), Ok(NanoUsd(1)));
        for bad in [
            "",
            ".",
            "-1",
            "1e3",
            "0.0000000001",
            "abc",
            "99999999999999",
        ] {
            assert!(dollars(bad).is_err(), "{bad}");
        }
    }
}
