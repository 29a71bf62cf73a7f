//! Chance: a seed or a number that was drawn. Whoever decides takes it as an argument, so that tests can give their own.

/// A number whose 64 bits are all chance: from the process's own generator, seeded by the kernel. (An identifier is not:
/// some of its bits say what kind it is, and those of one moment are in a row.)
pub fn draw() -> u64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_bit_is_chance_and_those_of_one_moment_are_far_apart() {
        let draws: Vec<u64> = (0..1_000).map(|_| super::draw()).collect();
        for bit in 0..64 {
            let set = draws.iter().filter(|draw| *draw >> bit & 1 == 1).count();
            // Ten standard deviations: chance fails it once in 10^22 runs.
            assert!((342..=658).contains(&set), "bit {bit}: {set} of 1,000");
        }
        let near = draws.windows(2).filter(|two| two[0].abs_diff(two[1]) < u64::MAX / 1_000).count();
        assert!(near < 40, "{near} of 999 are within a thousandth of the one before");
    }
}
