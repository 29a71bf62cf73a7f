use std::process::{Command, Output};

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::upstream::{Upstream, status};

/// `strop report …` beside the running sidecar.
fn strop(proxy: &Proxy, args: &[&str]) -> Output {
    let config = proxy.path();
    Command::new(env!("CARGO_BIN_EXE_strop"))
        .arg("report")
        .args(args)
        .arg("--config")
        .arg(&config)
        .env("STATE_DIRECTORY", config.parent().expect("a directory"))
        .output()
        .expect("runs")
}

fn told(proxy: &Proxy, args: &[&str]) -> String {
    let ran = strop(proxy, args);
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

fn refused(proxy: &Proxy, args: &[&str], code: i32, why: &str) {
    let ran = strop(proxy, args);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(why), "{args:?}: {said}");
}

/// An incident about the checkout, taken, written on and resolved; its name and the month it began in.
fn lived_through(proxy: &Proxy) -> (String, String) {
    let made = proxy.post(
        "test/incident",
        r#"{"title": "Checkout | <b>fails</b>", "severity": "high", "service": "checkout"}"#,
    );
    let made = made.json()["incident"].clone();
    let id = made["id"].as_str().expect("an id").to_owned();
    for (what, body) in [
        ("ack", r#"{"actor": "ann"}"#),
        ("note", r#"{"actor": "ann", "text": "*looking* at it"}"#),
        ("resolve", r#"{"actor": "ann", "reason": "a test"}"#),
    ] {
        let done = proxy.post(&format!("incidents/{id}/{what}"), body);
        assert_eq!(done.json()["stored"], true, "{what}: {}", done.text());
    }
    (id, made["began_at"].as_str().expect("a time")[..7].to_owned())
}

#[test]
fn a_resolved_incident_is_in_both_reports_over_the_api_and_on_the_command_line() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        r#"
            [slo]
            uptime = "99.5%"
        "#,
    );
    let (id, month) = lived_through(&proxy);
    let query = format!("reports/sla?month={month}");
    eventually("the ledger has the requests", || {
        proxy.get("/");
        proxy.sre(&query)["subjects"][0]["month"]["requests"].as_u64().is_some_and(|requests| requests > 0)
    });

    let sla = proxy.sre(&query);
    assert_eq!(sla["time_zone"], "UTC");
    assert_eq!(sla["incidents"]["confirmed"], 1, "{sla:#}");
    assert_eq!(sla["incidents"]["longest"][0]["id"], *id);
    assert_eq!(sla["clocks"]["recover"]["n"], 1);
    assert_eq!(sla["business_impact"], serde_json::Value::Null);
    assert!(sla["until"].is_string(), "the month is not over");
    assert_eq!(sla["objectives"]["uptime"], 0.995, "what the config promises");
    let page = proxy.admin_get(&format!("/api/v2/sre/{query}&format=html"));
    assert!(page.text().contains("Checkout | &lt;b&gt;fails&lt;/b&gt;"), "{}", page.text());
    let printed = told(&proxy, &["sla", "--month", &month]);
    assert!(printed.contains("The uptime target of 99.5 % was"), "{printed}");
    assert!(printed.contains("Checkout | &lt;b&gt;fails&lt;/b&gt;"), "{printed}");
    let rows = told(&proxy, &["sla", "--month", &month, "--format", "csv", "--service", "backend"]);
    assert!(
        rows.starts_with("subject,period,") && rows.contains(&format!("\nbackend,{month},UTC,")),
        "{rows}"
    );

    // The incident is over: who asks, and when, changes nothing.
    let review = proxy.admin_get(&format!("/api/v2/sre/incidents/{id}/review?format=markdown")).text();
    assert!(review.contains(r"# Post-incident review: Checkout \| \<b\>fails\</b\>"), "{review}");
    assert!(review.contains(r"\*looking\* at it") && review.contains("_To be filled in._"), "{review}");
    assert!(review.contains("technical, process, human, actions still missing"), "{review}");
    let head = |text: &str| text.split("## Impact").next().unwrap_or_default().to_owned();
    assert_eq!(head(&told(&proxy, &["review", &id])), head(&review));
    let facts: serde_json::Value =
        serde_json::from_str(&told(&proxy, &["review", &id, "--format", "json"])).expect("JSON");
    assert_eq!((&facts["id"], &facts["reviewed"]), (&id.as_str().into(), &false.into()));
    assert_eq!(proxy.sre(&format!("incidents/{id}/review"))["clocks"], facts["clocks"]);
}

#[test]
fn a_month_that_is_over_has_the_same_bytes_for_everybody() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for format in ["json", "html", "csv"] {
        let asked = format!("/api/v2/sre/reports/sla?month=2020-03&time_zone=Europe/Berlin&format={format}");
        let first = proxy.admin_get(&asked).text();
        assert_eq!(first, proxy.admin_get(&asked).text());
        let args = ["sla", "--month", "2020-03", "--time-zone", "Europe/Berlin", "--format", format];
        assert_eq!(first, told(&proxy, &args));
    }
    let out = proxy.path().with_file_name("sla.html");
    told(&proxy, &["sla", "--month", "2020-03", "--out", out.to_str().expect("text")]);
    assert!(std::fs::read_to_string(out).expect("was written").ends_with("</html>\n"));
}

#[test]
fn what_cannot_be_reported_is_refused_with_what_to_write() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for (query, status, why) in [
        ("reports/sla", 400, "2026-10"),
        ("reports/sla?month=2026-13", 400, "2026-10"),
        ("reports/sla?month=9998-12", 400, "has not begun"),
        ("reports/sla?month=2020-01&time_zone=Mars", 400, "Europe/Berlin"),
        ("reports/sla?month=2020-01&format=pdf", 400, "html, json, csv"),
        ("reports/sla?month=2020-01&hours=always", 400, "mon-fri"),
        ("incidents/inc_00000000000000000000/review", 404, "unknown_incident"),
        ("incidents/inc_00000000000000000000/review?format=html", 400, "markdown, json"),
    ] {
        let answer = proxy.admin_get(&format!("/api/v2/sre/{query}"));
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.text().contains(why), "{query}: {}", answer.text());
    }
    refused(&proxy, &["sla", "--month", "2026-1"], 2, "2026-10");
    refused(&proxy, &["sla", "--month", "9998-12"], 2, "has not begun");
    refused(&proxy, &["review", "inc_00000000000000000000"], 1, "no incident");
    let off = ingress_to(
        backend.address,
        r#"
            [store]
            url = "off"
        "#,
    );
    let answer = off.admin_get("/api/v2/sre/reports/sla?month=2020-01");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("no_store")));
    refused(&off, &["sla", "--month", "2020-01"], 2, "off");
}
