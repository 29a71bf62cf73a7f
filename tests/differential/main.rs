//! Strop's HTTP/1.1 reader beside hyper's: the same bytes, two readings.
//!
//! What both accept they read alike: method, target, version, fields, body, trailers, and what is left for the next
//! message. What only one of them accepts has a row in [`table`] that says why. The streams are made by [`grammar`] from a
//! seed; `DIFFERENTIAL_SEED` and `DIFFERENTIAL_CASES` make others, and more.

mod grammar;
mod ours;
mod reading;
mod table;
mod theirs;
mod wire;

use std::cmp::Ordering;

use grammar::Dice;
use reading::{End, Fields, Reading};
use table::{Case, Side};

const CASES: usize = 40_000;

/// Fields that may not stand in a trailer section, of those that the grammar makes (RFC 9110 section 6.5.1). Hyper leaves
/// them in.
const NO_TRAILERS: &[&str] =
    &["content-length", "host", "set-cookie", "transfer-encoding", "trailer", "connection"];

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("starts")
}

/// Which rows of the table the cases needed.
struct Tally {
    rows: Vec<usize>,
    alike: usize,
}

impl Tally {
    fn new() -> Self {
        Self { rows: vec![0; table::ROWS.len()], alike: 0 }
    }

    /// Fails where the two readings do not agree. `asked` is empty for requests.
    fn add(&mut self, asked: &str, bytes: &[u8], ours: &Reading, theirs: &Reading) {
        if let Err(problem) = self.compare(asked, bytes, ours, theirs) {
            panic!(
                "{problem}\nbytes: \"{}\"\nasked: {asked}\nours: {ours:#?}\ntheirs: {theirs:#?}",
                bytes.escape_ascii()
            );
        }
    }

    fn compare(&mut self, asked: &str, bytes: &[u8], ours: &Reading, theirs: &Reading) -> Result<(), String> {
        for (at, (our, their)) in ours.messages.iter().zip(&theirs.messages).enumerate() {
            let mut their = their.clone();
            their.trailers = fit_for_trailers(their.trailers);
            if *our != their {
                return Err(format!("message {at} is read in two ways"));
            }
            let end = ours.starts.get(at + 1).copied().unwrap_or(bytes.len());
            let case = Case::new(asked, &bytes[ours.starts[at]..end]);
            if let Some(row) = table::ROWS.iter().find(|row| row.forbids(&case)) {
                return Err(format!("message {at} is accepted by both, and the table says: {row:?}"));
            }
            self.alike += 1;
        }
        let both = ours.messages.len().min(theirs.messages.len());
        let reads_on = theirs.messages.len() > both || matches!(theirs.end, End::Broken(_));
        let (at, side) = match ours.messages.len().cmp(&theirs.messages.len()) {
            Ordering::Greater => (both, Side::Strop(&theirs.end)),
            Ordering::Equal | Ordering::Less if ours.end == End::Last && reads_on => {
                (both.saturating_sub(1), Side::HyperReadsOn)
            }
            Ordering::Less => (both, Side::Hyper(&ours.end)),
            Ordering::Equal if ours.end == End::Last && ours.rest != theirs.rest => {
                return Err("other bytes are left for what follows".to_owned());
            }
            Ordering::Equal if ours.end != End::Last && theirs.end == End::Over && !blank(&theirs.rest) => {
                return Err("hyper alone expects no other message".to_owned());
            }
            Ordering::Equal => return Ok(()),
        };
        let case = Case::new(asked, &bytes[ours.starts[at]..]);
        let row = table::ROWS.iter().position(|row| row.fits(&side, &case));
        let row = row.ok_or_else(|| format!("message {at} has no row in the table: {side:?}"))?;
        self.rows[row] += 1;
        Ok(())
    }
}

/// Nothing but empty lines?
fn blank(rest: &[u8]) -> bool {
    rest.iter().all(|b| matches!(b, b'\r' | b'\n'))
}

fn fit_for_trailers(mut trailers: Fields) -> Fields {
    trailers.retain(|(name, _)| !NO_TRAILERS.contains(&name.as_str()));
    trailers
}

fn run() -> Tally {
    let (seed, cases) = (setting("DIFFERENTIAL_SEED", 1), setting("DIFFERENTIAL_CASES", CASES as u64));
    let mut dice = Dice(seed);
    let mut tally = Tally::new();
    runtime().block_on(async {
        for _ in 0..cases {
            let piece = if dice.once_in(2) { usize::MAX } else { 1 + dice.below(40) };
            let bytes = grammar::requests(&mut dice);
            let (ours, theirs) = (ours::requests(&bytes, piece).await, theirs::requests(&bytes, piece).await);
            tally.add("", &bytes, &ours, &theirs);
            let asked = ["GET", "GET", "HEAD", "POST", "CONNECT"][dice.below(5)];
            let bytes = grammar::answer(&mut dice);
            let (ours, theirs) =
                (ours::answer(&bytes, piece, asked).await, theirs::answer(&bytes, piece, asked).await);
            tally.add(asked, &bytes, &ours, &theirs);
        }
    });
    tally
}

#[test]
fn what_two_readers_accept_they_read_alike_and_what_one_refuses_has_its_reason() {
    let tally = run();
    assert!(tally.alike > CASES / 2, "only {} messages were compared", tally.alike);
    let idle: Vec<_> = table::ROWS.iter().zip(&tally.rows).filter(|(_, used)| **used == 0).collect();
    assert!(idle.is_empty(), "rows that nothing needs: {idle:#?}");
}
