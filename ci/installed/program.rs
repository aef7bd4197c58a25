//! What a user of the crate does, with no key, and then before a server (`ci/with-upstream`) if the environment names one.

use ossai::tools::{RunnableTool, ToolContext, ToolSpec, Toolset};
use ossai::{Client, CompletionRequest, Config, ErrorKind, StreamEvent};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> ossai::Result<()> {
    let client = Client::new(Config::default())?;
    let request = CompletionRequest::new(
        "local/extract",
        "Context:\nThe sky is blue.\n\nWhat colour is the sky?",
    );
    assert!(
        client
            .complete(request.clone())
            .await?
            .text
            .contains("blue")
    );
    assert!(
        client
            .count(&CompletionRequest::new("openai/gpt-4o", "one"))?
            .tokens
            > 0
    );
    let refused = client.complete(CompletionRequest::new("", "")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let mut did = "local/extract".to_owned();

    if std::env::var_os("OPENAI_BASE_URL").is_some() {
        let mut spec = ToolSpec::new("colour");
        spec.input_schema =
            Some(json!({"type": "object", "properties": {"of": {"type": "string"}}}));
        let colour = RunnableTool::new(spec, |input: Value, _: ToolContext| async move {
            assert_eq!(input, json!({"of": "sky"}));
            Ok(json!("blue"))
        });
        let client = Client::from_env()?;
        let tools = Toolset::new([colour])?;
        let ask = |text| CompletionRequest::new("openai/gpt-4o-mini", text);
        let answer = client
            .with_tools(&tools)
            .complete(ask("What colour is the sky?"))
            .await?;
        assert_eq!(answer.text, "It is blue.");
        let mut stream = client.stream(ask("And grass?")).await?;
        let mut text = String::new();
        while let Some(event) = stream.next().await {
            if let StreamEvent::TextDelta { text: piece, .. } = event? {
                text.push_str(&piece);
            }
        }
        assert_eq!(text, "It is green.");
        did.push_str(", a tool's handler and a stream over HTTP");
    }
    println!("ok crate on {}: {did}", std::env::consts::ARCH);
    Ok(())
}
