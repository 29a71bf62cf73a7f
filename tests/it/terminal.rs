use std::process::Command;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::terminal::Terminal;
use crate::support::upstream::{Upstream, status};

const WIDE: (u16, u16) = (80, 24);

fn top(proxy: &Proxy, env: &[(&str, &str)]) -> Terminal {
    let admin = proxy.admin().to_string();
    let args = ["top", "--every", "200ms", "--actor", "ann", "--admin", &admin];
    let terminal = Terminal::start(&args, env, WIDE);
    terminal.shows("default > backend");
    terminal
}

fn sidecar(backend: &Upstream) -> Proxy {
    let proxy = ingress_to(backend.address, "");
    proxy.get("/");
    proxy
}

/// The line of the screen that has this text.
fn line_of(terminal: &Terminal, text: &str) -> String {
    terminal.text().lines().find(|line| line.contains(text)).unwrap_or_default().to_owned()
}

#[test]
fn top_shows_what_is_there_and_obeys_its_keys() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let mut terminal = top(&proxy, &[]);
    terminal.shows("REQ/S  FAILED  P50 MS  P95 MS  P99 MS IN FL     BREAKER");
    terminal.shows("seen 0.");
    assert!(line_of(&terminal, "default > backend").contains("closed"), "{}", terminal.text());
    terminal.press("\t");
    terminal.shows("UPSTREAM");
    terminal.press("\t/nothing like it");
    terminal.shows("no name has the text of the filter");
    terminal.press("\u{1b}");
    terminal.shows("default > backend");
    terminal.press("s");
    terminal.shows("by failed");
    terminal.press("w");
    terminal.shows("window 1m");
    terminal.press("\r");
    terminal.shows("WINDOW       COUNT");
    terminal.press("\r");
    terminal.shows("q leave");
    terminal.press("?");
    terminal.shows("any key back");
    terminal.press("xq");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn an_order_from_top_is_confirmed_has_a_reason_and_is_on_the_audit_log() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let mut terminal = top(&proxy, &[]);
    terminal.press("h");
    terminal.shows("for how long: 10m");
    terminal.press("\ra deploy of theirs\r");
    terminal.shows("y gives the order, Esc leaves it");
    assert_eq!(proxy.breaker("backend"), "closed", "nothing has been ordered yet");
    terminal.press("y");
    terminal.shows("held open for 10m (audit aud_");
    terminal.shows("held open");
    assert_eq!(proxy.breaker("backend"), "open");
    let row = proxy.sre("audit")["mutations"][0].clone();
    let told = ["actor", "action", "reason"].map(|field| row[field].as_str().unwrap_or_default().to_owned());
    assert_eq!(told, ["ann", "breaker.open", "a deploy of theirs"]);
    terminal.press("rover\ry");
    eventually("it is released", || proxy.breaker("backend") == "closed");
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn top_follows_the_size_of_its_terminal() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let mut terminal = top(&proxy, &[]);
    terminal.shows("P50 MS");
    terminal.resize((40, 12));
    eventually("fewer columns, and those whole", || {
        let text = terminal.text();
        text.contains("P99 MS     BREAKER") && !text.contains("P50 MS")
    });
    assert!(line_of(&terminal, "default > b").contains("closed"), "{}", terminal.text());
    terminal.resize(WIDE);
    terminal.shows("P50 MS");
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn colour_is_there_unless_nobody_wants_it() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let coloured = |env: &[(&str, &str)]| {
        let terminal = top(&proxy, env);
        terminal.shows("closed");
        terminal.painted.lock().expect("not poisoned").coloured
    };
    assert!(coloured(&[]));
    assert!(!coloured(&[("NO_COLOR", "1")]));
}

/// However it ends: the usual screen, its cursor, its modes.
fn is_given_back(terminal: &Terminal) -> bool {
    let modes = terminal.painted.lock().expect("not poisoned").modes.clone();
    let other = modes.iter().any(|mode| mode == "?1049" || mode == "?2004");
    !other && terminal.is_as_it_was()
}

#[test]
fn the_terminal_is_as_it_was_however_top_ends() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let ends: [fn(&mut Terminal); 5] = [
        |terminal| terminal.press("q"),
        |terminal| terminal.press("\u{3}"),
        |terminal| terminal.signal("TERM"),
        |terminal| terminal.signal("INT"),
        |terminal| terminal.signal("HUP"),
    ];
    for (at, end) in ends.iter().enumerate() {
        let mut terminal = top(&proxy, &[]);
        assert!(!is_given_back(&terminal), "{at}: while it runs the terminal is its own");
        end(&mut terminal);
        assert_eq!(terminal.ended(), Some(0), "{at}");
        eventually("it is given back", || is_given_back(&terminal));
    }
}

