//! What is said to the server stays out of its logs and its data folder. A program of its own, because the log of a
//! process is one.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "server/support.rs"]
mod support;
#[allow(dead_code)]
#[path = "server/upstream.rs"]
mod upstream;

use std::sync::{Arc, Mutex};

use ossai_orchestrator::Auth;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::support::{Test, question};
use crate::upstream::{Upstream, failure};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_prompts_nor_answers_nor_keys_are_in_logs_or_in_the_data_folder() {
    let lines = Lines::default();
    let own = Targets::new()
        .with_target("ossai", LevelFilter::TRACE)
        .with_target("ossai_orchestrator", LevelFilter::TRACE);
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .with_filter(own);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    let upstream = Upstream::start().await;
    let test = Test::with(Some(&upstream), |config| config.auth = Some(Auth::Keys)).await;
    let key = test.server.store().create_key("acme", "").unwrap().key;
    let ask = async |body: serde_json::Value| {
        test.send(
            test.http
                .post(test.url("/v1/chat/completions"))
                .bearer_auth(&key)
                .body(body.to_string()),
        )
        .await
    };
    let known = async {
        while ask(question("local/extract")).await.status == 401 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), known)
        .await
        .unwrap();
    let body = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "The canary-prompt is here.\n\nWhat is here?"}]});
    assert!(
        ask(body("local/extract"))
            .await
            .text
            .contains("canary-prompt")
    );
    assert_eq!(ask(body("openai/gpt-4o-mini")).await.status, 200);
    upstream.then(failure(400, ""));
    assert_eq!(ask(body("openai/gpt-4o-mini")).await.status, 400);
    let folder = test.server.store().folder().to_owned();
    let keep = test.folder;
    test.server.shutdown(std::future::pending()).await;
    let mut kept: Vec<(String, Vec<u8>)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    let logged = lines.0.lock().unwrap().clone();
    assert!(
        String::from_utf8_lossy(&logged).contains("openai/gpt-4o-mini"),
        "nothing was logged"
    );
    kept.push(("logs".into(), logged));
    let secret = &key[key.len() - 72..];
    for (place, bytes) in &kept {
        for canary in ["canary-prompt", secret, "sk-provider-secret", "Hello."] {
            let found = bytes
                .windows(canary.len())
                .any(|window| window == canary.as_bytes());
            assert!(!found, "{canary} is in {place}");
        }
    }
    drop(keep);
}
