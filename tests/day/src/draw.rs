//! Chance, all of it from one seed.

/// Draws numbers (splitmix64, Steele and others).
#[derive(Clone, Debug)]
pub struct Draw(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Spreads the bits of `x`.
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Draw {
    /// What `seed` has for the part `what` of the day.
    pub fn new(seed: u64, what: u64) -> Self {
        Self(mix(seed ^ mix(what.wrapping_add(STEP))))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u32) -> u32 {
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// A number of `range`, ends included.
    pub fn within(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True in `n` of 100 draws.
    pub fn percent(&mut self, n: u32) -> bool {
        self.below(100) < n
    }

    /// One of `table`, by its weight.
    pub fn weighted<T: Copy>(&mut self, table: &[(u32, T)]) -> T {
        let sum = table.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(sum);
        for (weight, item) in table {
            if at < *weight {
                return *item;
            }
            at -= weight;
        }
        // Not reached: `at` is below the sum of all weights.
        table[0].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything() {
        let drawn = |seed| {
            let mut draw = Draw::new(seed, 7);
            (0..50).map(|_| draw.weighted(&[(1, 'a'), (3, 'b')])).collect::<String>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!(drawn(1).matches('b').count() > 25);
    }

    #[test]
    fn both_ends_of_a_range_are_drawn() {
        let mut draw = Draw::new(1, 1);
        let drawn: std::collections::BTreeSet<u32> = (0..200).map(|_| draw.within(3, 5)).collect();
        assert_eq!(drawn, [3, 4, 5].into());
    }
}
