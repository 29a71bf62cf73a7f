//! The bytes of a request's bodies: they follow from its number, so whoever reads them knows whose they are.

use crate::draw::mix;

/// Which way a body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client.
    Up,
    /// From the origin.
    Down,
}

fn word(number: u32, side: Side, at: u64) -> [u8; 8] {
    let side = match side {
        Side::Up => 1,
        Side::Down => 2_u64,
    };
    mix(u64::from(number) << 24 ^ side << 60 ^ at).to_le_bytes()
}

/// `len` bytes of a body.
pub fn make(number: u32, side: Side, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
    let mut at = 0;
    while bytes.len() < len {
        bytes.extend_from_slice(&word(number, side, at));
        at += 1;
    }
    bytes.truncate(len);
    bytes
}

/// Compares a body with what it must be, piece by piece.
#[derive(Debug)]
pub struct Check {
    number: u32,
    side: Side,
    at: u64,
    wrong: Option<u64>,
}

impl Check {
    /// Of the body of request `number`.
    pub fn new(number: u32, side: Side) -> Self {
        Self { number, side, at: 0, wrong: None }
    }

    /// The next piece.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && self.wrong.is_none() {
            let word = word(self.number, self.side, self.at / 8);
            let within = (self.at % 8) as usize;
            let n = (8 - within).min(piece.len());
            let (here, rest) = piece.split_at(n);
            if here != &word[within..within + n] {
                self.wrong = Some(self.at);
            }
            self.at += n as u64;
            piece = rest;
        }
        self.at += piece.len() as u64;
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Where about it is not what it must be.
    pub fn wrong(&self) -> Option<u64> {
        self.wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_by_its_number() {
        let body = make(7, Side::Down, 1_000);
        for piece in [1, 7, 8, 333, 1_000] {
            let mut check = Check::new(7, Side::Down);
            body.chunks(piece).for_each(|piece| check.feed(piece));
            assert_eq!((check.bytes(), check.wrong()), (1_000, None));
        }
        for (number, side) in [(8, Side::Down), (7, Side::Up)] {
            let mut check = Check::new(number, side);
            check.feed(&body);
            assert_eq!((check.bytes(), check.wrong()), (1_000, Some(0)));
        }
    }

    #[test]
    fn one_wrong_byte_is_found() {
        let mut body = make(7, Side::Up, 100);
        body[42] ^= 1;
        let mut check = Check::new(7, Side::Up);
        check.feed(&body);
        assert_eq!(check.wrong(), Some(40));
    }
}
