//! Proof of identity: Ed25519 keys, the text a device signs when it connects, and this machine's own key file.
//!
//! Owns `identity/device.json` in the original's format (protocol.md §3.6). Plain functions, any thread.
//! Not here: what a device may do (`pairing`), freshness of the signature and the nonce (the handshake judges them).

use std::fmt;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::base::clock::{Clock, UnixMs};
use crate::base::fs::{Durability, MODE_PRIVATE, read_text_capped, write_atomic};
use crate::base::hash::sha256_hex;
use crate::base::rng::Rng;

/// Name of the key file in the identity directory.
const FILE_NAME: &str = "device.json";
/// A key file is some 500 bytes; more than this is not one.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// A raw key is 43 characters, a PEM block some 115.
const KEY_TEXT_BYTES_MAX: usize = 4096;
/// DER before the 32 key bytes of an Ed25519 SPKI.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER before the 32 seed bytes of an Ed25519 PKCS#8 key of version 1, the only one that every OpenSSL reads.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Reads base64url with or without padding.
const URL_SAFE_ANY: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A device's public key: the 32 bytes of RFC 8032.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// The text is not an Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ed25519 public key (base64url of 32 bytes, or PEM)")
    }
}

impl std::error::Error for KeyError {}

/// Reads a public key: base64url of the raw bytes (either alphabet, padded or not), or a PEM block.
///
/// # Errors
/// [`KeyError`] when the text is neither. Bytes that are no point of the curve are found out by [`verify`].
pub fn decode_public_key(text: &str) -> Result<PublicKey, KeyError> {
    if text.len() > KEY_TEXT_BYTES_MAX {
        return Err(KeyError);
    }
    let raw = match text.contains("BEGIN") {
        true => read_pem("PUBLIC KEY", &SPKI_PREFIX, text),
        false => decode_base64(text).and_then(|bytes| bytes.try_into().ok()),
    };
    raw.map(PublicKey).ok_or(KeyError)
}

/// Formats a public key as base64url of its raw bytes, without padding.
pub fn encode_public_key(key: &PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(key.0)
}

/// Returns the id of the device that owns `key`: SHA-256 of the raw bytes in lower-case hex.
pub fn device_id_of(key: &PublicKey) -> String {
    sha256_hex(&key.0)
}

/// What a connect request says that is covered by the signature.
#[derive(Debug, Clone, Copy)]
pub struct PayloadFields<'a> {
    /// `device.id`.
    pub device_id: &'a str,
    /// `client.id`.
    pub client_id: &'a str,
    /// `client.mode`.
    pub client_mode: &'a str,
    /// The effective role.
    pub role: &'a str,
    /// The scopes as sent, empty when absent.
    pub scopes: &'a [String],
    /// `device.signedAt`.
    pub signed_at_ms: UnixMs,
    /// `auth.token`; never the password.
    pub token: Option<&'a str>,
    /// The challenge's nonce; its presence makes the payload version 2.
    pub nonce: Option<&'a str>,
}

/// Returns the text that is signed.
pub fn payload(fields: &PayloadFields<'_>) -> String {
    let version = if fields.nonce.is_some() { "v2" } else { "v1" };
    let mut text = [
        version,
        fields.device_id,
        fields.client_id,
        fields.client_mode,
        fields.role,
        &fields.scopes.join(","),
        &fields.signed_at_ms.to_string(),
        fields.token.unwrap_or_default(),
    ]
    .join("|");
    if let Some(nonce) = fields.nonce {
        text.push('|');
        text.push_str(nonce);
    }
    text
}

/// Returns whether `signature` (base64url) is the signature of `payload` by the owner of `key`.
pub fn verify(key: &PublicKey, payload: &str, signature: &str) -> bool {
    if signature.len() > KEY_TEXT_BYTES_MAX {
        return false;
    }
    let key = UnparsedPublicKey::new(&ED25519, key.0);
    decode_base64(signature).is_some_and(|signature| key.verify(payload.as_bytes(), &signature).is_ok())
}

/// This machine's key, shared by the command line and the node host.
pub struct Identity {
    device_id: String,
    key: Ed25519KeyPair,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("device_id", &self.device_id).finish_non_exhaustive()
    }
}

/// `device.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    version: u32,
    device_id: String,
    public_key_pem: String,
    private_key_pem: String,
    created_at_ms: UnixMs,
}

impl Identity {
    /// Reads `<dir>/device.json`, or makes a key and writes it there (0600) when there is none that can be used.
    ///
    /// # Errors
    /// Any I/O error; the randomness of the operating system never fails.
    pub fn load_or_create(dir: &Path, rng: &dyn Rng, clock: &dyn Clock) -> io::Result<Self> {
        let path = dir.join(FILE_NAME);
        if let Some(identity) = read(&path)? {
            return Ok(identity);
        }
        let mut seed = [0_u8; 32];
        rng.fill(&mut seed);
        let identity = Self::from_seed(&seed);
        let file = File {
            version: 1,
            device_id: identity.device_id.clone(),
            public_key_pem: pem("PUBLIC KEY", &SPKI_PREFIX, &identity.public_key().0),
            private_key_pem: pem("PRIVATE KEY", &PKCS8_PREFIX, &seed),
            created_at_ms: clock.now_ms(),
        };
        let mut text = serde_json::to_string_pretty(&file)?;
        text.push('\n');
        write_atomic(&path, text.as_bytes(), MODE_PRIVATE, Durability::Power)?;
        Ok(identity)
    }

