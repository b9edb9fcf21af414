//! Certificates of a server of our own: making one that signs itself, and telling one by its fingerprint.
//!
//! Pure but for the system's randomness. Not here: who trusts it, and where it is kept.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::clock::{UnixMs, iso_utc};
use super::hash::sha256_hex;

/// How long a new certificate is good for.
const DAYS: u64 = 3650;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A key and the certificate for it, as PEM.
pub struct Made {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// Makes a P-256 key and a certificate for it with this name, which is also good for `hosts` and this machine's own
/// addresses.
///
/// # Errors
/// When the system has no randomness.
pub fn self_signed(name: &str, hosts: &[String], now_ms: UnixMs) -> Result<Made, String> {
    let rng = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let no_key = |_| "no key could be made".to_owned();
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).map_err(no_key)?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &rng).map_err(|error| error.to_string())?;
    let body = body(name, hosts, now_ms, key.public_key().as_ref());
    let signature = key.sign(&rng, &body).map_err(|_| "the certificate could not be signed".to_owned())?;
    let certificate = sequence(&[&body, &signature_algorithm(), &bits(signature.as_ref())]);
    Ok(Made { certificate: pem("CERTIFICATE", &certificate), key: pem("PRIVATE KEY", document.as_ref()) })
}

/// Returns the SHA-256 of a certificate's DER form, in hex: the fingerprint by which clients name it.
pub fn fingerprint(der: &[u8]) -> String {
    sha256_hex(der)
}

/// The part that is signed (RFC 5280 §4.1).
fn body(name: &str, hosts: &[String], now_ms: UnixMs, public_key: &[u8]) -> Vec<u8> {
    let subject =
        sequence(&[&element(0x31, &sequence(&[&[0x06, 0x03, 0x55, 0x04, 0x03], &element(0x0c, name.as_bytes())]))]);
    let validity = sequence(&[&time(now_ms.saturating_sub(DAY_MS)), &time(now_ms + DAYS * DAY_MS)]);
    // id-ecPublicKey, prime256v1.
    let kind = sequence(&[
        &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
        &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
    ]);
    let mut names: Vec<Vec<u8>> = [name, "localhost"].map(|name| element(0x82, name.as_bytes())).into();
    names.extend(hosts.iter().map(|host| element(0x82, host.as_bytes())));
    names.push(element(0x87, &[127, 0, 0, 1]));
    names.push(element(0x87, &std::net::Ipv6Addr::LOCALHOST.octets()));
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    // subjectAltName.
    let extension = sequence(&[&[0x06, 0x03, 0x55, 0x1d, 0x11], &element(0x04, &sequence(&names))]);
    // The fingerprint of the key is as good a serial number as any: at most 20 bytes, positive.
    let mut serial = super::hash::sha256(public_key).as_ref()[..16].to_vec();
    serial[0] = serial[0] & 0x7f | 0x40;
    sequence(&[
        &element(0xa0, &[0x02, 0x01, 0x02]),
        &element(0x02, &serial),
        &signature_algorithm(),
        &subject,
        &validity,
        &subject,
        &sequence(&[&kind, &bits(public_key)]),
        &element(0xa3, &sequence(&[&extension])),
    ])
}

/// ecdsa-with-SHA256.
fn signature_algorithm() -> Vec<u8> {
    sequence(&[&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]])
}

fn time(at_ms: UnixMs) -> Vec<u8> {
    let digits: String = iso_utc(at_ms).chars().filter(char::is_ascii_digit).take(14).collect();
    // UTCTime has two digits for the year and ends in 2049.
    match digits.get(..4).is_some_and(|year| year < "2050") {
        true => element(0x17, format!("{}Z", &digits[2..]).as_bytes()),
        false => element(0x18, format!("{digits}Z").as_bytes()),
    }
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes].concat())
}

/// One DER element: tag, length, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|&&byte| byte == 0).count()..];
    match significant {
        [] => element.push(0),
        [short] if *short < 0x80 => element.push(*short),
        long => {
            // At most eight bytes of length.
            element.push(0x80 | long.len() as u8);
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(content);
    element
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_times() {
        assert_eq!(element(4, &[7]), [4, 1, 7]);
        assert_eq!(element(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(time(0), element(0x17, b"700101000000Z"));
        assert_eq!(time(2_600_000_000_000), element(0x18, b"20520522141320Z"));
    }

    #[test]
    fn a_certificate_is_understood_by_others() {
        let made = self_signed("clawdbot-gateway", &["box.local".to_owned()], 1_790_000_000_000).expect("made");
        let dir = crate::base::fs::testing::TempDir::new("certificate");
        let file = dir.path().join("cert.pem");
        std::fs::write(&file, &made.certificate).expect("write");
        let text = std::process::Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&file).output();
        let Ok(output) = text else { return eprintln!("SKIPPED: a certificate read by openssl") };
        let text = String::from_utf8_lossy(&output.stdout);
        for part in ["CN = clawdbot-gateway", "DNS:box.local", "IP Address:127.0.0.1", "prime256v1", "2036"] {
            assert!(
                text.replace("CN=", "CN = ").contains(part),
                "{part} in {text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let verified = std::process::Command::new("openssl")
            .args(["verify", "-CAfile"])
            .args([&file, &file])
            .output()
            .expect("openssl");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}
