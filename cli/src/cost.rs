//! `ossai cost`: what a prompt would cost, by model, before it is sent.

use std::path::PathBuf;

use clap::Args;
use ossai::{CompletionRequest, EstimateOptions, Message, NanoUsd};
use serde_json::json;

use crate::common::{Failure, Global, out, piped};

/// Estimate what a prompt would cost
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ossai cost -m openai/gpt-5,anthropic/claude-sonnet-4-6 prompt.txt
  cat prompt.txt | ossai cost --output-tokens 800 --batch")]
pub struct Cost {
    /// Files that make the prompt; `-` or nothing reads standard input
    paths: Vec<PathBuf>,
    /// Models, with commas between
    #[arg(
        short,
        long,
        value_delimiter = ',',
        default_value = "openai/gpt-5,openai/gpt-5-mini,anthropic/claude-sonnet-4-6,google/gemini-2.5-flash"
    )]
    model: Vec<String>,
    /// Expected tokens of the answer
    #[arg(long, value_name = "N")]
    output_tokens: Option<u64>,
    /// Input tokens the vendor's prompt cache is expected to hold
    #[arg(long, value_name = "N")]
    cached: Option<u64>,
    /// Through the vendor's batch API
    #[arg(long)]
    batch: bool,
    /// Processing tier (flex, priority …)
    #[arg(long)]
    tier: Option<String>,
    /// Limit on the answer's tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
}

impl Cost {
    /// Runs the command.
    ///
    /// # Errors
    /// Paths that cannot be read, model names that are none.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        let mut prompt = String::new();
        if self.paths.is_empty() {
            prompt = piped()?.unwrap_or_default();
        }
        for path in &self.paths {
            if path.as_os_str() == "-" {
                prompt.push_str(&piped()?.unwrap_or_default());
            } else {
                let text = std::fs::read_to_string(path);
                prompt.push_str(
                    &text.map_err(|error| {
                        Failure::message(format!("{}: {error}", path.display()))
                    })?,
                );
            }
        }
        let options = EstimateOptions {
            output_tokens: self.output_tokens,
            cached_tokens: self.cached,
            batch: self.batch,
            prices: None,
        };
        let mut rows = Vec::new();
        for model in &self.model {
            let request = CompletionRequest {
                model: model.clone(),
                messages: vec![Message::user(prompt.as_str())],
                max_tokens: self.max_tokens,
                service_tier: self.tier.clone(),
                ..CompletionRequest::default()
            };
            rows.push((
                model,
                client.count(&request)?,
                client.estimate(&request, &options)?,
            ));
        }
        if global.json || global.jsonl {
            let rows: Vec<_> = rows
                .iter()
                .map(|(model, count, estimate)| json!({ "model": model, "tokens": count, "estimate": estimate }))
                .collect();
            if global.jsonl {
                return rows.iter().try_for_each(|row| global.print_json(row));
            }
            return global.print_json(&json!({ "models": rows }));
        }
        let amount = |amount: Option<NanoUsd>| {
            amount.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string())
        };
        let width = rows
            .iter()
            .map(|(model, ..)| model.len())
            .max()
            .unwrap_or(5)
            .max(5);
        out(&format!(
            "{:width$}  {:>12}  {:>14}  {:>14}  {:>14}\n",
            "model", "input tokens", "low", "expected", "high"
        ))?;
        for (model, count, estimate) in &rows {
            let tokens = format!("{}{}", if count.exact { "" } else { "~" }, count.tokens);
            out(&format!(
                "{model:width$}  {tokens:>12}  {:>14}  {:>14}  {:>14}\n",
                amount(estimate.low),
                amount(estimate.expected),
                amount(estimate.high)
            ))?;
            for note in &estimate.notes {
                anstream::eprintln!("{model}: {}", note.message);
            }
        }
        Ok(())
    }
}
