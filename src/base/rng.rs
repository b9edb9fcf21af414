//! Randomness as a value: identifiers and tokens from the operating system, or from a seed in tests.

use std::sync::Mutex;

/// A source of random bytes.
pub trait Rng: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system provides randomness");
    }
}

/// A small seeded generator (splitmix64) for tests and simulations; never for secrets.
#[derive(Debug)]
pub struct SeededRng {
    state: Mutex<u64>,
}

impl SeededRng {
    /// Returns the generator for `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&self) -> u64 {
        let mut state = self.state.lock().expect("no panic under this lock");
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound` (`bound` > 0).
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl Rng for SeededRng {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Returns a number below `bound` (`bound` > 0), evenly enough for delays.
pub fn below(rng: &dyn Rng, bound: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    rng.fill(&mut bytes);
    u64::from_le_bytes(bytes) % bound
}

/// Returns a random (version 4) UUID in its usual text form.
pub fn uuid(rng: &dyn Rng) -> String {
    let mut bytes = [0_u8; 16];
    rng.fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Returns `count` random bytes as lower-case hexadecimal (`2 * count` characters).
pub fn hex_token(rng: &dyn Rng, count: usize) -> String {
    let mut bytes = vec![0_u8; count];
    rng.fill(&mut bytes);
    hex(&bytes)
}

/// Formats bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// Seeds for property tests.
#[cfg(test)]
pub mod testing {
    /// Returns the seeds from 0 to `count`, or the one that `SIM_SEED` names, to see a failure again.
    pub fn seeds(count: u64) -> std::ops::Range<u64> {
        let only = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
        only.map_or(0..count, |seed| seed..seed + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_version_and_variant() {
        let id = uuid(&SeededRng::new(1));
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
        assert_ne!(id, uuid(&SystemRng));
    }
}
