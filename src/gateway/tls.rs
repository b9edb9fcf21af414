//! The gateway's certificate: the owner's, or one that is made here (http.md §10.7).
//!
//! Owns `<state>/gateway/tls/` when it makes one. Runs on `main` at start. Without the feature `tls` the
//! gateway refuses to start where it is asked for. Not here: the sessions (`net`).

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::base::certificate;
use crate::base::clock::Clock;
use crate::base::fs::{Durability, MODE_PRIVATE, write_atomic};
use crate::base::host;
use crate::config::paths::Paths;
use crate::config::types::Config;

/// Name of certificates that are made here.
const NAME: &str = "clawdbot-gateway";

/// What the gateway speaks TLS with.
pub struct Tls {
    /// For the loop.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
}

/// Reads the certificate, or makes one; `None` where TLS is off.
///
/// # Errors
/// What keeps TLS from working: a gateway that is asked for it must not start without.
pub fn load(config: &Config, paths: &Paths, clock: &dyn Clock) -> anyhow::Result<Option<Tls>> {
    let settings = &config.gateway.tls;
    if settings.enabled != Some(true) {
        return Ok(None);
    }
    if !cfg!(feature = "tls") {
        anyhow::bail!("gateway tls: not built in. Set gateway.tls.enabled to false, or build with `--features tls`");
    }
    let (certificate, key) = paths.tls_files(config);
    if !certificate.exists() && !key.exists() && settings.auto_generate != Some(false) {
        make(&certificate, &key, clock)
            .map_err(|error| anyhow::anyhow!("gateway tls: failed to generate cert ({error})"))?;
        log::info!(target: "gateway/tls", "gateway tls: generated self-signed cert at {}", paths.shorten(&certificate));
    }
    if !certificate.exists() || !key.exists() {
        anyhow::bail!("gateway tls: cert/key missing ({} and {})", certificate.display(), key.display());
    }
    read(&certificate, &key).map(Some).map_err(|error| anyhow::anyhow!("gateway tls: failed to load cert ({error})"))
}

fn make(certificate: &Path, key: &Path, clock: &dyn Clock) -> Result<(), String> {
    let made = certificate::self_signed(NAME, &[host::name()], clock.now_ms())?;
    // The key first: a certificate without one would look like a mistake of its owner's.
    for (file, text) in [(key, &made.key), (certificate, &made.certificate)] {
        write_atomic(file, text.as_bytes(), MODE_PRIVATE, Durability::Power)
            .map_err(|error| format!("write {}: {error}", file.display()))?;
    }
    Ok(())
}

fn read(certificate: &Path, key: &Path) -> Result<Tls, String> {
    let in_file = |file: &Path, error: String| format!("{}: {error}", file.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| in_file(certificate, error.to_string()))?;
    let first = chain.first().ok_or_else(|| in_file(certificate, "there is no certificate in it".to_owned()))?;
    let fingerprint = certificate::fingerprint(first);
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    Ok(Tls { config: Arc::new(config), fingerprint })
}
