use std::path::Path;

use super::http2::Pages;
use super::origin::pattern;
use crate::support::eventually;
use crate::support::secure::issue;
use crate::support::tools::{run, tool};

/// What it asks for at once, in one connection: status, bytes and path, as its statistics have them. The page that
/// tells what came tells more through a proxy.
const PAGES: [&str; 9] = [
    "200 7 /fields",
    "200 1M /large",
    "204 0 /empty",
    "200 14 /trailers",
    "200 1M /stream",
    "304 0 /unchanged",
    "404 13 /nowhere",
    "200 - /seen?q=a+b&q=%7b",
    "200 9 /together?1",
];

/// Posts: arguments, and where to. `DIR` has the bodies.
const POSTS: [(&str, &str); 6] = [
    ("-d DIR/small", "/seen"),
    ("-d DIR/small --no-content-length --trailer x-sum:13 --trailer x-late:so", "/seen"),
    ("-d DIR/small --expect-continue", "/seen"),
    ("-d DIR/large", "/seen"),
    ("-d DIR/small -b 200 -H x-odd:kept -H X-Odd:twice -H :method:PATCH", "/seen"),
    ("-d DIR/large --no-content-length -b 200", "/echo"),
];

fn nghttp(args: &[&str], urls: &[String]) -> Vec<u8> {
    run(tool("nghttp").args(["--no-verify-peer", "--timeout=15"]).args(args).args(urls))
}

/// Fields and trailers as they came, by name and stream; streams are numbered in the order of the command.
fn fields(frames: &str) -> Vec<u8> {
    let field = |line: &str| {
        let (stream, field) = line.split_once("recv (stream_id=")?.1.split_once(") ")?;
        // The name first: what a proxy adds is known by it. That no table may keep it is for the next hop alone.
        Some(format!("{field} (stream {})", stream.trim_end_matches(", sensitive")))
    };
    let mut told: Vec<String> = frames.lines().filter_map(field).collect();
    told.sort();
    told.join("\n").into_bytes()
}

/// Every answer has come to its end, with the bytes of [`PAGES`].
fn is_complete(statistics: &str) {
    let (_, table) = statistics.rsplit_once("request path\n").expect("a table");
    let row = |row: &str| {
        // id, responseEnd, requestStart, process, code, size, request path
        let words: Vec<&str> = row.split_whitespace().collect();
        let [.., code, size, path] = words[..] else { panic!("another table: {row}") };
        let size = if path.starts_with("/seen") { "-" } else { size };
        format!("{code} {size} {path}")
    };
    let mut rows: Vec<String> = table.lines().map(row).collect();
    rows.sort();
    let mut wanted = PAGES;
    wanted.sort_unstable();
    assert_eq!(rows, wanted);
}

fn compare(pages: &Pages, dir: &Path) {
    std::fs::write(dir.join("small"), "a small body\n").expect("writes");
    std::fs::write(dir.join("large"), pattern(1 << 20)).expect("writes");
    let told = pages.compare(|base| {
        let urls = PAGES.map(|page| format!("{base}{}", page.rsplit(' ').next().expect("a path")));
        let said = nghttp(&["--verbose", "--stat", "--null-out"], &urls);
        let said = String::from_utf8_lossy(&said);
        let (frames, statistics) = said.split_once("***** Statistics *****").expect("statistics");
        // node ends some streams by a reset after their last byte: such an answer has no row.
        if base != pages.direct() {
            is_complete(statistics);
        }
        fields(frames)
    });
    for line in ["x-sum: 14", "x-late: so it is", "x-twice: one", "x-twice: two", "etag: \"one\""] {
        assert!(told.contains(&format!("\n{line} (stream ")), "{line}: {told}");
    }
    for (args, path) in POSTS {
        let args = args.replace("DIR", &dir.display().to_string());
        let args: Vec<&str> = args.split(' ').collect();
        let told = pages.compare(|base| {
            let body = nghttp(&args, &[format!("{base}{path}")]);
            if path == "/echo" {
                assert_eq!(body, pattern(1 << 20), "the upload came back changed");
            }
            body
        });
        assert_eq!(
            args.contains(&"--trailer"),
            told.ends_with("trailer x-late: so\ntrailer x-sum: 13\n"),
            "{told}"
        );
    }
    for proxy in pages.proxies() {
        let ended = (PAGES.len() + POSTS.len()) as f64;
        eventually("every exchange is counted", || proxy.metric("http_requests_total", "") == ended);
        assert_eq!(
            proxy.metric("http_request_outcomes_total", "outcome=\"ok\""),
            ended - 1.0,
            "all but a 404"
        );
    }
}

#[test]
fn nghttp_is_served_by_http2_with_prior_knowledge() {
    compare(&Pages::in_clear("", ""), tempfile::tempdir().expect("a directory").path());
}

#[test]
fn nghttp_is_served_by_http2_over_tls() {
    let issued = issue(&["localhost"]);
    compare(&Pages::over_tls(&issued, "", ""), tempfile::tempdir().expect("a directory").path());
}
