//! Whom to trust: the system's roots, and those the configuration adds. Nothing here turns verification off.

use std::ffi::OsString;
use std::path::Path;
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
    if config.tls.bundled_roots {
        roots.extend_from_slice(webpki_root_certs::TLS_SERVER_ROOT_CERTS);
    }
    roots.extend(named_by_environment(&|name| std::env::var_os(name))?);
    Ok(roots)
}

/// Where Linux distributions keep the system's roots in one file.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Makes `SSL_CERT_FILE` and `SSL_CERT_DIR` additions to the system's roots everywhere. On Linux the platform's verifier
/// reads them itself, but in place of the system's, which are added back; elsewhere it does not know them.
fn named_by_environment(
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Vec<CertificateDer<'static>>> {
    let var = |name: &str| env(name).filter(|value| !value.is_empty());
    let (file, folder) = (var("SSL_CERT_FILE"), var("SSL_CERT_DIR"));
    if file.is_none() && folder.is_none() {
        return Ok(Vec::new());
    }
    let file = file.as_ref().map(Path::new);
    let unusable = || Error::invalid("SSL_CERT_FILE", "expected a file of PEM certificates");
    if cfg!(target_os = "linux") {
        let system = SYSTEM_BUNDLES.iter().map(Path::new).find(|p| p.exists());
        let real = |path: &Path| path.canonicalize().ok();
        if let Some(file) = file {
            // Usually it is the system's own file under its own name: nothing to read twice.
            if system.is_some_and(|system| real(system).is_some() && real(system) == real(file)) {
                return Ok(Vec::new());
            }
            certificates_in(file).ok_or_else(unusable)?;
        }
        return Ok(system.and_then(certificates_in).unwrap_or_default());
    }
    let mut roots = Vec::new();
    if let Some(file) = file {
        roots.extend(certificates_in(file).ok_or_else(unusable)?);
    }
    for folder in folder.iter().flat_map(std::env::split_paths) {
        // As OpenSSL does: what is no certificate there is passed over.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            roots.extend(certificates_in(&entry.path()).unwrap_or_default());
        }
    }
    Ok(roots)
}

/// The certificates of a file, if it has any.
fn certificates_in(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path).ok()?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
    (!found.is_empty()).then_some(found)
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
    // A wrong file is told now; that the system's is read twice for it would not be worth that.
    named_by_environment(&|name| std::env::var_os(name))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a Path)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            let (_, path) = pairs.iter().find(|(known, _)| *known == name)?;
            Some(path.as_os_str().to_owned())
        }
    }

    #[test]
    fn roots_of_the_environment_do_not_take_the_place_of_the_systems() {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let folder = std::env::temp_dir().join(format!("ossai-roots-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("own.pem");
        std::fs::write(&file, made.cert.pem()).unwrap();
        let by_file = named_by_environment(&env(&[("SSL_CERT_FILE", &file)])).unwrap();
        let by_folder = named_by_environment(&env(&[("SSL_CERT_DIR", &folder)])).unwrap();
        let missing = named_by_environment(&env(&[("SSL_CERT_FILE", &folder.join("none"))]));
        std::fs::remove_dir_all(&folder).unwrap();
        if cfg!(target_os = "linux") {
            // The verifier reads the two itself; what it leaves out then comes from here.
            let system = SYSTEM_BUNDLES.iter().map(Path::new).find(|p| p.exists());
            let roots = system.and_then(certificates_in).unwrap_or_default();
            assert_eq!((by_file.len(), by_folder.len()), (roots.len(), roots.len()));
            if let Some(system) = system {
                let named = named_by_environment(&env(&[("SSL_CERT_FILE", system)]));
                assert!(named.unwrap().is_empty());
            }
        } else {
            assert!(by_file.contains(made.cert.der()) && by_folder.contains(made.cert.der()));
        }
        let error = missing.unwrap_err();
        assert_eq!(error.fields().field.as_deref(), Some("SSL_CERT_FILE"));
        assert!(named_by_environment(&|_| None).unwrap().is_empty());
    }

    #[test]
    fn bundled_roots_are_added_only_when_asked_for() {
        let count = |json: &str| {
            extra_roots(&Config::from_json(json).unwrap())
                .unwrap()
                .len()
        };
        let more = count(r#"{"tls": {"bundled_roots": true}}"#) - count("{}");
        assert_eq!(more, webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
    }
}
