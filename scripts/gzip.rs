//! gzip at build time, for files that the program carries: matches of a window, Huffman codes as RFC 1951 fixes them.
//!
//! A library would do it a sixth smaller, and every build would wait for it.

const WINDOW: usize = 32 * 1024;
const MATCH_MAX: usize = 258;
const MATCH_MIN: usize = 3;
/// How many earlier places are tried.
const TRIES_MAX: usize = 256;

/// First length and extra bits of each length code, from 257.
const LENGTHS: [(usize, u32); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
/// First distance and extra bits of each distance code.
const DISTANCES: [(usize, u32); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    /// Appends `count` bits, the lowest first.
    fn put(&mut self, value: u32, count: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Appends a Huffman code, which stands the other way round.
    fn code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    /// Appends a literal or length symbol.
    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xC0 + symbol - 280, 8),
        }
    }

    fn repeat(&mut self, length: usize, distance: usize) {
        let at = LENGTHS.iter().rposition(|(first, _)| *first <= length).expect("lengths begin at 3");
        self.symbol(257 + at as u32);
        self.put((length - LENGTHS[at].0) as u32, LENGTHS[at].1);
        let at = DISTANCES.iter().rposition(|(first, _)| *first <= distance).expect("distances begin at 1");
        self.code(at as u32, 5);
        self.put((distance - DISTANCES[at].0) as u32, DISTANCES[at].1);
    }
}

/// Returns a gzip file that holds `data`; the same for the same data.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    let mut bits = Bits { bytes: header.to_vec(), held: 0, count: 0 };
    // One last block with fixed codes.
    bits.put(0b011, 3);
    let mut places: std::collections::HashMap<&[u8], Vec<usize>> = Default::default();
    let mut at = 0;
    while at < data.len() {
        let key = data.get(at..at + MATCH_MIN);
        let found = key.and_then(|key| places.get(key)).and_then(|places| longest(data, at, places));
        let length = match found {
            Some((length, distance)) => {
                bits.repeat(length, distance);
                length
            }
            None => {
                bits.symbol(u32::from(data[at]));
                1
            }
        };
        for place in at..at + length {
            if let Some(key) = data.get(place..place + MATCH_MIN) {
                places.entry(key).or_default().push(place);
            }
        }
        at += length;
    }
    bits.symbol(256);
    bits.put(0, 7);
    bits.bytes.extend_from_slice(&crc32(data).to_le_bytes());
    bits.bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bits.bytes
}

fn longest(data: &[u8], at: usize, places: &[usize]) -> Option<(usize, usize)> {
    let near = places.iter().rev().take(TRIES_MAX).take_while(|&&place| at - place <= WINDOW);
    let length = |place: usize| {
        let most = MATCH_MAX.min(data.len() - at);
        (0..most).take_while(|&step| data[place + step] == data[at + step]).count()
    };
    near.map(|&place| (length(place), at - place)).max_by_key(|&(length, distance)| (length, usize::MAX - distance))
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}
