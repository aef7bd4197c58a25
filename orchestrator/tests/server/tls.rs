//! The port with a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ossai::{Client, CompletionRequest, Config, ErrorKind};
use ossai_orchestrator::{ServeConfig, Server, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::config;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority {
        pem,
        issuer: Issuer::new(params, key),
    }
}

/// A certificate of `localhost`, and its key.
fn certificate(authority: &Authority, last_year: i32) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &authority.issuer).unwrap();
    (signed.pem(), key.serialize_pem())
}

struct Files {
    folder: TempDir,
    tls: Tls,
}

impl Files {
    fn new(certificate: &(String, String)) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let tls = Tls {
            cert: path("cert.pem"),
            key: path("key.pem"),
            client_ca: None,
        };
        let files = Self { folder, tls };
        files.put(certificate);
        files
    }

    fn put(&self, (cert, key): &(String, String)) {
        std::fs::write(&self.tls.cert, cert).unwrap();
        std::fs::write(&self.tls.key, key).unwrap();
    }

    fn config(&self) -> ServeConfig {
        ServeConfig {
            tls: Some(self.tls.clone()),
            ..config(&self.folder, None)
        }
    }
}

async fn ask(server: &Server, authority: &Authority) -> ossai::Result<String> {
    let mut config = Config {
        endpoint: Some(format!("https://localhost:{}", server.address().port())),
        ..Config::default()
    };
    config.tls.ca_pem = Some(authority.pem.clone());
    let asked = CompletionRequest::new("local/extract", "The sky is blue.\n\nWhat is the sky?");
    let answer = Client::new(config)?.complete(asked).await?;
    Ok(answer.text.clone())
}

/// A connection of the plain TLS stack, perhaps with a certificate of its own.
async fn connect(
    server: &Server,
    authority: &Authority,
    alpn: &[&[u8]],
    own: Option<&(String, String)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let socket = TcpStream::connect(server.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

async fn livez(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let request = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; 15];
    stream.read_exact(&mut start).await?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

#[tokio::test]
async fn one_port_speaks_grpc_and_http_over_tls_and_nothing_without() {
    let authority = authority();
    let files = Files::new(&certificate(&authority, 4000));
    let server = Server::start(files.config()).await.unwrap();
    let answer = ask(&server, &authority).await.unwrap();
    assert!(answer.starts_with("The sky is blue."), "{answer}");
    let h1: &[u8] = b"http/1.1";
    let h2: &[u8] = b"h2";
    let both = connect(&server, &authority, &[h2, h1], None).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(h2));
    let mut old = connect(&server, &authority, &[h1], None).await.unwrap();
    assert_eq!(livez(&mut old).await.unwrap(), "HTTP/1.1 200 OK");
    let mut plain = TcpStream::connect(server.address()).await.unwrap();
    plain
        .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut got = Vec::new();
    let _ = plain.read_to_end(&mut got).await;
    assert!(!got.starts_with(b"HTTP"), "{got:?}");
    let stranger = self::authority();
    let error = ask(&server, &stranger).await.unwrap_err();
    assert_eq!(error.fields().detail.as_deref(), Some("tls"));
}

#[tokio::test]
async fn an_expired_certificate_is_replaced_without_a_restart_or_a_lost_connection() {
    let authority = authority();
    let files = Files::new(&certificate(&authority, 4000));
    let server = Server::start(files.config()).await.unwrap();
    let mut kept = connect(&server, &authority, &[b"http/1.1"], None)
        .await
        .unwrap();
    assert_eq!(livez(&mut kept).await.unwrap(), "HTTP/1.1 200 OK");
    files.put(&certificate(&authority, 2001));
    server.reload_certificates().await.unwrap();
    let error = ask(&server, &authority).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.fields().detail.as_deref()),
        (ErrorKind::ConnectFailed, Some("tls"))
    );
    files.put(&certificate(&authority, 4000));
    let seen = async {
        while ask(&server, &authority).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen)
        .await
        .expect("the files' change was not seen");
    // The rest of the first answer, and another one on the same connection.
    let mut rest = [0; 4096];
    let _ = kept.read(&mut rest).await.unwrap();
    assert_eq!(livez(&mut kept).await.unwrap(), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn files_that_do_not_fit_leave_the_last_certificate_in_place() {
    let authority = authority();
    let files = Files::new(&certificate(&authority, 4000));
    let server = Server::start(files.config()).await.unwrap();
    let other = certificate(&authority, 4000);
    std::fs::write(&files.tls.key, &other.1).unwrap();
    let error = server.reload_certificates().await.unwrap_err();
    assert_eq!(error.fields().field.as_deref(), Some("tls.cert"));
    std::fs::write(&files.tls.key, "canary").unwrap();
    let error = server.reload_certificates().await.unwrap_err();
    assert_eq!(error.fields().field.as_deref(), Some("tls.key"));
    assert!(!error.to_string().contains("canary"));
    std::fs::remove_file(&files.tls.cert).unwrap();
    assert!(server.reload_certificates().await.is_err());
    assert!(ask(&server, &authority).await.is_ok());
}

#[tokio::test]
async fn wrong_files_are_named_before_it_serves() {
    let authority = authority();
    let files = Files::new(&certificate(&authority, 4000));
    let start = |tls: Tls| {
        let config = ServeConfig {
            tls: Some(tls),
            ..config(&files.folder, None)
        };
        async { Server::start(config).await.unwrap_err().to_string() }
    };
    let none = PathBuf::from("/nowhere/x.pem");
    let swapped = Tls {
        cert: files.tls.key.clone(),
        key: files.tls.cert.clone(),
        client_ca: None,
    };
    assert!(start(swapped).await.starts_with("tls.cert: "));
    let no_key = Tls {
        key: none.clone(),
        ..files.tls.clone()
    };
    assert!(start(no_key).await.starts_with("tls.key: "));
    let no_authority = Tls {
        client_ca: Some(none),
        ..files.tls.clone()
    };
    assert!(start(no_authority).await.starts_with("tls.client_ca: "));
}

#[tokio::test]
async fn with_client_authorities_only_their_certificates_get_in() {
    let authority = authority();
    let files = Files::new(&certificate(&authority, 4000));
    let clients = self::authority();
    let path: &Path = files.folder.path();
    let client_ca = path.join("clients.pem");
    std::fs::write(&client_ca, &clients.pem).unwrap();
    let mut config = files.config();
    if let Some(tls) = &mut config.tls {
        tls.client_ca = Some(client_ca);
    }
    let server = Server::start(config).await.unwrap();
    let own = certificate(&clients, 4000);
    let mut good = connect(&server, &authority, &[b"http/1.1"], Some(&own))
        .await
        .unwrap();
    assert_eq!(livez(&mut good).await.unwrap(), "HTTP/1.1 200 OK");
    let expired = certificate(&clients, 2001);
    let stranger = certificate(&authority, 4000);
    for own in [None, Some(&expired), Some(&stranger)] {
        // In TLS 1.3 a client hears of the refusal when it reads.
        let answer = match connect(&server, &authority, &[b"http/1.1"], own).await {
            Ok(mut stream) => livez(&mut stream).await,
            Err(error) => Err(error),
        };
        assert!(answer.is_err(), "{own:?} got in");
    }
}
