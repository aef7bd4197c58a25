//! What one would write by hand: hyper, and reqwest, with typed answers and nothing else.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};

use crate::{Failure, Outcome, Target};

const KEY: &str = "Bearer sk-bench";

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 1],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

fn request(prompt: &str, stream: bool) -> Request<'_> {
    Request {
        model: "gpt-4o-mini",
        messages: [Message {
            role: "user",
            content: prompt,
        }],
        stream,
    }
}

/// The fields a user of the API reads.
#[derive(Deserialize)]
#[expect(
    dead_code,
    reason = "a typed answer is built whole, whatever is read of it"
)]
struct Answer {
    id: String,
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Choice {
    message: Reply,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Chunk {
    id: String,
    model: String,
    choices: Vec<ChunkChoice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct ChunkChoice {
    delta: Reply,
    finish_reason: Option<String>,
}

fn length(answer: &Answer) -> Outcome<usize> {
    let text = answer
        .choices
        .first()
        .and_then(|choice| choice.message.content.as_ref());
    Ok(text.ok_or("an answer without text")?.len())
}

/// Cuts a stream into events as simply as the format the vendor really sends allows.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
    with_text: usize,
    done: bool,
}

impl Events {
    fn feed(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) =
            memchr::memmem::find(self.buffer.get(at..).unwrap_or_default(), b"\n\n")
        {
            let event = self.buffer.get(at..at + length).unwrap_or_default();
            at += length + 2;
            let data = event
                .strip_prefix(b"data: ")
                .ok_or("an event without data")?;
            if data == b"[DONE]" {
                self.done = true;
                continue;
            }
            let chunk: Chunk = serde_json::from_slice(data)?;
            let text = chunk
                .choices
                .first()
                .and_then(|choice| choice.delta.content.as_deref());
            self.with_text += usize::from(text.is_some_and(|text| !text.is_empty()));
        }
        self.buffer.drain(..at);
        Ok(())
    }

    fn end(self) -> Outcome<usize> {
        if self.done {
            return Ok(self.with_text);
        }
        Err("the stream broke off".into())
    }
}

#[derive(Clone)]
pub(crate) struct Reqwest {
    http: reqwest::Client,
    url: String,
}

impl Reqwest {
    pub(crate) fn new(base: &str) -> Outcome<Self> {
        install_tls();
        Ok(Self {
            http: reqwest::Client::builder().build()?,
            url: format!("{base}/chat/completions"),
        })
    }

    async fn send(&self, prompt: &str, stream: bool) -> Outcome<reqwest::Response> {
        let call = self.http.post(&self.url).header("authorization", KEY);
        let response = call.json(&request(prompt, stream)).send().await?;
        Ok(response.error_for_status()?)
    }
}

impl Target for Reqwest {
    async fn call(&self, prompt: String) -> Outcome<usize> {
        length(&self.send(&prompt, false).await?.json().await?)
    }

    async fn stream(&self, prompt: String) -> Outcome<usize> {
        let mut response = self.send(&prompt, true).await?;
        let mut events = Events::default();
        while let Some(bytes) = response.chunk().await? {
            events.feed(&bytes)?;
        }
        events.end()
    }
}

#[derive(Clone)]
pub(crate) struct Hyper {
    http: Client<HttpConnector, Full<Bytes>>,
    url: http::Uri,
}

impl Hyper {
    pub(crate) fn new(base: &str) -> Outcome<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            url: format!("{base}/chat/completions").parse()?,
        })
    }

    async fn send(
        &self,
        prompt: &str,
        stream: bool,
    ) -> Outcome<
        http::Response<
            impl http_body_util::BodyExt<Data = Bytes, Error: Into<Failure>> + Unpin + use<>,
        >,
    > {
        let body = serde_json::to_vec(&request(prompt, stream))?;
        let request = http::Request::post(self.url.clone())
            .header("authorization", KEY)
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        let response = self.http.request(request).await?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()).into());
        }
        Ok(response)
    }
}

impl Target for Hyper {
    async fn call(&self, prompt: String) -> Outcome<usize> {
        let response = self.send(&prompt, false).await?;
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(Into::into)?
            .to_bytes();
        length(&serde_json::from_slice(&body)?)
    }

    async fn stream(&self, prompt: String) -> Outcome<usize> {
        let mut body = self.send(&prompt, true).await?.into_body();
        let mut events = Events::default();
        while let Some(frame) = body.frame().await {
            if let Some(bytes) = frame.map_err(Into::into)?.data_ref() {
                events.feed(bytes)?;
            }
        }
        events.end()
    }
}

/// reqwest was built without a default provider of cryptography; the rest of the program brings one.
pub(crate) fn install_tls() {
    // Fails only if it was installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
