//! Whom to trust: the system's roots, and those the configuration adds. Nothing here turns verification off.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::client::config::Config;
use crate::client::read_file;
use crate::error::{Error, ErrorKind, Result};

/// The one cryptography provider, whichever else the process may hold.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Additional roots, as DER, with the field they came from.
fn extra_roots(config: &Config) -> Result<Vec<CertificateDer<'static>>> {
    let mut roots = Vec::new();
    let file = config
        .tls
        .ca_file
        .as_deref()
        .map(|path| read_file("config.tls.ca_file", path))
        .transpose()?;
    for (field, pem) in [
        ("config.tls.ca_pem", config.tls.ca_pem.as_ref()),
        ("config.tls.ca_file", file.as_ref()),
    ] {
        let Some(pem) = pem else { continue };
        let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| {
                Error::invalid(field, "expected PEM certificates").with_source(error)
            })?;
        if found.is_empty() {
            return Err(Error::invalid(
                field,
                "expected PEM certificates, found none",
            ));
        }
        roots.extend(found);
    }
    Ok(roots)
}

/// Makes [`client_config`] when it is first needed, since reading the system's certificates takes milliseconds; roots that
/// the configuration adds are checked now.
pub(crate) fn lazily(
    config: &Config,
) -> Result<Box<dyn Fn() -> Result<ClientConfig> + Send + Sync>> {
    if config.tls.ca_pem.is_some() || config.tls.ca_file.is_some() {
        let made = client_config(config)?;
        return Ok(Box::new(move || Ok(made.clone())));
    }
    let config = config.clone();
    Ok(Box::new(move || client_config(&config)))
}

/// Trusts the system's roots and those of the configuration.
pub(crate) fn client_config(config: &Config) -> Result<ClientConfig> {
    let broken = |error: rustls::Error| {
        Error::new(ErrorKind::Internal, "the TLS configuration cannot be built").with_source(error)
    };
    let provider = provider();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(
        extra_roots(config)?,
        Arc::clone(&provider),
    )
    .map_err(|error| {
        Error::invalid("config.tls", "expected X.509 certificates").with_source(error)
    })?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .dangerous() // the name of the only way to set a verifier; this one is the platform's own
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}
