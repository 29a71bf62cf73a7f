//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::plan::Plan;

const HELP: &str = "\
A day's worth of connections in miniature, through the real binary.

  --requests N      how many requests (1000000)
  --connections N   in how many sessions, each of one connection or more (20000)
  --open N          sessions at once (256)
  --seed N          replays a day; a new one when absent
  --strop PATH      the binary (environment: STROP; target/release/strop)
  --limit SECONDS   longest time for all of it (60, and one more for every thousand requests)";

/// What was asked for.
#[derive(Debug)]
pub struct Args {
    /// The day.
    pub plan: Plan,
    /// Sessions at once.
    pub open: u32,
    /// The binary.
    pub strop: PathBuf,
    /// Longest time for all of it.
    pub limit: Duration,
}

impl Args {
    /// Reads them; an error is a text for whoever typed them.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Plan { seed: fresh_seed(), requests: 1_000_000, sessions: 20_000 };
        let mut open = 256;
        let mut limit = None;
        let mut strop = std::env::var_os("STROP").map(PathBuf::from);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| HELP.to_owned())?;
            let number =
                || value.parse::<u64>().map_err(|_| format!("{word} {value}: not a number\n\n{HELP}"));
            let count =
                || number().and_then(|n| u32::try_from(n).map_err(|_| format!("{word} {n}: too many")));
            match word.as_str() {
                "--requests" => plan.requests = count()?,
                "--connections" => plan.sessions = count()?,
                "--open" => open = count()?.max(1),
                "--seed" => plan.seed = number()?,
                "--limit" => limit = Some(Duration::from_secs(number()?)),
                "--strop" => strop = Some(PathBuf::from(value)),
                _ => return Err(HELP.to_owned()),
            }
        }
        if plan.sessions == 0 || plan.sessions > plan.requests || plan.requests > 100_000_000 {
            return Err(format!("at least one request for each connection, 100 million at most\n\n{HELP}"));
        }
        let strop = strop.unwrap_or_else(|| PathBuf::from("target/release/strop"));
        let limit = limit.unwrap_or(Duration::from_secs(60 + u64::from(plan.requests) / 1_000));
        Ok(Self { plan, open, strop, limit })
    }
}

fn fresh_seed() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs() << 20
}
