//! The server's certificate: read at the start, read again when its files change, without touching connections.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ossai::{Error, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Tls;

/// How often the files are looked at.
pub(super) const FILES_EVERY: Duration = Duration::from_secs(1);

/// When a file was written last, and how long it is.
type Stamp = Vec<Option<(SystemTime, u64)>>;

/// What new connections are accepted with.
pub(super) struct Certificates {
    files: Tls,
    current: RwLock<(Arc<ServerConfig>, Stamp)>,
}

impl Certificates {
    /// Reads the files; waits for the disk.
    ///
    /// # Errors
    /// `invalid_request` naming the file that is wrong.
    pub(super) fn open(files: &Tls) -> Result<Arc<Self>> {
        let stamp = stamp(files);
        let current = Arc::new(server_config(files)?);
        Ok(Arc::new(Self {
            files: files.clone(),
            current: RwLock::new((current, stamp)),
        }))
    }

    /// Reads the files again; if something is wrong with them, what was read last holds.
    ///
    /// # Errors
    /// As [`Certificates::open`].
    pub(super) fn reload(&self) -> Result<()> {
        let stamp = stamp(&self.files);
        let read = server_config(&self.files);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Also when they are wrong: the same fault is told once.
        current.1 = stamp;
        current.0 = Arc::new(read?);
        Ok(())
    }

    /// Whether the files are others than those read last.
    pub(super) fn have_changed(&self) -> bool {
        stamp(&self.files)
            != self
                .current
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .1
    }

    pub(super) async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let current = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&current.0)
        };
        TlsAcceptor::from(current).accept(socket).await
    }
}

fn paths(files: &Tls) -> impl Iterator<Item = &PathBuf> {
    [&files.cert, &files.key]
        .into_iter()
        .chain(&files.client_ca)
}

fn stamp(files: &Tls) -> Stamp {
    let of = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths(files).map(of).collect()
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = || {
        Error::invalid(
            field,
            format_args!("expected PEM certificates in {}", path.display()),
        )
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong().with_source(error))?;
    if found.is_empty() {
        return Err(wrong());
    }
    Ok(found)
}

fn server_config(files: &Tls) -> Result<ServerConfig> {
    let chain = certificates("tls.cert", &files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|_| {
        // Without its source: whatever the file holds must not be told.
        Error::invalid(
            "tls.key",
            format_args!("expected a PEM private key in {}", files.key.display()),
        )
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::invalid("tls", error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| Error::invalid("tls.client_ca", error);
            let mut roots = RootCertStore::empty();
            for authority in certificates("tls.client_ca", path)? {
                roots.add(authority).map_err(|error| wrong(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        Error::invalid(
            "tls.cert",
            format_args!("expected the certificate of the key: {error}"),
        )
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
