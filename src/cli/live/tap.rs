//! `strop tap`: exchanges as they end, a line each.

use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::super::door::escaped;
use super::super::output::{complain, goes_on};
use super::asking::LiveArgs;
use super::table::{plain, text};
use super::tint::{Colour, Tint};

/// Which exchanges, how many, for how long. Filters are joined by \"and\".
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct TapArgs {
    /// Those of this route.
    #[arg(long)]
    route: Option<String>,
    /// Those of this upstream.
    #[arg(long)]
    upstream: Option<String>,
    /// Those of this status: 5xx, 503, or none (no answer was sent).
    #[arg(long)]
    status: Option<String>,
    /// Those that took longer, such as 250ms.
    #[arg(long, value_name = "TIME")]
    slower_than: Option<String>,
    /// Those whose request has a field of this name. Its value is not looked at, and never shown.
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// Those of this method, such as POST.
    #[arg(long)]
    method: Option<String>,
    /// Those that ended so: ok, client_error, server_error, refused, timeout, upstream_failed or client_gone.
    #[arg(long)]
    outcome: Option<String>,
    /// Those with this reason, such as breaker_open.
    #[arg(long)]
    reason: Option<String>,
    /// A share of all, by chance, such as 10%.
    #[arg(long, value_name = "SHARE")]
    sample: Option<String>,
    /// End after so many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// How long, such as 30s; at most 1h. Default: 10m.
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<String>,
    #[command(flatten)]
    live: LiveArgs,
}

impl TapArgs {
    fn path(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let said = [
            ("route", &self.route),
            ("upstream", &self.upstream),
            ("status", &self.status),
            ("slower_than", &self.slower_than),
            ("header", &self.header),
            ("method", &self.method),
            ("outcome", &self.outcome),
            ("reason", &self.reason),
            ("sample", &self.sample),
            ("limit", &limit),
            ("for", &self.lasts),
        ];
        let said = said.iter().filter_map(|(name, said)| Some(format!("{name}={}", escaped(said.as_ref()?))));
        format!("tap?{}", said.collect::<Vec<_>>().join("&"))
    }
}

pub(super) fn tap(args: &TapArgs) -> Result<ExitCode, String> {
    let shown = Colour::on_a_terminal();
    args.live.door.follow(&args.path(), |event, data| {
        let goes_on = if args.live.json { goes_on(data) } else { tell(event, data, shown) };
        if event == "end" || !goes_on { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// False: nobody reads it any more.
fn tell(event: &str, data: &str, shown: Colour) -> bool {
    let told: Value = serde_json::from_str(data).unwrap_or_default();
    match event {
        "exchange" => return goes_on(&line(&told, shown)),
        "lost" => complain(&format!("{} lost: they came faster than they are read", told["lost"])),
        "end" => complain(&end(&told)),
        // An event of a later version.
        _ => {}
    }
    true
}

fn end(told: &Value) -> String {
    let why = match told["why"].as_str() {
        Some("limit") => "as many as were asked for",
        Some("time") => "its time is over",
        Some("leaving") => "the sidecar leaves",
        Some(_) | None => "it has ended",
    };
    format!("{why}: {} told, {} lost", told["told"], told["lost"])
}

/// When, what came of it, how long it took, by which way, what was asked for, and why.
fn line(one: &Value, shown: Colour) -> String {
    let timestamp = text(&one["timestamp"]);
    let time = timestamp.split_once('T').map_or(&*timestamp, |(_, time)| time);
    let outcome = one["outcome"].as_str().unwrap_or_default();
    let took = one["total_ms"].as_f64().map_or_else(|| "–".to_owned(), |took| format!("{took:.1} ms"));
    let came = format!("{:>3} {:<15}", text(&one["status"]), plain(outcome));
    let way = match (one["route"].as_str(), one["upstream"].as_str()) {
        (Some(route), Some(upstream)) if route == upstream => plain(route),
        (Some(route), Some(upstream)) => format!("{} > {}", plain(route), plain(upstream)),
        _ => "–".to_owned(),
    };
    let asked = ["method", "host", "path"].map(|field| plain(one[field].as_str().unwrap_or_default()));
    let [method, host, path] = asked;
    let mut line = format!(
        "{time}  {}  {took:>11}  {way:<20}  {method:<6} {host}{path}",
        shown.tinted(&came, tint(outcome))
    );
    if let Some(reason) = one["reason"].as_str() {
        line += &format!("  {}", plain(reason));
    }
    if let Some(attempts) = one["attempts"].as_u64().filter(|attempts| *attempts > 1) {
        line += &format!("  {attempts} attempts");
    }
    line += "  ";
    line + &shown.tinted(&text(&one["request_id"]), Tint::Faint)
}

fn tint(outcome: &str) -> Tint {
    match outcome {
        "ok" => Tint::Good,
        "client_error" | "client_gone" => Tint::Doubtful,
        _ => Tint::Bad,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange() -> Value {
        json!({
            "timestamp": "2026-01-09T23:06:40.042Z", "request_id": "r-1", "method": "GET", "host": "a.example",
            "path": "/a", "status": 503, "outcome": "refused", "reason": "breaker_open", "route": "all",
            "upstream": "stripe", "attempts": 2, "total_ms": 12.345
        })
    }

    #[test]
    fn a_line_says_when_what_came_of_it_and_why() {
        assert_eq!(
            line(&exchange(), Colour::never()),
            "23:06:40.042Z  503 refused              12.3 ms  all > stripe          GET    a.example/a  breaker_open  \
             2 attempts  r-1"
        );
        let unread =
            json!({ "timestamp": "2026-01-09T23:06:40.042Z", "status": null, "outcome": "client_error" });
        assert!(
            line(&unread, Colour::never()).contains("  – client_error"),
            "{}",
            line(&unread, Colour::never())
        );
    }

    #[test]
    fn nothing_that_was_asked_for_steers_the_terminal() {
        let mut one = exchange();
        for field in
            ["timestamp", "request_id", "method", "host", "path", "outcome", "reason", "route", "upstream"]
        {
            one[field] = format!("a\u{1b}[2J\u{202e}\r\n{field}").into();
        }
        let line = line(&one, Colour::never());
        assert!(!line.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{line:?}");
    }

    #[test]
    fn what_has_a_meaning_in_a_query_is_escaped() {
        assert_eq!(escaped("10%&limit=1 ü"), "10%25%26limit%3D1%20%C3%BC");
    }
}
