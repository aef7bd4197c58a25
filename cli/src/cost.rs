//! `ossai cost`: what a prompt would cost, by model, before it is sent.

use std::path::{Path, PathBuf};

use clap::Args;
use ossai::cost::Estimate;
use ossai::{CompletionRequest, EstimateOptions, Message, TokenCount};
use serde_json::json;

use crate::failure::Failure;
use crate::global::Global;
use crate::io::{MAX_INPUT, out_styled, whole_stdin};
use crate::model;
use crate::money::amount;

/// Estimate what a prompt would cost
#[derive(Args)]
#[command(after_help = "Examples:
  ossai cost -m openai/gpt-6-luna,anthropic/claude-sonnet-5-5 prompt.txt
  cat prompt.txt | ossai cost --output-tokens 800 --batch

low is the input with the least output, high the most the call can cost (set --max-tokens to lower it).
A price that is not known is said to be unknown. Token counts after ~ are estimates.")]
pub struct Cost {
    /// Files that make the prompt; `-` or nothing reads standard input
    paths: Vec<PathBuf>,
    /// Models, with commas between
    #[arg(
        short,
        long,
        value_delimiter = ',',
        value_name = "MODELS",
        default_value = "openai/gpt-6-luna,openai/gpt-5.4-mini,anthropic/claude-haiku-5-5,anthropic/claude-sonnet-5-5,google/gemini-3.8-flash"
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

struct Row<'a> {
    model: &'a str,
    count: TokenCount,
    estimate: Estimate,
}

impl Cost {
    /// Runs the command.
    ///
    /// # Errors
    /// Paths that cannot be read, model names that are none.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        for model in &self.model {
            model::check(&client, model)?;
        }
        let prompt = self.prompt()?;
        let options = EstimateOptions {
            output_tokens: self.output_tokens,
            cached_tokens: self.cached,
            batch: self.batch,
            prices: None,
        };
        let mut request = CompletionRequest {
            messages: vec![Message::user(prompt)],
            max_tokens: self.max_tokens,
            service_tier: self.tier.clone(),
            ..CompletionRequest::default()
        };
        let mut rows = Vec::new();
        for model in &self.model {
            model.clone_into(&mut request.model);
            let (count, estimate) = (
                client.count(&request)?,
                client.estimate(&request, &options)?,
            );
            rows.push(Row {
                model,
                count,
                estimate,
            });
        }
        print(global, &rows)
    }

    fn prompt(&self) -> Result<String, Failure> {
        if self.paths.is_empty() {
            return whole_stdin();
        }
        let mut prompt = String::new();
        for path in &self.paths {
            if path == Path::new("-") {
                prompt.push_str(&whole_stdin()?);
                continue;
            }
            if path
                .metadata()
                .map_err(|error| Failure::path(path, &error))?
                .len()
                > MAX_INPUT
            {
                return Err(Failure::message(format!(
                    "{}: larger than 1 GiB",
                    path.display()
                )));
            }
            prompt.push_str(
                &std::fs::read_to_string(path).map_err(|error| Failure::path(path, &error))?,
            );
        }
        Ok(prompt)
    }
}

fn print(global: &Global, rows: &[Row<'_>]) -> Result<(), Failure> {
    if global.json || global.jsonl {
        let mut rows = rows.iter().map(
            |row| json!({ "model": row.model, "tokens": row.count, "estimate": row.estimate }),
        );
        if global.jsonl {
            return rows.try_for_each(|row| global.print_json(&row));
        }
        return global.print_json(&json!({ "models": rows.collect::<Vec<_>>() }));
    }
    let width = rows
        .iter()
        .map(|row| row.model.len())
        .max()
        .unwrap_or(0)
        .max(5);
    let mut text = format!(
        "{:width$}  {:>12}  {:>14}  {:>14}  {:>14}\n",
        "model", "input tokens", "low", "expected", "high"
    );
    for Row {
        model,
        count,
        estimate,
    } in rows
    {
        let tokens = format!("{}{}", if count.exact { "" } else { "~" }, count.tokens);
        text.push_str(&format!(
            "{model:width$}  {tokens:>12}  {:>14}  {:>14}  {:>14}\n",
            amount(estimate.low),
            amount(estimate.expected),
            amount(estimate.high)
        ));
    }
    out_styled(&text)?;
    let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows {
        for note in &row.estimate.notes {
            // What holds for several models is said once; some notes name their model themselves.
            let message = note.message.as_str();
            match notes.iter_mut().find(|(said, _)| *said == message) {
                Some((_, models)) => models.push(row.model),
                None => notes.push((message, vec![row.model])),
            }
        }
    }
    for (message, models) in notes {
        if models.iter().any(|model| message.contains(model)) {
            anstream::eprintln!("{message}");
        } else {
            anstream::eprintln!("{message} ({})", models.join(", "));
        }
    }
    Ok(())
}
