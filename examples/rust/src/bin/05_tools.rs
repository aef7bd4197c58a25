//! Let the model call functions. Set OPENAI_API_KEY to ask a real model; without it what the model would be told is shown.

use ossai::tools::{Approval, RunnableTool, ToolContext, Toolset};
use ossai::{Client, CompletionRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// The city's name.
    city: String,
}

#[derive(Serialize, JsonSchema)]
struct Weather {
    city: String,
    sky: String,
}

#[tokio::main]
async fn main() -> ossai::Result<()> {
    let mut weather = RunnableTool::typed(
        "weather",
        "The weather of a city.",
        |place: Place, _: ToolContext| async move {
            println!("weather runs for {}", place.city);
            Ok(Weather {
                city: place.city,
                sky: "rain".into(),
            })
        },
    );
    weather.spec_mut().capabilities = vec!["read".into()];
    let tools = Toolset::new([weather])?;
    for spec in tools.specs() {
        println!(
            "{}: {:#}",
            spec.name,
            spec.input_schema.clone().unwrap_or_default()
        );
    }
    if std::env::var_os("OPENAI_API_KEY").is_none() {
        return Ok(());
    }
    let client = Client::from_env()?
        .with_tools(&tools)
        // Asked before each handler.
        .approve(|_, context: ToolContext| async move {
            Ok(match context.tool.capabilities.as_slice() {
                [only] if only == "read" => Approval::Yes,
                _ => Approval::No(Some("only reading".into())),
            })
        });
    let request = CompletionRequest::new("openai/gpt-4o-mini", "Do I need an umbrella in Oslo?");
    let answer = client.complete(request).await?;
    println!("{}", answer.text);
    for (turn, n) in answer.tool_run.iter().flat_map(|run| &run.turns).zip(1..) {
        println!("turn {n}: {:?}", turn.cost.total);
    }
    println!("in all: {:?}", answer.cost.total);
    Ok(())
}
