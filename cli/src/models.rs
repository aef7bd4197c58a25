//! `ossai models`: what can be called, what it can do and what it costs.

use std::time::SystemTime;

use clap::{Args, ValueEnum};
use ossai::cost::{Meter, ModelEntry, ModelQuery, ModelSort, PriceContext, rates_in_force};
use ossai::{Client, NanoUsd};
use serde_json::json;

use crate::failure::Failure;
use crate::global::Global;
use crate::io::out_styled;
use crate::money::dollars;

/// List models
#[derive(Args)]
#[command(after_help = "Examples:
  ossai models haiku
  ossai models --cap tools --max-input-price 1 --sort price
  ossai models --live --provider ollama")]
pub struct Models {
    /// Only names with this in them
    query: Option<String>,
    /// Only this provider's
    #[arg(long)]
    provider: Option<String>,
    /// Only those that can do this (tools, vision, json_schema …); may be given several times
    #[arg(long)]
    cap: Vec<String>,
    /// Only those whose input costs at most this many dollars per million tokens
    #[arg(long, value_name = "USD", value_parser = dollars)]
    max_input_price: Option<NanoUsd>,
    /// Order
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    sort: Sort,
    /// Also those no longer served
    #[arg(long)]
    retired: bool,
    /// Ask the servers instead of the built-in table
    #[arg(long, conflicts_with_all = ["cap", "max_input_price", "sort", "retired"])]
    live: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sort {
    Name,
    Price,
    OutputPrice,
    Context,
    Released,
}

impl Models {
    /// Runs the command.
    ///
    /// # Errors
    /// A capability no model has; with `--live`, whatever the servers answer.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        if self.live {
            return self.live(global, &client).await;
        }
        for cap in &self.cap {
            if !client.prices().models().any(|model| model.has_cap(cap)) {
                let known: std::collections::BTreeSet<&str> = client
                    .prices()
                    .models()
                    .flat_map(|model| &model.caps)
                    .map(String::as_str)
                    .collect();
                let known: Vec<&str> = known.into_iter().collect();
                return Err(Failure::usage(
                    "--cap",
                    format_args!("expected one of {}", known.join(", ")),
                ));
            }
        }
        let caps: Vec<&str> = self.cap.iter().map(String::as_str).collect();
        let context = PriceContext::at(SystemTime::now());
        let query = ModelQuery {
            provider: self.provider.as_deref(),
            caps: &caps,
            text: self.query.as_deref(),
            // Nanodollars per million tokens are thousands of picodollars per token.
            max_input: self.max_input_price.map(|price| price.0 / 1000),
            retired: self.retired,
            sort: match self.sort {
                Sort::Name => ModelSort::Id,
                Sort::Price => ModelSort::Input,
                Sort::OutputPrice => ModelSort::Output,
                Sort::Context => ModelSort::Context,
                Sort::Released => ModelSort::Released,
            },
            ..ModelQuery::default()
        };
        let models = client.prices().query(&query, &context);
        if global.json {
            return global.print_json(&json!({ "models": models }));
        }
        if global.jsonl {
            return models.iter().try_for_each(|model| global.print_json(model));
        }
        let width = models
            .iter()
            .map(|model| model.id.len())
            .max()
            .unwrap_or(0)
            .max(5);
        let mut text = format!(
            "{:width$}  {:>9}  {:>9}  {:>9}  can\n",
            "model", "in $/M", "out $/M", "context"
        );
        for model in &models {
            let room = model.limits.context.or(model.limits.input);
            text.push_str(&format!(
                "{:width$}  {:>9}  {:>9}  {:>9}  {}\n",
                model.id,
                price(model, Meter::Input, &context),
                price(model, Meter::Output, &context),
                room.map_or_else(|| "-".into(), |tokens| tokens.to_string()),
                model.caps.join(" ")
            ));
        }
        out_styled(&text)?;
        if models.is_empty() {
            anstream::eprintln!("no such model in the table of {}", client.prices().date());
        }
        Ok(())
    }

    async fn live(&self, global: &Global, client: &Client) -> Result<(), Failure> {
        // An orchestrator lists for every provider at once.
        let orchestrated = client.config().endpoint.is_some();
        let provider = self.provider.as_deref();
        let mut models = client.models(provider.filter(|_| !orchestrated)).await?;
        models.retain(|model| {
            let fits = self
                .query
                .as_ref()
                .is_none_or(|query| model.id.contains(query));
            fits && provider.is_none_or(|provider| model.id.split('/').next() == Some(provider))
        });
        if global.json {
            return global.print_json(&json!({ "models": models }));
        }
        if global.jsonl {
            return models.iter().try_for_each(|model| global.print_json(model));
        }
        out_styled(
            &models
                .iter()
                .map(|model| format!("{}\n", model.id))
                .collect::<String>(),
        )
    }
}

fn price(model: &ModelEntry, meter: Meter, context: &PriceContext<'_>) -> String {
    #[allow(clippy::cast_precision_loss)]
    rates_in_force(model, context, 0)
        .get(meter)
        .map_or_else(|| "unknown".into(), |pico| format!("{}", pico as f64 / 1e6))
}
