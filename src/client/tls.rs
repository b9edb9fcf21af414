//! TLS of a `wss://` gateway: the usual certificate authorities, or one certificate named by its fingerprint.
//!
//! Most gateways sign their own certificate, so a fingerprint replaces the chain: exactly that certificate is accepted,
//! whatever it says about itself. Signatures are checked either way. Runs on the caller's thread.

use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};

use super::error::{broken, is_timeout};
use super::{ClientError, Deadline};
use crate::base::hash::sha256_hex;

const MISMATCH: &str = "gateway tls fingerprint mismatch";

/// Returns the fingerprint of the certificate in a file; `None` where there is none to be read.
pub fn fingerprint_of(file: &std::path::Path) -> Option<String> {
    use rustls::pki_types::pem::PemObject as _;
    let certificate = CertificateDer::from_pem_file(file).ok()?;
    Some(sha256_hex(&certificate))
}

/// Does the TLS handshake; the stream's own timeouts bound it.
pub(super) fn connect(
    mut stream: TcpStream,
    authority: &str,
    pin: Option<&str>,
    deadline: Deadline,
) -> Result<Box<StreamOwned<ClientConnection, TcpStream>>, ClientError> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| ClientError::Unusable(format!("{host} is no host name that a certificate can be for")))?;
    let config = Arc::new(config(pin)?);
    let mut connection =
        ClientConnection::new(config, name).map_err(|error| ClientError::Unusable(format!("gateway tls: {error}")))?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            return Err(match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
                Some(error) => ClientError::Unusable(explain(error)),
                None if is_timeout(&error) => ClientError::Timeout { after: deadline.total },
                None => broken(error),
            });
        }
    }
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::General(text) if text == MISMATCH => MISMATCH.to_owned(),
        rustls::Error::InvalidCertificate(reason) => format!(
            "gateway tls: certificate not trusted ({reason:?}); if it signs its own, name it by --tls-fingerprint or gateway.remote.tlsFingerprint"
        ),
        error => format!("gateway tls: {error}"),
    }
}

fn config(pin: Option<&str>) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Unusable(format!("gateway tls: {error}")))?;
    let Some(pin) = pin else {
        let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    };
    let fingerprint = normalise(pin);
    if fingerprint.is_empty() {
        return Err(ClientError::Unusable("gateway tls fingerprint missing".to_owned()));
    }
    let verifier = Arc::new(Pinned { fingerprint, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Returns the hexadecimal digits of a fingerprint in lower case; colons, blanks and a prefix's signs fall away.
fn normalise(fingerprint: &str) -> String {
    fingerprint.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase()).collect()
}

/// Accepts one certificate.
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match sha256_hex(certificate.as_ref()) == self.fingerprint {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General(MISMATCH.to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
