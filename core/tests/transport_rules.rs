//! Whom a call trusts and through whom it goes (behaviour §2.14), over real sockets.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use ossai::{Client, CompletionRequest, Config, Error, ErrorKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;

fn client(config: &serde_json::Value) -> Client {
    Client::new(Config::from_json(&config.to_string()).unwrap()).unwrap()
}

async fn call(client: &Client) -> Result<String, Error> {
    let answer = client.complete(CompletionRequest::new("p/m", "hi")).await?;
    Ok(answer.into_answer().text)
}

/// Reads one request's head and body and answers it; gives the head.
async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reply: &str) -> String {
    let mut buffer = Vec::new();
    let head = loop {
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return String::new();
        }
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break String::from_utf8_lossy(&buffer[..at + 4]).into_owned();
        }
    };
    let length = head
        .to_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
        .unwrap_or(0);
    while buffer.len() < head.len() + length {
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.flush().await;
    head
}

fn ok() -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    )
}

/// An authority, and a server certificate of it.
struct Signed {
    root: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn signed(name: &str, expired: bool) -> Signed {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let mut server = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    if expired {
        server.not_before = rcgen::date_time_ymd(2020, 1, 1);
        server.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = server.signed_by(&key, &issuer).unwrap();
    Signed {
        root: root.pem(),
        chain: vec![leaf.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

/// A TLS server on this machine; gives its port and how many connections it has seen.
async fn tls_server(signed: Signed) -> (u16, Arc<AtomicUsize>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(signed.chain, signed.key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    answer(&mut stream, &ok()).await;
                }
            });
        }
    });
    (port, seen)
}

fn over_tls(port: u16, root: Option<&str>) -> Client {
    client(&json!({
        "providers": {"p": {"base_url": format!("https://localhost:{port}/v1"), "api_key": "k"}},
        "tls": {"ca_pem": root},
    }))
}

async fn refused(signed: Signed, trusted: bool) -> (Error, usize) {
    let root = signed.root.clone();
    let (port, seen) = tls_server(signed).await;
    let error = call(&over_tls(port, trusted.then_some(root.as_str())))
        .await
        .unwrap_err();
    (error, seen.load(SeqCst))
}

#[tokio::test]
async fn an_authority_of_the_configuration_is_trusted_beside_the_systems() {
    let signed = signed("localhost", false);
    let root = signed.root.clone();
    let (port, _) = tls_server(signed).await;
    assert_eq!(call(&over_tls(port, Some(&root))).await.unwrap(), "Hi");
}

#[tokio::test]
async fn an_expired_certificate_a_wrong_name_and_an_unknown_authority_end_the_call_at_the_first_try()
 {
    for (what, signed, trusted) in [
        ("expired", signed("localhost", true), true),
        ("wrong name", signed("other.example", false), true),
        ("unknown authority", signed("localhost", false), false),
    ] {
        let (error, connections) = refused(signed, trusted).await;
        let fields = error.fields();
        assert_eq!(error.kind(), ErrorKind::ConnectFailed, "{what}: {error}");
        assert_eq!(fields.detail.as_deref(), Some("tls"), "{what}: {error}");
        assert_eq!((fields.attempts.len(), connections), (1, 1), "{what}");
        assert!(!error.is_retriable(), "{what}");
    }
}

