//! Digests, mostly as hexadecimal text: names of things by their content.
//!
//! Plain functions, any thread. Signatures are in `devices::identity`; random names come from `rng`.

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::rng::hex;

/// Returns the SHA-256 of `bytes`, 64 lower-case digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex_of(&SHA256, bytes)
}

/// Returns the SHA-256 of `bytes`, 32 bytes.
pub fn sha256(bytes: &[u8]) -> impl AsRef<[u8]> {
    digest(&SHA256, bytes)
}

/// Returns the SHA-1 of `bytes`, 40 lower-case digits: for names that the original makes so, never for safety.
pub fn sha1_hex(bytes: &[u8]) -> String {
    hex_of(&SHA1_FOR_LEGACY_USE_ONLY, bytes)
}

fn hex_of(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    hex(digest(algorithm, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha1_hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
