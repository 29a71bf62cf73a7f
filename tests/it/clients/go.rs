use super::http2::{ONE_CONNECTION, Pages};
use crate::support::PATIENCE;
use crate::support::secure::issue;
use crate::support::tools::{clients, run_within, tool};

#[test]
fn go_is_served_by_http2_over_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("with_net_http");
    let mut go = tool("go");
    go.env("GOCACHE", dir.path().join("cache"))
        .env("GOPATH", dir.path())
        .env("GOENV", "off")
        .env("GOFLAGS", "");
    // Its linker alone takes seconds of a processor.
    run_within(3 * PATIENCE, go.args(["build", "-o"]).arg(&program).arg(clients("with_net_http.go")));
    let issued = issue(&["localhost"]);
    Pages::over_tls(&issued, ONE_CONNECTION, "").compare_with_leaving(|base| {
        let mut client = tool(&program.display().to_string());
        client.arg(base).arg(&issued.ca);
        client
    });
}
