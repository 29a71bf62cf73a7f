//! The house drawn by counts: how long files and functions are, how many names have one home, which files go in circles, how
//! much the docs say.
//!
//! `cargo test --test counts -- --ignored --nocapture` prints the table; what is cut off is what follows `#[cfg(test)]`.

#![allow(unreachable_pub, reason = "modules of a test")]

mod circles;
mod source;

use std::collections::BTreeMap;

use source::Source;

/// A doc line of so many words or fewer says what its field's name says.
const FEW: usize = 3;

/// Median, 90 %, 99 % and the largest.
#[derive(Debug, PartialEq)]
struct Spread {
    median: usize,
    p90: usize,
    p99: usize,
    max: usize,
}

impl Spread {
    fn of(mut all: Vec<usize>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100).max(1) - 1;
            all.get(rank).copied().unwrap_or_default()
        };
        Self { median: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

/// Names of types that several files define, with those files; and how many of all definitions these are, in percent.
fn shared_names(sources: &[Source]) -> (BTreeMap<String, Vec<&str>>, f64) {
    let mut homes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for source in sources {
        for name in source.types() {
            homes.entry(name).or_default().push(&source.path);
        }
    }
    let all: usize = homes.values().map(Vec::len).sum();
    homes.retain(|_, homes| homes.len() > 1);
    let shared: usize = homes.values().map(Vec::len).sum();
    (homes, shared as f64 * 100.0 / all.max(1) as f64)
}

/// Doc lines, those of at most three words, and those of one; but for the rules of tables, which have no words.
fn docs(sources: &[Source]) -> (usize, usize, usize) {
    let lines = sources.iter().flat_map(Source::docs).filter(|line| line.contains(char::is_alphanumeric));
    let words: Vec<usize> = lines.map(|line| line.split_whitespace().count()).collect();
    let upto = |most: usize| words.iter().filter(|count| **count <= most).count();
    (words.len(), upto(FEW), upto(1))
}

#[test]
#[ignore = "prints a table for people"]
#[expect(clippy::print_stdout, reason = "the table")]
fn counts() {
    let sources = source::all("src");
    let lines = Spread::of(sources.iter().map(|source| source.code.len()).collect());
    let functions: Vec<usize> = sources.iter().flat_map(Source::functions).collect();
    let many = functions.len();
    let of = Spread::of(functions);
    let (shared, percent) = shared_names(&sources);
    let circles = circles::among(&sources);
    let (all, few, one) = docs(&sources);
    println!("files                               {}", sources.len());
    println!("lines a file, median / p90 / max    {} / {} / {}", lines.median, lines.p90, lines.max);
    println!("functions                           {many}");
    println!("lines a function, p90 / p99 / max   {} / {} / {}", of.p90, of.p99, of.max);
    println!("type names with two homes or more   {}, {percent:.0} % of types", shared.len());
    println!("circles between files               {}", circles.len());
    println!("doc lines; of {FEW} words or fewer; of one   {all}; {few}; {one}");
    println!();
    for circle in &circles {
        println!("circle: {}", circle.join(", "));
    }
    let mut shared: Vec<_> = shared.into_iter().collect();
    shared.sort_by_key(|(_, homes)| std::cmp::Reverse(homes.len()));
    for (name, homes) in shared.iter().take(20) {
        println!("{name}: {}", homes.join(", "));
    }
}

#[test]
fn a_spread_names_the_values_at_their_ranks() {
    let spread = Spread::of((1..=100).rev().collect());
    assert_eq!(spread, Spread { median: 50, p90: 90, p99: 99, max: 100 });
    assert_eq!(Spread::of(vec![7]), Spread { median: 7, p90: 7, p99: 7, max: 7 });
}

#[test]
fn types_of_one_name_in_two_files_share_it_and_tests_do_not_count() {
    let a = Source::of(
        "src/a.rs",
        "pub struct Kept<T> {\n}\nenum Own {}\n#[cfg(test)]\nmod tests {\n    struct Own2;\n}\n",
    );
    let b = Source::of(
        "src/b.rs",
        "//! ```text\n//! A ── B\n//! ```\n//! |---|\npub(super) type Kept = u8;\n/// Who.\n/// How long it may take until somebody answers.\ntrait Other {}\n",
    );
    let sources = [a, b];
    let (shared, percent) = shared_names(&sources);
    assert_eq!(shared, BTreeMap::from([("Kept".to_owned(), vec!["src/a.rs", "src/b.rs"])]));
    assert!((percent - 50.0).abs() < 0.1, "{percent}");
    assert_eq!(docs(&sources), (2, 1, 1));
}
