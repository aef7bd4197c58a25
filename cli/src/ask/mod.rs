//! `ossai ask`: a question, a stream of text, and what it took.

mod answer;
mod input;
mod over;
mod record;
mod say;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use ossai::{CacheOptions, CallOptions, NanoUsd};

use crate::failure::Failure;
use crate::global::Global;
use crate::io::Interrupt;
use crate::money::dollars;
use answer::Asked;
use record::Recorder;

/// Ask a model
#[derive(Args)]
#[command(after_help = "Examples:
  ossai ask 'Why is the sky blue?'
  git diff | ossai ask 'Write a commit message for this change'
  ossai ask --over docs --over src 'How are budgets held?'
  ossai ask -f chart.png -m anthropic/claude-haiku-5-5 'What does this show?'
  ossai ask -m openai/gpt-6-luna --max-tokens 200 --max-cost 0.01 --cost 'Name three rivers'
  ossai ask --schema '{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}' 'Capital of France?'
  ossai ask --at-once 50 'One upstream call, fifty answers'")]
pub struct Ask {
    /// The question; what is piped in goes before it
    prompt: Vec<String>,
    /// Model, as `provider/model` [default: one there is a key for, else local/extract]
    #[arg(short, long)]
    model: Option<String>,
    /// Instructions for the model
    #[arg(short, long)]
    system: Option<String>,
    /// Attach a file: text as text, PNG, JPEG, GIF and WebP as an image; may be given several times
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Sampling temperature; 0 lets answers be kept and shared
    #[arg(short, long)]
    temperature: Option<f64>,
    /// Most tokens of the answer
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Seed
    #[arg(long)]
    seed: Option<i64>,
    /// JSON Schema the answer must have: a file, or the schema itself
    #[arg(long, value_name = "SCHEMA")]
    schema: Option<String>,
    /// Show the answer as it comes (the default)
    #[arg(long, overrides_with = "no_stream")]
    stream: bool,
    /// Wait for the whole answer
    #[arg(long, overrides_with = "stream")]
    no_stream: bool,
    /// Look for the answer in this file or folder (as git sees it), and cite; may be given several times
    #[arg(long, value_name = "PATH")]
    over: Vec<PathBuf>,
    /// Passages taken from --over
    #[arg(short = 'k', long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    passages: u16,
    /// Refuse if the call could cost more than this many dollars
    #[arg(long, value_name = "USD", value_parser = dollars)]
    max_cost: Option<NanoUsd>,
    /// Print the request, its tokens and its price as JSON instead of sending it
    #[arg(long)]
    dry_run: bool,
    /// Print as JSON what the call would do (key, route, cache, parameters, price) instead of sending it
    #[arg(long, conflicts_with = "dry_run")]
    explain: bool,
    /// Say on standard error why the call came out as it did, step by step
    #[arg(long)]
    trace: bool,
    /// Say on standard error what the call took
    #[arg(long)]
    cost: bool,
    /// Neither read nor fill the cache, and share no call
    #[arg(long)]
    no_cache: bool,
    /// Ask this many times, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: u16,
    /// Make this many identical calls at once, which share one upstream call
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    at_once: u16,
    /// Record with the call, as `name=value`; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Time for the call, for a stream until its first piece
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<u64>,
    /// Do not record the call for `ossai usage` (an orchestrator always records)
    #[arg(long)]
    no_record: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected name=value".into())
}

/// Reads seconds, gives milliseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(text: &str) -> Result<u64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected seconds, such as 30 or 0.5")?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok((seconds * 1000.0).round() as u64)
    } else {
        Err("expected 0 to 86400 seconds".into())
    }
}

impl Ask {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever ended it.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        let (request, sources) = self.request(&client).await?;
        let options = Arc::new(self.options());
        if self.dry_run {
            return say::dry_run(global, &client, &request, &options);
        }
        if self.explain {
            return global.print_json(&client.explain(&Arc::new(request), &options)?);
        }
        let asked = Asked {
            ask: &self,
            global,
            recorder: Recorder::new(&client, self.no_record, options.tags.clone()),
            client,
            request: Arc::new(request),
            options,
            sources,
        };
        asked.answer(&mut Interrupt::listen()).await
    }

    fn options(&self) -> CallOptions {
        CallOptions {
            timeout_ms: self.timeout,
            cache: CacheOptions {
                no_cache: self.no_cache,
                ..CacheOptions::default()
            },
            // Who makes identical calls at once wants them shared, whatever the temperature.
            coalesce: match (self.no_cache, self.at_once) {
                (true, _) => Some(false),
                (false, 2..) => Some(true),
                _ => None,
            },
            tags: self.tag.iter().cloned().collect(),
            max_cost: self.max_cost,
            trace: self.trace.then_some(true),
            ..CallOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_within_a_day() {
        assert_eq!(seconds("1.5"), Ok(1500));
        assert_eq!(seconds("0"), Ok(0));
        for bad in ["-1", "NaN", "inf", "", "1s", "1e9"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tag_has_a_name() {
        assert_eq!(pair("team=a=b"), Ok(("team".into(), "a=b".into())));
        assert!(pair("team").is_err() && pair("=x").is_err());
    }
}
