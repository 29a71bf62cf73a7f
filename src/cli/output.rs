//! What commands print.

use std::io::{self, Write as _};

/// Prints a line of an answer. A reader that has gone away (`| head`) is no error.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints a line of an answer that does not end by itself. False: its reader has gone away.
pub(super) fn goes_on(text: &str) -> bool {
    writeln!(io::stdout(), "{text}").is_ok()
}

/// Prints why a command failed.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
