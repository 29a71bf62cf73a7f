use super::http2::{ONE_CONNECTION, Pages};
use crate::support::PATIENCE;
use crate::support::secure::issue;
use crate::support::tools::{clients, run_within, tool};

#[test]
fn java_is_served_by_http2_over_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut compiler = tool("javac");
    run_within(3 * PATIENCE, compiler.arg("-d").arg(dir.path()).arg(clients("WithHttpClient.java")));
    let issued = issue(&["localhost"]);
    Pages::over_tls(&issued, ONE_CONNECTION, "").compare_with_leaving(|base| {
        let mut client = tool("java");
        client.arg("-cp").arg(dir.path()).args(["WithHttpClient", base]).arg(&issued.ca);
        client
    });
}
