//! What commands print.

use std::io::{self, Write as _};

/// Prints a line of an answer. A reader that has gone away (`| head`) is no error.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints why a command failed.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
