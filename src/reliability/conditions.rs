//! Conditions of Strop's own that somebody should know of: none of them is an outage, all of them become one when nobody looks.
//!
//! They are incidents of low or medium severity, each with what to do, through [`Reported`].

use std::sync::Arc;
use std::time::Duration;

use super::alert::Sign;
use super::failover::SwitchReason;
use super::readings::Reported;
use super::rule::Severity;
use crate::units::{At, Written as _};

/// A certificate with less time left than this …
const NEAR: Duration = Duration::from_secs(14 * 86_400);
/// … and less than this part of its life is renewed too late: who renews by itself does so when a third is left
/// (RFC 8555's clients, cert-manager).
const PART: u32 = 3;
/// A channel that has failed for this long is not away for a moment.
const DAY: Duration = Duration::from_secs(86_400);

fn reported(
    service: &str,
    scope: &str,
    severity: Severity,
    title: String,
    facts: Vec<(&str, String)>,
) -> Reported {
    Reported {
        service: Arc::from(service),
        scope: Arc::from(scope),
        sign: Sign::Good,
        severity,
        first_bad: None,
        confirm: Duration::ZERO,
        title,
        evidence: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

fn bad(is: bool) -> Sign {
    if is { Sign::Bad } else { Sign::Good }
}

/// A config file that cannot run: the one before is in force, and a restart would fail. `since`: when it was refused, and its
/// first problem. Somebody who writes it has half a minute to mend it.
pub fn config_refused(since: Option<&(At, String)>) -> Reported {
    let problem = since.map_or(String::new(), |(_, problem)| problem.clone());
    let facts = vec![
        ("problem", problem),
        (
            "what_to_do",
            "`strop check` tells all problems; a file that is mended is read by itself".to_owned(),
        ),
    ];
    let title =
        "the config file was refused: the one before is in force, and a restart would fail".to_owned();
    Reported {
        sign: bad(since.is_some()),
        first_bad: since.map(|(at, _)| *at),
        confirm: Duration::from_secs(30),
        ..reported("config", "refused", Severity::Medium, title, facts)
    }
}

/// A config that has made things worse and was taken back: what the file says is not what is in force.
pub fn config_taken_back(since: Option<&(At, String)>) -> Reported {
    let why = since.map_or(String::new(), |(_, why)| why.clone());
    let what = "mend the file: it is read by itself when it changes; POST /api/v2/sre/config/reload insists on it as it is";
    let facts = vec![("why", why), ("what_to_do", what.to_owned())];
    let title =
        "the config file made things worse and was taken back: the one before is in force, until a restart"
            .to_owned();
    Reported {
        sign: bad(since.is_some()),
        first_bad: since.map(|(at, _)| *at),
        ..reported("config", "taken_back", Severity::Medium, title, facts)
    }
}

/// Two sidecars write into one file: both call, both keep incidents, and neither knows of the other. An update in which the old
/// process ends after the new one has begun is over within half a minute.
pub fn shared_file(path: &str, writers: usize) -> Reported {
    let facts = vec![
        ("file", path.to_owned()),
        ("writers", writers.to_string()),
        (
            "what_to_do",
            "give each sidecar a file of its own (STATE_DIRECTORY, store.url), or all of them one PostgreSQL"
                .to_owned(),
        ),
    ];
    let title = format!(
        "{writers} sidecars write into one store file: each calls people, and neither knows the other"
    );
    Reported {
        sign: bad(writers > 1),
        confirm: Duration::from_secs(30),
        ..reported("store", "shared", Severity::Medium, title, facts)
    }
}

/// A way to tell people that nobody was reached through for a day. `failing`: for how long, and what the last attempt failed at.
pub fn channel(name: &str, failing: Option<(Duration, &str)>, now: At) -> Reported {
    let long = failing.filter(|(length, _)| *length >= DAY);
    let facts = vec![
        (
            "for",
            long.map_or(String::new(), |(length, _)| Duration::from_secs(length.as_secs() / 60 * 60).write()),
        ),
        ("last_error", long.map_or(String::new(), |(_, why)| why.to_owned())),
        (
            "what_to_do",
            format!("`strop notify test {name}` tells what the receiver says; mend [notify.{name}]"),
        ),
    ];
    let title = format!("nobody was reached through {name} for a day");
    Reported {
        sign: bad(long.is_some()),
        first_bad: long.map(|(length, _)| now - length),
        ..reported(name, "channel", Severity::Medium, title, facts)
    }
}

/// Is a certificate of this `life` to be renewed, of which so much is `left`?
pub fn is_to_be_renewed(left: Duration, life: Duration) -> bool {
    left < NEAR && left < life / PART
}

/// A certificate that this process shows to its clients: valid `from` and `until`.
pub fn certificate(listener: &str, (from, until): (At, At), now: At) -> Reported {
    let (left, life) = (until.since(now), until.since(from));
    let near = is_to_be_renewed(left, life);
    let days = left.as_secs() / 86_400;
    let facts = vec![
        ("days_left", days.to_string()),
        (
            "what_to_do",
            "renew it: the files of ingress.tls are read again when they change, without a restart"
                .to_owned(),
        ),
    ];
    let title = if left.is_zero() {
        format!("the certificate of {listener} has run out: clients refuse it")
    } else {
        format!("the certificate of {listener} runs out in {days} days")
    };
    Reported { sign: bad(near), ..reported(listener, "certificate", Severity::Medium, title, facts) }
}

/// The backup endpoints of an upstream are called, and nobody has ordered it: there is nothing left to fail over to. `since`:
/// when that began, and why.
pub fn on_backup(upstream: &str, since: Option<(At, SwitchReason)>) -> Reported {
    let since = since.filter(|(_, why)| *why != SwitchReason::Order);
    let facts = vec![
        ("why", since.map_or(String::new(), |(_, why)| why.describe().to_owned())),
        (
            "what_to_do",
            format!("mend what upstreams.{upstream}.endpoints lead to: they are called again by themselves"),
        ),
    ];
    let title = format!("{upstream} is called at its backup endpoints: another failure is an outage");
    Reported {
        sign: bad(since.is_some()),
        first_bad: since.map(|(at, _)| at),
        ..reported(upstream, "failover", Severity::Medium, title, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> At {
        At(number * 86_400_000)
    }

    #[test]
    fn a_certificate_is_told_when_two_weeks_and_a_third_of_its_life_are_left() {
        let told = |life: i64, left: i64| {
            let (from, until) = (day(1_000), day(1_000 + life));
            certificate("ingress", (from, until), day(1_000 + life - left)).sign
        };
        assert_eq!((told(90, 15), told(90, 14), told(90, 13)), (Sign::Good, Sign::Good, Sign::Bad));
        // Short ones are renewed by somebody: a third of six days.
        assert_eq!((told(6, 3), told(6, 1)), (Sign::Good, Sign::Bad));
        assert_eq!(told(90, 0), Sign::Bad);
        assert_eq!(
            certificate("ingress", (day(0), day(90)), day(100)).title,
            "the certificate of ingress has run out: clients refuse it"
        );
        // A clock that is behind says nothing of a certificate that is new.
        assert_eq!(certificate("ingress", (day(1_000), day(1_090)), day(0)).sign, Sign::Good);
    }

    #[test]
    fn a_channel_is_told_after_a_day_and_not_after_an_evening() {
        let hours = |hours: u64| {
            channel("pager", Some((Duration::from_secs(hours * 3_600), "connect")), day(20)).sign
        };
        assert_eq!(
            (hours(5), hours(23), hours(24), hours(100)),
            (Sign::Good, Sign::Good, Sign::Bad, Sign::Bad)
        );
        assert_eq!(channel("pager", None, day(20)).sign, Sign::Good);
    }

    #[test]
    fn all_of_them_say_what_to_do_and_none_is_worse_than_medium() {
        let all = [
            config_refused(Some(&(day(1), "x".to_owned()))),
            shared_file("strop.db", 2),
            channel("pager", Some((DAY, "late")), day(3)),
            certificate("ingress", (day(0), day(90)), day(85)),
            on_backup("stripe", Some((day(1), SwitchReason::Health))),
        ];
        for one in all {
            assert_eq!((one.sign, one.severity), (Sign::Bad, Severity::Medium), "{one:?}");
            assert!(
                one.evidence.iter().any(|(name, value)| name == "what_to_do" && !value.is_empty()),
                "{one:?}"
            );
        }
        assert_eq!(shared_file("strop.db", 1).sign, Sign::Good);
        assert_eq!(config_refused(None).sign, Sign::Good);
        assert_eq!(on_backup("stripe", None).sign, Sign::Good);
        let ordered = on_backup("stripe", Some((day(1), SwitchReason::Order)));
        assert_eq!((ordered.sign, ordered.first_bad), (Sign::Good, None), "whoever ordered it knows");
    }
}
