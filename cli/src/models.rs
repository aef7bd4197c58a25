//! `ossai models`: what can be called, what it can do and what it costs.

use clap::Args;
use ossai::cost::{Meter, ModelEntry, ModelQuery, ModelSort, PriceContext, rates_in_force};

use crate::common::{Failure, Global, out};

/// List models
#[derive(Args, Debug)]
#[command(after_help = "Examples:
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
    #[arg(long, value_name = "USD")]
    max_input_price: Option<f64>,
    /// Order
    #[arg(long, default_value = "name", value_parser = ["name", "price", "output-price", "context", "released"])]
    sort: String,
    /// Also those no longer served
    #[arg(long)]
    retired: bool,
    /// Ask the servers instead of the built-in table
    #[arg(long)]
    live: bool,
}

impl Models {
    /// Runs the command.
    ///
    /// # Errors
    /// With `--live`, whatever the servers answer.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        if self.live {
            let mut models = client.models(self.provider.as_deref()).await?;
            models.retain(|model| {
                self.query
                    .as_ref()
                    .is_none_or(|query| model.id.contains(query))
            });
            if global.json {
                return global.print_json(&models);
            }
            return models
                .iter()
                .try_for_each(|model| out(&format!("{}\n", model.id)));
        }
        let caps: Vec<&str> = self.cap.iter().map(String::as_str).collect();
        let context = PriceContext::at(std::time::SystemTime::now());
        let query = ModelQuery {
            provider: self.provider.as_deref(),
            caps: &caps,
            text: self.query.as_deref(),
            // A dollar per million tokens is a million picodollars per token.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            max_input: self
                .max_input_price
                .map(|usd| (usd.max(0.0) * 1e6).round() as u64),
            retired: self.retired,
            sort: match self.sort.as_str() {
                "price" => ModelSort::Input,
                "output-price" => ModelSort::Output,
                "context" => ModelSort::Context,
                "released" => ModelSort::Released,
                _ => ModelSort::Id,
            },
            ..ModelQuery::default()
        };
        let models = client.prices().query(&query, &context);
        if global.json {
            return global.print_json(&models);
        }
        if global.jsonl {
            return models.iter().try_for_each(|model| global.print_json(model));
        }
        let width = models.iter().map(|model| model.id.len()).max().unwrap_or(5);
        out(&format!(
            "{:width$}  {:>9}  {:>9}  {:>9}  can\n",
            "model", "in $/M", "out $/M", "context"
        ))?;
        for model in &models {
            out(&format!(
                "{:width$}  {:>9}  {:>9}  {:>9}  {}\n",
                model.id,
                price(model, Meter::Input, &context),
                price(model, Meter::Output, &context),
                model
                    .limits
                    .context
                    .or(model.limits.input)
                    .map_or_else(|| "-".into(), |n| n.to_string()),
                model.caps.join(" ")
            ))?;
        }
        Ok(())
    }
}

fn price(model: &ModelEntry, meter: Meter, context: &PriceContext<'_>) -> String {
    #[allow(clippy::cast_precision_loss)]
    rates_in_force(model, context, 0)
        .get(meter)
        .map_or_else(|| "unknown".into(), |pico| format!("{}", pico as f64 / 1e6))
}
