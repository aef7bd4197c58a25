//! What must not be seen is not: a key, a prompt and an answer that can be told apart, looked for wherever a client shows
//! anything.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use ossai::client::CredentialFuture;
use ossai::{CallOptions, Client, CompletionRequest, Config, Credential, Error, Secret};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KEY: &str = "canary-key-7f3a";
const PROMPT: &str = "canary-prompt-91c2";
const ANSWER: &str = "canary-answer-55d0";

/// Answers by what the prompt asks for, repeating key and prompt in its errors as careless servers do.
async fn vendor() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 16_384];
                let mut read = 0;
                while let Ok(n) = stream.read(&mut request[read..]).await {
                    read += n;
                    let text = String::from_utf8_lossy(&request[..read]);
                    if n == 0 || text.trim_end().ends_with('}') {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&request[..read]).into_owned();
                let (status, body) = if text.contains("please-fail") {
                    (
                        "401 Unauthorized",
                        json!({"error": {"message": format!("Incorrect API key provided: {KEY}"), "type": "invalid_request_error", "code": "invalid_api_key"}}).to_string(),
                    )
                } else if text.contains("please-garble") {
                    ("200 OK", format!("{{\"{PROMPT}\": \"{ANSWER}\", {KEY}"))
                } else {
                    (
                        "200 OK",
                        json!({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]}).to_string(),
                    )
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-requests: 1s\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}

struct Vault;

impl Credential for Vault {
    fn fetch(&self) -> CredentialFuture<'_> {
        Box::pin(async { Ok(Secret::new(KEY)) })
    }
}

fn clean(what: &str, shown: &str, canaries: &[&str]) {
    for canary in canaries {
        assert!(!shown.contains(canary), "{what} shows {canary}: {shown}");
    }
}

fn check_error(what: &str, error: &Error) {
    let mut shown = format!(
        "{error}\n{error:?}\n{error:#?}\n{}",
        serde_json::to_string(error).unwrap()
    );
    let mut cause = std::error::Error::source(error);
    while let Some(beneath) = cause {
        shown.push_str(&format!("\n{beneath}\n{beneath:?}"));
        cause = beneath.source();
    }
    clean(what, &shown, &[KEY, PROMPT, ANSWER]);
}

fn request(word: &str) -> Arc<CompletionRequest> {
    let mut request = CompletionRequest::new("p/m", format!("{PROMPT} {word}"));
    request.temperature = Some(0.0);
    Arc::new(request)
}

#[tokio::test]
async fn neither_key_nor_prompt_nor_answer_shows_in_anything_but_the_answer_itself() {
    let url = vendor().await;
    let fixed = json!({"providers": {"p": {"base_url": url, "api_key": KEY}}, "trace": true,
        "retry": {"max_attempts": 1}, "proxy": {"url": format!("http://u:{KEY}@proxy.invalid:1")}});
    let called = json!({"providers": {"p": {"base_url": url, "auth": "bearer"}}, "trace": true,
        "retry": {"max_attempts": 1}});
    let vault: Arc<dyn Credential> = Arc::new(Vault);
    let clients = [
        Client::new(Config::from_json(&fixed.to_string()).unwrap()).unwrap(),
        Client::with_credentials(
            Config::from_json(&called.to_string()).unwrap(),
            [("p".to_owned(), vault)],
        )
        .unwrap(),
    ];
    for client in clients {
        let options = Arc::new(CallOptions::default());
        for word in ["first", "second", "first"] {
            let answer = client
                .complete_with(request(word), Arc::clone(&options))
                .await
                .unwrap();
            assert_eq!(answer.text, ANSWER);
            let trace = answer.trace.unwrap();
            assert!(!trace.steps.is_empty());
            let shown = format!("{trace:?} {}", serde_json::to_string(&trace).unwrap());
            clean("a trace", &shown, &[KEY, PROMPT, ANSWER]);
        }
        for word in ["please-fail", "please-garble"] {
            let error = client.complete(request(word)).await.unwrap_err();
            assert!(error.fields().trace.is_some());
            check_error(word, &error);
            let Err(error) = client.stream(request(word)).await else {
                panic!("{word} gave a stream");
            };
            check_error(word, &error);
        }
        let late = CallOptions {
            timeout_ms: Some(0),
            ..CallOptions::default()
        };
        let error = client
            .complete_with(request("late"), late)
            .await
            .unwrap_err();
        check_error("a time-out", &error);

        let explained = client.explain(&request("first"), &options).unwrap();
        let shown = [
            format!(
                "{explained:?} {}",
                serde_json::to_string(&explained).unwrap()
            ),
            format!("{client:?} {client:#?}"),
            format!("{:?}", client.config()),
            serde_json::to_string(client.config()).unwrap(),
            format!("{:?}", client.stats()),
            serde_json::to_string(&client.stats()).unwrap(),
            format!("{:?}", client.key(&request("first")).unwrap()),
        ];
        for shown in shown {
            clean("a client", &shown, &[KEY, PROMPT, ANSWER]);
        }
    }
}

#[test]
fn a_mistake_in_a_request_names_its_field_and_not_its_content() {
    let client = Client::new(Config::default()).unwrap();
    let mut bad = CompletionRequest::new("local/echo", PROMPT);
    bad.stop = vec![PROMPT.into(), String::new()];
    let options = Arc::new(CallOptions::default());
    check_error(
        "a request",
        &client.explain(&Arc::new(bad), &options).unwrap_err(),
    );
    let header = CallOptions {
        headers: [("authorization".to_owned(), format!("{KEY}\r\n"))].into(),
        ..CallOptions::default()
    };
    let asked = Arc::new(CompletionRequest::new("local/echo", PROMPT));
    check_error(
        "a header",
        &client.explain(&asked, &Arc::new(header)).unwrap_err(),
    );
}
