//! Is the share of bad ones really above the limit, or is it chance?
//!
//! Exact one-sided tests on counts: the probability of at least this many bad ones, had the true share been just the limit.
//! A plain ratio fires on one bad request in a quiet minute; these do not. The point probabilities are Loader's saddle-point
//! form (C. Loader, "Fast and Accurate Computation of Binomial Probabilities", 2000; R's `dbinom`), sound for counts up
//! to 10⁹ and beyond, and the tail is summed from there outwards, where its terms only shrink.

use std::f64::consts::TAU;

/// P(X ≥ `least`) among `total` independent ones of which each is bad with probability `share` (0 to 1).
pub fn binomial_tail(least: u64, total: u64, share: f64) -> f64 {
    if least == 0 {
        return 1.0;
    }
    if least > total || share <= 0.0 {
        return 0.0;
    }
    if share >= 1.0 {
        return 1.0;
    }
    let (n, odds) = (total as f64, share / (1.0 - share));
    if least as f64 > n * share {
        let from = least as f64;
        sum_of_ratios(binomial_point(least, total, share), |step| {
            (n - from - step + 1.0) / (from + step) * odds
        })
    } else {
        let below = (least - 1) as f64;
        let down = |step: f64| (below - step + 1.0) / (n - below + step) / odds;
        1.0 - sum_of_ratios(binomial_point(least - 1, total, share), down)
    }
}

/// Do `bad` of `total` show that the true share is above `limit` (0 to 1)? Wrong with a probability below `alpha` when
/// it is not. Binomial.
pub fn above(bad: u64, total: u64, limit: f64, alpha: f64) -> bool {
    if total == 0 || bad == 0 || bad as f64 <= total as f64 * limit {
        return false;
    }
    // Chernoff: the tail is below exp(-n·KL). Decides without a sum whatever is clear.
    let sure = chernoff(bad, total, limit);
    sure < alpha || binomial_tail(bad, total, limit) < alpha
}

/// `first` · (1 + r₁ + r₁r₂ + …) with rₙ = `ratio(n)`, all below 1 and shrinking.
fn sum_of_ratios(first: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut term, mut sum, mut step) = (1.0, 1.0, 1.0);
    loop {
        term *= ratio(step);
        if term <= 0.0 || term < sum * 1e-17 {
            return first * sum;
        }
        sum += term;
        step += 1.0;
    }
}

fn binomial_point(count: u64, total: u64, share: f64) -> f64 {
    let (x, n) = (count as f64, total as f64);
    if count == 0 {
        return (n * (-share).ln_1p()).exp();
    }
    if count == total {
        return (n * share.ln()).exp();
    }
    let rest = n - x;
    let log = stirling_error(n)
        - stirling_error(x)
        - stirling_error(rest)
        - deviance(x, n * share)
        - deviance(rest, n * (1.0 - share));
    log.exp() * (n / (TAU * x * rest)).sqrt()
}

fn chernoff(bad: u64, total: u64, limit: f64) -> f64 {
    let (x, n) = (bad as f64, total as f64);
    let rest = n - x;
    let of_rest = if rest > 0.0 { deviance(rest, n * (1.0 - limit)) } else { n * (1.0 - limit) };
    (-deviance(x, n * limit) - of_rest).exp()
}

/// ln n! − ln(√(2πn) · nⁿ · e⁻ⁿ).
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        let mut factorial = 1.0;
        let mut factor = 2.0;
        while factor <= n {
            factorial *= factor;
            factor += 1.0;
        }
        return f64::ln(factorial) - (n + 0.5) * n.ln() + n - 0.5 * TAU.ln();
    }
    let square = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// x·ln(x/mean) + mean − x, without the cancellation near x = mean.
fn deviance(x: f64, mean: f64) -> f64 {
    if (x - mean).abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() + mean - x;
    }
    let v = (x - mean) / (x + mean);
    let mut sum = (x - mean) * v;
    let mut term = 2.0 * x * v;
    let mut odd = 3.0;
    loop {
        term *= v * v;
        let next = sum + term / odd;
        if next == sum {
            return sum;
        }
        sum = next;
        odd += 2.0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least number of bad ones among `total` that shows a true share above `limit`; `None`: not even all of them do.
    fn least_bad(total: u64, limit: f64, alpha: f64) -> Option<u64> {
        if !above(total, total, limit, alpha) {
            return None;
        }
        let (mut low, mut high) = (0, total);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if above(middle, total, limit, alpha) { high = middle } else { low = middle }
        }
        Some(high)
    }

    #[test]
    fn the_tables_of_the_semantics_hold() {
        for (n, at_3, at_4) in
            [(100, 3, 4), (300, 4, 5), (1_000, 6, 7), (3_000, 11, 12), (10_000, 22, 25), (100_000, 133, 140)]
        {
            let exact = (least_bad(n, 0.001, 1e-3), least_bad(n, 0.001, 1e-4));
            assert_eq!(exact, (Some(at_3), Some(at_4)), "{n}");
        }
        for (n, slow) in [(50, 5), (100, 6), (300, 11), (1_000, 22), (5_000, 74)] {
            assert_eq!(least_bad(n, 0.01, 1e-3), Some(slow), "{n}");
        }
    }

    #[test]
    fn one_bad_request_in_a_quiet_minute_proves_nothing() {
        for n in 1..60 {
            assert!(!above(1, n, 0.001, 1e-3), "{n}");
        }
        assert!(!above(0, 0, 0.001, 1e-3));
        assert!(above(3, 3, 0.001, 1e-3));
    }

    #[test]
    fn a_billion_is_no_problem() {
        let least = least_bad(1_000_000_000, 0.001, 1e-3).expect("some");
        // Normal approximation: mean + 3.0902 σ, with σ² = n·p·q.
        let about = 1e6 + 3.0902 * (1e6_f64 * 0.999).sqrt();
        assert!((least as f64 - about).abs() < 5.0, "{least} is not about {about}");
        assert!((binomial_tail(500_000_000, 1_000_000_000, 0.5) - 0.5).abs() < 1e-4);
    }

    /// The other form: all terms in logarithms of plain factorials, largest first.
    fn by_summing(least: u64, total: u64, share: f64) -> f64 {
        let logs: Vec<f64> = (1..=total).map(|n| (n as f64).ln()).collect();
        let log_factorial = |n: u64| logs.iter().take(n as usize).sum::<f64>();
        (least..=total)
            .map(|k| {
                let choose = log_factorial(total) - log_factorial(k) - log_factorial(total - k);
                (choose + k as f64 * share.ln() + (total - k) as f64 * (-share).ln_1p()).exp()
            })
            .sum()
    }

    proptest! {
        #[test]
        fn the_tail_is_the_sum_of_its_terms(total in 1_u64..300, part in 0.0_f64..1.0, share in 0.0005_f64..0.9995) {
            let least = (part * total as f64) as u64;
            let (ours, theirs) = (binomial_tail(least, total, share), by_summing(least, total, share));
            prop_assert!((ours - theirs).abs() <= 1e-9 * theirs.max(1e-6), "{} {}", ours, theirs);
        }

        #[test]
        fn more_bad_ones_are_never_less_evidence(total in 1_u64..2_000_000_000, share in 0.0001_f64..0.5, alpha in 1e-7_f64..0.1) {
            if let Some(least) = least_bad(total, share, alpha) {
                prop_assert!(above(least, total, share, alpha));
                prop_assert!(!above(least - 1, total, share, alpha));
                prop_assert!(above(total, total, share, alpha));
                prop_assert!(binomial_tail(least, total, share) < alpha);
            }
        }
    }
}
