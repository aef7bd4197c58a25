//! Cassettes as files: whole at every moment, shared by whoever reads them, and free of what must not be in them.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use ossai::client::CredentialFuture;
use ossai::{Client, CompletionRequest, Config, Credential, ErrorKind, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KEY: &str = "canary-key-7f3a";
const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
/// Tells the process that is to be killed where to record.
const VICTIM: &str = "OSSAI_TEST_CASSETTE";

/// Answers whatever is asked.
async fn vendor() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let mut read = 0;
                while let Ok(n) = stream.read(&mut request[read..]).await {
                    read += n;
                    if n == 0 {
                        break;
                    }
                    if request[..read].ends_with(b"}") {
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
                            ANSWER.len()
                        );
                        let _ = stream.write_all(answer.as_bytes()).await;
                        read = 0;
                    }
                }
            });
        }
    });
    url
}

fn config(url: &str, path: &Path, mode: &str) -> Config {
    let config = json!({
        "cache": {"enabled": false},
        "providers": {"p": {"base_url": url}},
        "cassette": {"path": path, "mode": mode},
    });
    Config::from_json(&config.to_string()).unwrap()
}

fn cassette(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("x.json")
}

async fn ask(client: &Client, text: &str) -> ossai::Result<String> {
    let answer = client.complete(CompletionRequest::new("p/m", text)).await?;
    Ok(answer.text.clone())
}

fn interactions(path: &Path) -> usize {
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    document["interactions"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_at_a_cassette_that_is_being_recorded_finds_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = cassette(&folder);
    let client = Client::new(config(&vendor().await, &path, "record")).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (path, over) = (path.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            let (mut looks, mut last) = (0_u32, 0);
            while !over.load(SeqCst) {
                if path.exists() {
                    let now = interactions(&path);
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                    looks += 1;
                }
            }
            looks
        })
    };
    for n in 0..40 {
        ask(&client, &format!("{n} {}", "x".repeat(4_000)))
            .await
            .unwrap();
    }
    over.store(true, SeqCst);
    assert!(reader.join().unwrap() > 0);
    assert_eq!(interactions(&path), 40);
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
#[ignore = "it has no end: the next test runs it, and kills it"]
async fn a_process_that_records_until_it_is_killed() {
    let path = std::env::var_os(VICTIM).unwrap();
    let client = Client::new(config(&vendor().await, Path::new(&path), "record")).unwrap();
    for n in 0_u64.. {
        ask(&client, &format!("{n} {}", "x".repeat(20_000)))
            .await
            .unwrap();
    }
}

#[test]
fn a_process_that_is_killed_while_it_records_leaves_a_whole_cassette() {
    let folder = tempfile::tempdir().unwrap();
    let path = cassette(&folder);
    for round in 0..3 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "a_process_that_records_until_it_is_killed",
            ])
            .env(VICTIM, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // At another moment each time, and with something to lose.
        let _ = std::fs::remove_file(&path);
        while !path.exists() || interactions(&path) < 10 + round * 7 {
            assert!(victim.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(interactions(&path) >= 10 + round * 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_replay_one_cassette_each_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = cassette(&folder);
    let recorded = Client::new(config(&vendor().await, &path, "record")).unwrap();
    ask(&recorded, "Hello").await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..16 {
        let client = Client::new(config("http://127.0.0.1:9/v1", &path, "replay")).unwrap();
        clients.push(tokio::spawn(async move {
            // The address is another one than was recorded.
            let other = ask(&client, "Hello").await.unwrap_err();
            assert_eq!(other.kind(), ErrorKind::InvalidState);
            assert!(other.to_string().contains("differs in host"), "{other}");
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    let url = {
        let text = std::fs::read_to_string(&path).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let url = document["interactions"][0]["request"]["url"].as_str();
        url.unwrap()
            .trim_end_matches("/chat/completions")
            .to_owned()
    };
    for _ in 0..16 {
        let client = Client::new(config(&url, &path, "replay")).unwrap();
        assert_eq!(ask(&client, "Hello").await.unwrap(), "Hi");
        assert!(ask(&client, "Hello").await.is_err());
    }
}

#[tokio::test]
async fn clients_of_one_process_that_record_to_one_file_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = cassette(&folder);
    let url = vendor().await;
    let one = Client::new(config(&url, &path, "record")).unwrap();
    let other = Client::new(config(&url, &path, "record")).unwrap();
    ask(&one, "1").await.unwrap();
    ask(&other, "2").await.unwrap();
    ask(&one, "3").await.unwrap();
    assert_eq!(interactions(&path), 3);
    drop((one, other));
    let later = Client::new(config(&url, &path, "record")).unwrap();
    ask(&later, "4").await.unwrap();
    assert_eq!(interactions(&path), 1);
}

struct Vault;

impl Credential for Vault {
    fn fetch(&self) -> CredentialFuture<'_> {
        Box::pin(async { Ok(Secret::new(KEY)) })
    }
}

#[tokio::test]
async fn a_credential_of_a_callback_is_on_no_cassette() {
    let folder = tempfile::tempdir().unwrap();
    let path = cassette(&folder);
    let source: Arc<dyn Credential> = Arc::new(Vault);
    let config = config(&vendor().await, &path, "record");
    let client = Client::with_credentials(config, [("p".to_owned(), source)]).unwrap();
    ask(&client, &format!("My key is {KEY}.")).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("My key is ***."), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_cassette_that_cannot_be_written_is_told_of_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "no folder").unwrap();
    let client = Client::new(config(
        "http://127.0.0.1:9/v1",
        &path.join("x.json"),
        "record",
    ));
    let error = ask(&client.unwrap(), "Hello").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState, "{error}");
    assert_eq!(error.fields().detail.as_deref(), Some("cassette"));
    assert!(error.to_string().contains("cannot be written"), "{error}");
}
