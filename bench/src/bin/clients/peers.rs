//! What a user would pick instead.

use std::time::{Duration, Instant};

use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use futures_util::StreamExt;
use liter_llm::{
    CacheConfig, ChatCompletionRequest, ClientConfigBuilder, DefaultClient, LlmClient,
    ManagedClient, Message, UserContent, UserMessage,
};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::meter::{Span, quantile, resident_mb};
use crate::work::prompt;
use crate::{Outcome, Target};

#[derive(Clone)]
pub(crate) struct AsyncOpenai {
    client: Arc<async_openai::Client<OpenAIConfig>>,
}

impl AsyncOpenai {
    pub(crate) fn new(base: &str) -> Outcome<Self> {
        crate::plain::install_tls();
        let config = OpenAIConfig::new()
            .with_api_base(base)
            .with_api_key("sk-bench");
        Ok(Self {
            client: Arc::new(async_openai::Client::with_config(config)),
        })
    }

    fn request(prompt: String) -> Outcome<CreateChatCompletionRequest> {
        let message = ChatCompletionRequestUserMessage::from(prompt);
        Ok(CreateChatCompletionRequestArgs::default()
            .model("gpt-4o-mini")
            .messages([message.into()])
            .build()?)
    }
}

impl Target for AsyncOpenai {
    async fn call(&self, prompt: String) -> Outcome<usize> {
        let answer = self.client.chat().create(Self::request(prompt)?).await?;
        let text = answer
            .choices
            .first()
            .and_then(|choice| choice.message.content.as_ref());
        Ok(text.ok_or("an answer without text")?.len())
    }

    async fn stream(&self, prompt: String) -> Outcome<usize> {
        let mut stream = self
            .client
            .chat()
            .create_stream(Self::request(prompt)?)
            .await?;
        let mut with_text = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            let text = chunk
                .choices
                .first()
                .and_then(|choice| choice.delta.content.as_deref());
            with_text += usize::from(text.is_some_and(|text| !text.is_empty()));
        }
        Ok(with_text)
    }
}

#[derive(Clone)]
pub(crate) struct LiterLlm {
    client: Arc<DefaultClient>,
}

impl LiterLlm {
    pub(crate) fn new(base: &str) -> Outcome<Self> {
        let config = ClientConfigBuilder::new("sk-bench").base_url(base).build();
        Ok(Self {
            client: Arc::new(DefaultClient::new(config, Some("openai/gpt-4o-mini"))?),
        })
    }

    fn request(prompt: String) -> ChatCompletionRequest {
        ChatCompletionRequest {
            model: "openai/gpt-4o-mini".into(),
            messages: vec![Message::User(UserMessage {
                content: UserContent::Text(prompt),
                name: None,
            })],
            ..Default::default()
        }
    }
}

impl Target for LiterLlm {
    async fn call(&self, prompt: String) -> Outcome<usize> {
        let answer = self.client.chat(Self::request(prompt)).await?;
        let content = answer
            .choices
            .first()
            .and_then(|choice| choice.message.content.as_ref());
        let text = content.and_then(|content| content.as_text());
        Ok(text.ok_or("an answer without text")?.len())
    }

    async fn stream(&self, prompt: String) -> Outcome<usize> {
        let mut stream = self.client.chat_stream(Self::request(prompt)).await?;
        let mut with_text = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            let text = chunk
                .choices
                .first()
                .and_then(|choice| choice.delta.content.as_deref());
            with_text += usize::from(text.is_some_and(|text| !text.is_empty()));
        }
        Ok(with_text)
    }
}

/// liter-llm's memory cache; its requests are handed over by value, so they are made before the clock starts.
pub(crate) async fn hit(base: &str, bytes: usize) -> Outcome<Value> {
    let config = ClientConfigBuilder::new("sk-bench")
        .base_url(base)
        .cache(CacheConfig {
            ttl: Duration::from_secs(3_600),
            ..CacheConfig::default()
        })
        .build();
    let client = ManagedClient::new(config, Some("openai/gpt-4o-mini"))?;
    let prompt = prompt(bytes);
    client.chat(LiterLlm::request(prompt.clone())).await?;
    let n = (20_000 * 2_000 / bytes.max(2_000)).clamp(500, 5_000);
    let requests = || vec![LiterLlm::request(prompt.clone()); n];
    let mut samples = Vec::with_capacity(n);
    for request in requests() {
        let start = Instant::now();
        drop(std::hint::black_box(client.chat(request).await?));
        samples.push(start.elapsed());
    }
    let requests = requests();
    let span = Span::start();
    for request in requests {
        drop(std::hint::black_box(client.chat(request).await?));
    }
    let (cpu, _) = span.end();
    samples.sort_unstable();
    Ok(json!({
        "bytes": bytes,
        "p50_us": quantile(&samples, 0.5),
        "p95_us": quantile(&samples, 0.95),
        "cpu_us": cpu * 1e6 / n as f64,
        "resident_mb": resident_mb(),
    }))
}
