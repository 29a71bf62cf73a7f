//! Coverage-guided fuzzing of the parts that are functions over bytes or text. `fuzz/run` builds and runs it.
//!
//! One binary for all targets, so that it is linked once: `STROP_FUZZ_TARGET` says which one. A target asserts what must
//! hold of every input; the readings it compares with are in [`naive`], written to be plain and not to be fast.

#![no_main]

mod chunked;
mod frames;
mod heads;
mod hpack;
mod naive;
mod names;
mod round;
mod runbooks;
mod texts;

use std::sync::OnceLock;

type Target = fn(&[u8]);

/// `fuzz/run` reads this list too: one line each.
const TARGETS: &[(&str, Target)] = &[
    ("request_head", heads::request),
    ("response_head", heads::response),
    ("trailers", heads::trailers),
    ("chunked", chunked::pieces),
    ("request_round", round::request),
    ("response_round", round::response),
    ("fields", texts::fields),
    ("hpack", hpack::blocks),
    ("h2_server", frames::server),
    ("h2_client", frames::client),
    ("retry_after", texts::retry_after),
    ("config", texts::config),
    ("runbook", runbooks::runbook),
    ("openapi", names::document),
    ("folded", names::folded),
];

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let wanted = std::env::var("STROP_FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("STROP_FUZZ_TARGET={wanted:?} is no target")).1
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| chosen()(data));
