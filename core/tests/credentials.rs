//! Credentials that come from a callback: fetched once, fetched anew on a 401, never shown.

#![allow(clippy::unwrap_used)]

mod http;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use ossai::client::CredentialFuture;
use ossai::{Client, CompletionRequest, Config, Credential, ErrorKind, Secret};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// A source that gives `canary-1`, `canary-2` …, or fails.
struct Numbered {
    fetched: AtomicUsize,
    fails: bool,
    identity: Option<&'static str>,
}

impl Numbered {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            fetched: AtomicUsize::new(0),
            fails: false,
            identity: Some("billing"),
        })
    }
}

impl Credential for Numbered {
    fn fetch(&self) -> CredentialFuture<'_> {
        Box::pin(async {
            let number = self.fetched.fetch_add(1, SeqCst) + 1;
            tokio::task::yield_now().await;
            if self.fails {
                return Err("the vault is shut: canary-0".into());
            }
            Ok(Secret::new(format!("canary-{number}")))
        })
    }

    fn identity(&self) -> Option<String> {
        self.identity.map(str::to_owned)
    }
}

/// A server that answers only keys it accepts, and remembers the others.
struct Vendor {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

async fn serve(mut stream: TcpStream, accepted: &'static str, seen: Arc<Mutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    while let Some((head, _)) = http::request(&mut stream, &mut buffer).await {
        let key = http::header(&head, "authorization").unwrap_or_default();
        let good = key == format!("bearer {accepted}");
        seen.lock().unwrap().push(key);
        let (status, extra, body) = if good {
            (
                "200 OK",
                "",
                r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#,
            )
        } else {
            (
                "401 Unauthorized",
                "x-should-retry: false\r\n",
                r#"{"error":{"message":"expired","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            )
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{extra}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn vendor(accepted: &'static str) -> Vendor {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, accepted, Arc::clone(&log)));
        }
    });
    Vendor { url, seen }
}

fn client(vendor: &Vendor, source: &Arc<Numbered>) -> Client {
    let config = format!(
        r#"{{"providers": {{"p": {{"base_url": "{}", "auth": "bearer"}}}}, "trace": true}}"#,
        vendor.url
    );
    let source: Arc<dyn Credential> = Arc::clone(source) as _;
    Client::with_credentials(
        Config::from_json(&config).unwrap(),
        [("p".to_owned(), source)],
    )
    .unwrap()
}

fn request(text: &str) -> CompletionRequest {
    CompletionRequest::new("p/m", text)
}

#[tokio::test]
async fn a_401_fetches_the_credential_anew_and_tries_once_more() {
    let (vendor, source) = (vendor("canary-2").await, Numbered::new());
    let client = client(&vendor, &source);
    let answer = client.complete(request("a")).await.unwrap();
    assert_eq!(answer.attempts.len(), 2);
    assert_eq!(answer.attempts[0].error, Some(ErrorKind::Authentication));
    assert_eq!(
        *vendor.seen.lock().unwrap(),
        ["bearer canary-1", "bearer canary-2"]
    );
    // What was fetched is kept.
    client.complete(request("b")).await.unwrap();
    assert_eq!(source.fetched.load(SeqCst), 2);
    let trace = serde_json::to_string(&answer.trace).unwrap();
    assert!(
        trace.contains("refreshed") && !trace.contains("canary"),
        "{trace}"
    );
}

#[tokio::test]
async fn a_second_401_ends_the_call() {
    let (vendor, source) = (vendor("none").await, Numbered::new());
    let error = client(&vendor, &source)
        .complete(request("a"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert_eq!(vendor.seen.lock().unwrap().len(), 2);
    assert_eq!(source.fetched.load(SeqCst), 2);
}

#[tokio::test]
async fn calls_that_are_refused_together_share_one_fetch() {
    let (vendor, source) = (vendor("canary-2").await, Numbered::new());
    let client = client(&vendor, &source);
    let calls: Vec<_> = (0..32)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(async move { client.complete(request(&i.to_string())).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(source.fetched.load(SeqCst), 2);
}

#[tokio::test]
async fn a_fixed_key_is_not_tried_again() {
    let vendor = vendor("none").await;
    let config = format!(
        r#"{{"providers": {{"p": {{"base_url": "{}", "api_key": "k"}}}}}}"#,
        vendor.url
    );
    let client = Client::new(Config::from_json(&config).unwrap()).unwrap();
    let error = client.complete(request("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert_eq!(vendor.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_callback_that_fails_is_a_callback_error_that_shows_nothing_and_sends_nothing() {
    let vendor = vendor("canary-1").await;
    let source = Arc::new(Numbered {
        fetched: AtomicUsize::new(0),
        fails: true,
        identity: None,
    });
    let client = client(&vendor, &source);
    let error = client.complete(request("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CallbackError);
    let shown = format!(
        "{error} {error:?} {}",
        serde_json::to_string(&error).unwrap()
    );
    assert!(!shown.contains("canary"), "{shown}");
    assert!(std::error::Error::source(&error).is_some());
    assert!(vendor.seen.lock().unwrap().is_empty());
    // The next call asks anew.
    client.complete(request("a")).await.unwrap_err();
    assert_eq!(source.fetched.load(SeqCst), 2);
}

#[tokio::test]
async fn a_key_follows_the_identity_and_not_the_credential() {
    let (vendor, source) = (vendor("canary-2").await, Numbered::new());
    let one = client(&vendor, &source);
    let before = one.key(&request("a")).unwrap();
    one.complete(request("a")).await.unwrap();
    assert_eq!(one.key(&request("a")).unwrap(), before);
    assert_eq!(
        client(&vendor, &Numbered::new())
            .key(&request("a"))
            .unwrap(),
        before
    );
    let nobody = || {
        Arc::new(Numbered {
            fetched: AtomicUsize::new(0),
            fails: false,
            identity: None,
        })
    };
    let (a, b) = (client(&vendor, &nobody()), client(&vendor, &nobody()));
    assert_ne!(a.key(&request("a")).unwrap(), before);
    assert_ne!(a.key(&request("a")).unwrap(), b.key(&request("a")).unwrap());
    assert!(!format!("{one:?}").contains("canary"));
}

#[test]
fn a_callback_beside_a_key_or_for_no_provider_is_refused() {
    let source = || -> Arc<dyn Credential> { Numbered::new() };
    let open = |json: &str, name: &str| {
        Client::with_credentials(
            Config::from_json(json).unwrap(),
            BTreeMap::from([(name.to_owned(), source())]),
        )
    };
    let both = r#"{"providers": {"p": {"base_url": "http://localhost:1/v1", "api_key": "k"}}}"#;
    let error = open(both, "p").unwrap_err();
    assert_eq!(
        error.fields().field.as_deref(),
        Some("config.providers.p.api_key")
    );
    let error = open("{}", "q").unwrap_err();
    assert_eq!(error.fields().field.as_deref(), Some("config.providers.q"));
    // A credential crosses the network in the clear no more than a key does.
    let plain = r#"{"providers": {"p": {"base_url": "http://example.com/v1"}}}"#;
    let error = open(plain, "p").unwrap_err();
    assert_eq!(
        error.fields().field.as_deref(),
        Some("config.providers.p.base_url")
    );
    assert!(open("{}", "openai").is_ok());
}