#[test]
fn top_says_when_it_is_cut_off_and_goes_on_showing_what_was_there() {
    let backend = Upstream::start(status(200));
    let mut proxy = sidecar(&backend);
    let mut terminal = top(&proxy, &[]);
    proxy.signal("KILL");
    terminal.shows("CUT OFF for");
    terminal.shows("nobody answers");
    assert!(terminal.text().contains("default > backend"), "{}", terminal.text());
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
    proxy.leave_behind();
}

#[test]
fn without_a_terminal_top_prints_both_lists_once() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let printed = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_strop")).arg("top").args(args).output().expect("runs")
    };
    let ran = printed(&["--admin", &proxy.admin().to_string()]);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("default > backend"), "{said}");
    assert!(said.contains("UPSTREAM") && !said.contains('\u{1b}'), "{said}");
    let nobody = printed(&["--admin", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("nobody answers"));
    assert_eq!(printed(&["--every", "1ms"]).status.code(), Some(2));
}

#[test]
fn top_tells_programs_what_it_shows_a_line_a_look() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let admin = proxy.admin().to_string();
    let printed = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
        command.args(["top", "--json", "--admin", &admin]).args(args).output().expect("runs")
    };
    let ran = printed(&["--times", "3", "--every", "200ms"]);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
    let looks: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(looks.len(), 3);
    let (first, last) = (&looks[0], &looks[2]);
    let find = |look: &serde_json::Value, list: &str, name: &str| {
        let all = look[list].as_array().expect("a list").clone();
        all.into_iter().find(|one| one["name"] == name).expect("it is there")
    };
    let upstream = |look: &serde_json::Value| find(look, "upstreams", "backend");
    assert!(first["window"] == "10s" && last["status"].is_string(), "{last:#}");
    assert!(upstream(first)["per_second"].is_null(), "of one look alone nothing is known: {first:#}");
    assert!(upstream(last)["per_second"].is_number(), "{last:#}");
    assert_eq!((&upstream(last)["breaker"], &upstream(last)["in_flight"]), (&"closed".into(), &0.into()));
    let known =
        |look: &serde_json::Value| find(look, "routes", "default > backend")["p99"]["is"] == "longest_of_few";
    eventually("its one exchange is measured", || {
        let ran = printed(&["--times", "1"]);
        serde_json::from_slice(&ran.stdout).is_ok_and(|look| known(&look))
    });
    assert_eq!(printed(&["--times", "0"]).status.code(), Some(2));
}

#[test]
fn what_is_told_of_a_sidecar_has_colour_at_a_terminal_alone() {
    let backend = Upstream::start(status(200));
    let proxy = sidecar(&backend);
    let admin = proxy.admin().to_string();
    assert_eq!(proxy.post("circuit-breakers/backend/open", r#"{"reason": "a test"}"#).status, 200);
    assert_eq!(proxy.post("test/incident", r#"{"title": "a drill", "severity": "high"}"#).status, 200);
    eventually("it is told", || proxy.sre("incidents")["incidents"][0]["title"].is_string());
    for (args, shown) in [
        (&["status"][..], "backend"),
        (&["breaker", "list"], "held: a test"),
        (&["incidents", "list"], "a drill"),
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--admin", &admin]).collect();
        for (env, coloured) in
            [(&[][..], true), (&[("NO_COLOR", "1")][..], false), (&[("TERM", "dumb")][..], false)]
        {
            let mut terminal = Terminal::start(&args, env, (160, 24));
            terminal.shows(shown);
            assert!(terminal.ended().is_some_and(|code| code < 2), "{args:?}: {}", terminal.text());
            let found = terminal.painted.lock().expect("not poisoned").coloured;
            assert_eq!(found, coloured, "{args:?} {env:?}: {}", terminal.text());
        }
        let ran = Command::new(env!("CARGO_BIN_EXE_strop")).args(&args).output().expect("runs");
        assert!(!String::from_utf8_lossy(&ran.stdout).contains('\u{1b}'), "{args:?}");
    }
}

#[test]
fn tap_has_colour_at_a_terminal_alone_and_ends_by_a_key() {
    let backend = Upstream::start(status(503));
    let proxy = ingress_to(backend.address, "");
    let admin = proxy.admin().to_string();
    let mut terminal = Terminal::start(&["tap", "--admin", &admin], &[], WIDE);
    eventually("it looks on", || proxy.metric("strop_taps_open", "") == 1.0);
    proxy.get("/till?token=s3cret");
    terminal.shows("503 server_error");
    assert!(terminal.painted.lock().expect("not poisoned").coloured);
    assert!(!terminal.text().contains("s3cret"), "{}", terminal.text());
    terminal.press("\u{3}");
    assert_eq!(terminal.ended(), None, "by the signal of that key");
    eventually("the tap has ended", || proxy.metric("strop_taps_open", "") == 0.0);
}