    /// Returns the identity whose key has this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed");
        let mut identity = Self { device_id: String::new(), key };
        identity.device_id = device_id_of(&identity.public_key());
        identity
    }

    /// Returns the device id.
    pub fn device_id(&self) -> &str {
        &self.device_id
    }

    /// Returns the public half of the key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes"))
    }

    /// Signs a text; the signature is base64url without padding.
    pub fn sign(&self, payload: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.key.sign(payload.as_bytes()))
    }
}

/// Returns the identity in the file, `None` when the file is missing or damaged (it is then replaced).
fn read(path: &Path) -> io::Result<Option<Identity>> {
    let text = match read_text_capped(path, FILE_BYTES_MAX) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        Err(error) => return Err(error),
    };
    // The id is derived again: a file edited by hand must not make every signature fail.
    Ok(serde_json::from_str::<File>(&text)
        .ok()
        .filter(|file| file.version == 1)
        .and_then(|file| read_pem("PRIVATE KEY", &PKCS8_PREFIX, &file.private_key_pem))
        .map(|seed| Identity::from_seed(&seed)))
}

fn pem(label: &str, prefix: &[u8], key: &[u8; 32]) -> String {
    // At most 48 bytes of DER: the body is one line of 64 characters or fewer.
    let body = STANDARD.encode([prefix, key].concat());
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// Returns the 32 bytes after `prefix` in a PEM block. DER gives a key one form only, so nothing else can stand there.
fn read_pem(label: &str, prefix: &[u8], text: &str) -> Option<[u8; 32]> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = text.trim().strip_prefix(&begin)?.strip_suffix(&end)?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()?.strip_prefix(prefix)?.try_into().ok()
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().replace('+', "-").replace('/', "_");
    URL_SAFE_ANY.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::fs::testing::TempDir;
    use crate::base::rng::SeededRng;
    use serde_json::Value;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/wire/device-signature-vectors.json")).expect("vectors")
    }

    #[test]
    fn signs_and_verifies_the_original_s_vectors() {
        let file = vectors();
        let seed: Vec<u8> = (0..32).collect();
        let identity = Identity::from_seed(&seed.try_into().expect("32 bytes"));
        assert_eq!(identity.device_id(), file["deviceId"]);
        assert_eq!(encode_public_key(&identity.public_key()), file["publicKeyBase64Url"]);
        let key = decode_public_key(file["publicKeyBase64Url"].as_str().expect("key")).expect("key");
        for vector in file["vectors"].as_array().expect("vectors") {
            let text = vector["payload"].as_str().expect("payload");
            assert_eq!(identity.sign(text), vector["signature"]);
            let signature = vector["signature"].as_str().expect("signature");
            assert!(verify(&key, text, signature));
            assert!(verify(&key, text, &signature.replace('-', "+").replace('_', "/")));
            assert!(!verify(&key, &format!("{text}x"), signature));
            let parts: Vec<&str> = text.split('|').collect();
            let scopes: Vec<String> = parts[5].split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect();
            let fields = PayloadFields {
                device_id: parts[1],
                client_id: parts[2],
                client_mode: parts[3],
                role: parts[4],
                scopes: &scopes,
                signed_at_ms: parts[6].parse().expect("number"),
                token: Some(parts[7]).filter(|token| !token.is_empty()),
                nonce: parts.get(8).copied(),
            };
            assert_eq!(payload(&fields), text);
        }
    }

    #[test]
    fn key_file_is_made_once_and_read_back() {
        let dir = TempDir::new("identity");
        let (rng, clock) = (SeededRng::new(7), ManualClock::new(5));
        let first = Identity::load_or_create(dir.path(), &rng, &clock).expect("create");
        let again = Identity::load_or_create(dir.path(), &rng, &clock).expect("load");
        assert_eq!(first.device_id(), again.device_id());
        let text = std::fs::read_to_string(dir.path().join(FILE_NAME)).expect("file");
        let file: Value = serde_json::from_str(&text).expect("json");
        let pem = file["publicKeyPem"].as_str().expect("pem");
        assert_eq!(decode_public_key(pem), Ok(first.public_key()));
        std::fs::write(dir.path().join(FILE_NAME), "{").expect("write");
        let replaced = Identity::load_or_create(dir.path(), &rng, &clock).expect("replace");
        assert_ne!(first.device_id(), replaced.device_id());
    }

    #[test]
    fn wrong_keys_are_refused() {
        for text in ["", "AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "\u{e9}"] {
            assert_eq!(decode_public_key(text), Err(KeyError), "{text}");
        }
    }
}