/// A proxy that answers every request itself; gives its address and the heads it saw.
async fn proxy(reply: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let heads = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (heads, reply) = (Arc::clone(&heads), reply.clone());
            tokio::spawn(async move {
                let head = answer(&mut stream, &reply).await;
                heads.lock().unwrap().push(head);
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_plain_address_is_asked_of_the_proxy_and_this_machine_directly() {
    let (address, seen) = proxy(ok()).await;
    let at = |base_url: &str| {
        client(&json!({
            "providers": {"p": {"base_url": base_url, "api_key": "k", "allow_http": true}},
            "proxy": {"url": format!("http://user:pass@{address}"), "from_env": false},
            "retry": {"max_attempts": 1},
        }))
    };
    assert_eq!(call(&at("http://vendor.invalid/v1")).await.unwrap(), "Hi");
    let head = seen.lock().unwrap().join("").to_lowercase();
    assert!(
        head.starts_with("post http://vendor.invalid/v1/chat/completions"),
        "{head}"
    );
    assert!(
        head.contains("proxy-authorization: basic dxnlcjpwyxnz"),
        "{head}"
    );
    // Nobody listens on port 9 here; the proxy would have answered.
    let error = call(&at("http://127.0.0.1:9/v1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectFailed);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_encrypted_address_is_tunnelled_on_both_roads_and_the_proxy_sees_no_key() {
    let reply = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned();
    let (address, seen) = proxy(reply).await;
    let proxied = json!({"url": format!("http://user:p%61ss@{address}"), "from_env": false});
    let direct = client(&json!({
        "providers": {"p": {"base_url": "https://vendor.invalid/v1", "api_key": "canary"}},
        "proxy": proxied, "retry": {"max_attempts": 1},
    }));
    let orchestrated = client(&json!({
        "endpoint": "https://orchestrator.invalid:8443", "api_key": "canary",
        "proxy": proxied, "retry": {"max_attempts": 1},
    }));
    for (client, target) in [
        (direct, "CONNECT vendor.invalid:443 "),
        (orchestrated, "CONNECT orchestrator.invalid:8443 "),
    ] {
        let error = call(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectFailed, "{error}");
        let head = seen.lock().unwrap().pop().unwrap();
        assert!(head.starts_with(target), "{head}");
        assert!(
            head.to_lowercase()
                .contains("proxy-authorization: basic dxnlcjpwyxnz"),
            "{head}"
        );
        assert!(!head.contains("canary"), "{head}");
        assert!(!format!("{error} {error:?}").contains("pass"));
    }
}

#[tokio::test]
async fn hosts_named_in_no_proxy_are_reached_directly() {
    let (address, seen) = proxy(ok()).await;
    let client = client(&json!({
        "providers": {"p": {"base_url": "http://vendor.invalid/v1", "api_key": "k", "allow_http": true}},
        "proxy": {"url": format!("http://{address}"), "no_proxy": ".invalid", "from_env": false},
        "retry": {"max_attempts": 1},
    }));
    let error = call(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectFailed);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_key_goes_in_the_clear_to_this_machine_only_unless_allowed() {
    for (base_url, allowed, fine) in [
        ("http://vendor.invalid/v1", false, false),
        ("http://vendor.invalid/v1", true, true),
        ("http://10.0.0.1/v1", false, false),
        ("http://localhost.evil.example/v1", false, false),
        ("http://127.0.0.1:1/v1", false, true),
        ("http://localhost:1/v1", false, true),
        ("http://[::1]:1/v1", false, true),
        ("https://vendor.invalid/v1", false, true),
    ] {
        let config = json!({"providers": {"p": {"base_url": base_url, "api_key": "k", "allow_http": allowed}}});
        let opened = Client::new(Config::from_json(&config.to_string()).unwrap());
        assert_eq!(opened.is_ok(), fine, "{base_url}");
    }
}

#[test]
fn values_with_controls_are_refused_before_anything_is_sent() {
    for control in ["\r", "\n", "\0", "\u{1}", "\u{7f}"] {
        let value = format!("a{control}b");
        for (config, field) in [
            (json!({"headers": {"x-a": value}}), "headers"),
            (json!({"api_key": value}), "api_key"),
            (json!({"version": value, "kind": "anthropic"}), "version"),
        ] {
            let mut provider = config;
            provider["base_url"] = json!("http://localhost:1/v1");
            let config = json!({"providers": {"p": provider}});
            let error = Config::from_json(&config.to_string())
                .and_then(Client::new)
                .unwrap_err();
            let named = error.fields().field.clone().unwrap_or_default();
            assert!(named.contains(field), "{control:?} in {field}: {error}");
        }
    }
}

#[tokio::test]
async fn a_bad_certificate_of_an_orchestrator_ends_the_call_at_the_first_try_too() {
    for (signed, trusted) in [
        (signed("localhost", true), true),
        (signed("other.example", false), true),
        (signed("localhost", false), false),
    ] {
        let root = trusted.then(|| signed.root.clone());
        let (port, seen) = tls_server(signed).await;
        let client = client(&json!({
            "endpoint": format!("https://localhost:{port}"), "api_key": "k", "tls": {"ca_pem": root},
        }));
        let error = call(&client).await.unwrap_err();
        assert_eq!(error.fields().detail.as_deref(), Some("tls"), "{error}");
        assert_eq!((error.fields().attempts.len(), seen.load(SeqCst)), (1, 1));
    }
}

/// A process of its own, since its environment is what is tested.
#[tokio::test]
async fn an_authority_named_by_ssl_cert_file_is_trusted() {
    const PORT: &str = "OSSAI_TEST_TLS_PORT";
    if let Ok(port) = std::env::var(PORT) {
        assert_eq!(
            call(&over_tls(port.parse().unwrap(), None)).await.unwrap(),
            "Hi"
        );
        return;
    }
    let signed = signed("localhost", false);
    let file = std::env::temp_dir().join(format!("ossai-authority-{}.pem", std::process::id()));
    std::fs::write(&file, &signed.root).unwrap();
    let (port, seen) = tls_server(signed).await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "an_authority_named_by_ssl_cert_file_is_trusted"])
        .env(PORT, port.to_string())
        .env("SSL_CERT_FILE", &file)
        .env_remove("SSL_CERT_DIR");
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(seen.load(SeqCst), 1);
}
