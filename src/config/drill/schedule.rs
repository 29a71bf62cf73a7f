//! `[drill.schedule]`: the drill that begins by itself once a month.

use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::engine::{escalation, hours};
use crate::config::problem::Part;
use crate::config::word::{OneOf, words};
use crate::reliability::drill::{
    DrillCalls, DrillDay, DrillOrder, DrillReach, DrillSchedule, DrillWhen, Fault, PaymentsAtRisk,
};
use crate::runtime::zone::Zone;
use crate::units::{Percent, Text, Written as _};

/// The table `[drill.schedule]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DrillScheduleFile {
    /// The day of each month: "first tuesday" to "fourth tuesday", "last tuesday", or "day 1" to "day 28".
    pub on: String,
    /// The time of that day, "00:00" to "23:59". One that the clocks skip is as much later as they skip; of one that they
    /// repeat it is the first.
    pub at: String,
    /// Time zone of the IANA database, such as "Europe/Berlin"; summer time is heeded.
    pub time_zone: String,
    /// Whose requests are hit.
    pub upstream: String,
    /// What becomes of a request that is hit.
    pub fault: OneOf<FaultWord>,
    /// With fault = "latency": how much later a request is sent, 1 ms to 60 s.
    pub latency: Option<Text<Duration>>,
    /// With fault = "error": the status, 500 to 599; 503 when absent.
    pub status: Option<u16>,
    /// The share of requests that are hit; at most drill.max_percent.
    pub percent: Text<Percent>,
    /// How long; 1 s to drill.max_duration.
    pub duration: Text<Duration>,
    /// Other methods than GET, HEAD and OPTIONS are hit too. What takes a payment never is.
    pub writes: bool,
    /// The upstream may be one that takes payments: its breaker may refuse them while it is open.
    pub payments: bool,
    /// People are called as for a real incident; each message says that it is a drill.
    pub call: bool,
}

impl Default for DrillScheduleFile {
    fn default() -> Self {
        Self {
            on: String::new(),
            at: String::new(),
            time_zone: "UTC".to_owned(),
            upstream: String::new(),
            fault: OneOf(FaultWord::Error),
            latency: None,
            status: None,
            percent: Text(Percent::of(20)),
            duration: Text(Duration::from_secs(300)),
            writes: false,
            payments: false,
            call: false,
        }
    }
}

/// The fault as it is written; [`Fault`] has what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultWord {
    Latency,
    Error,
    Reset,
    Blackhole,
}

words! {
    FaultWord: "fault" {
        Latency = "latency", "it is sent later";
        Error = "error", "it is answered with an error in the upstream's place";
        Reset = "reset", "its connection breaks before an answer";
        Blackhole = "blackhole", "nothing comes back until a time limit passes";
    }
}

/// `[drill.schedule]` as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledDrill {
    pub plan: DrillSchedule,
    /// Where the clock hangs that says when.
    pub zone: Zone,
}

impl DrillScheduleFile {
    /// `bounds`: the largest share and the longest time that a drill may have.
    pub(super) fn check(
        &self,
        mut at: Part<'_, '_>,
        bounds: (Percent, Duration),
        upstreams: &[&str],
    ) -> Option<ScheduledDrill> {
        let order = self.order(&mut at, bounds, upstreams);
        let day = DrillDay::read(&self.on).ok_or_else(|| {
            format!(
                "{:?} is no day of each month; write \"first tuesday\", \"last friday\" or \"day 15\"",
                self.on
            )
        });
        let minute = hours::minute(&self.at)
            .filter(|minute| *minute < 1_440)
            .ok_or_else(|| format!("{:?} is no time of day; write \"10:00\"", self.at));
        let (day, minute) = (at.take("on", day), at.take("at", minute));
        let zone = at.take("time_zone", escalation::zone(&self.time_zone))?;
        let when = DrillWhen { day: day?, minute: minute?, zone: zone.name().to_owned() };
        let payments = if self.payments { PaymentsAtRisk::No } else { PaymentsAtRisk::Yes };
        let order = DrillOrder { reason: format!("each month: {when}"), ..order? };
        Some(ScheduledDrill { plan: DrillSchedule { when, order, payments }, zone })
    }

    fn order(
        &self,
        at: &mut Part<'_, '_>,
        (most, longest): (Percent, Duration),
        upstreams: &[&str],
    ) -> Option<DrillOrder> {
        at.known("upstream", &self.upstream, ("upstream", "upstreams"), upstreams);
        let (share, lasts) = (self.percent.0, self.duration.0);
        if share == Percent::of(0) || share > most {
            at.add(
                "percent",
                format!("{share} is not more than 0% and at most drill.max_percent = \"{most}\""),
            );
        }
        if lasts < Duration::from_secs(1) || lasts > longest {
            let told = format!(
                "{} is not 1s and more and at most drill.max_duration = {:?}",
                lasts.write(),
                longest.write()
            );
            at.add("duration", told);
        }
        Some(DrillOrder {
            upstream: Arc::from(self.upstream.as_str()),
            fault: self.fault(at)?,
            share,
            lasts,
            reach: if self.writes { DrillReach::Writes } else { DrillReach::Reads },
            calls: if self.call { DrillCalls::Ladder } else { DrillCalls::Nobody },
            actor: "schedule".to_owned(),
            reason: String::new(),
        })
    }

    fn fault(&self, at: &mut Part<'_, '_>) -> Option<Fault> {
        let word = self.fault.0;
        if self.latency.is_some() && word != FaultWord::Latency {
            at.add("latency", "goes with fault = \"latency\" alone; leave it out");
        }
        if self.status.is_some() && word != FaultWord::Error {
            at.add("status", "goes with fault = \"error\" alone; leave it out");
        }
        match word {
            FaultWord::Latency => {
                let more = self.latency.map_or(Duration::ZERO, |more| more.0);
                if more.is_zero() || more > Fault::LATEST {
                    at.add("latency", "is not within 1ms and 1m; write latency = \"500ms\"");
                    return None;
                }
                Some(Fault::Latency(more))
            }
            FaultWord::Error => {
                let (least, most) = Fault::STATUSES.into_inner();
                Some(Fault::Error(at.within("status", self.status.unwrap_or(Fault::STATUS), least, most)))
            }
            FaultWord::Reset => Some(Fault::Reset),
            FaultWord::Blackhole => Some(Fault::Blackhole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn read(schedule: &str) -> Result<Option<Arc<ScheduledDrill>>, String> {
        let text = format!(
            "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n[drill]\nmode = \"on\"\n{schedule}\n"
        );
        load(&text, "a test", &[])
            .map(|config| config.drill_schedule)
            .map_err(|problems| problems.to_string())
    }

    const PLAIN: &str = "[drill.schedule]\non = \"first tuesday\"\nat = \"10:00\"\nupstream = \"backend\"\n";

    #[test]
    fn it_is_off_until_it_is_written_and_orders_what_is_written() {
        assert_eq!(read(""), Ok(None));
        let drill = read(PLAIN).expect("runs").expect("one");
        assert_eq!(drill.plan.when.to_string(), "first tuesday at 10:00 UTC");
        assert_eq!((drill.plan.order.fault, drill.plan.order.share), (Fault::Error(503), Percent::of(20)));
        assert_eq!((&*drill.plan.order.actor, drill.plan.payments), ("schedule", PaymentsAtRisk::Yes));
        let more = "fault = \"latency\"\nlatency = \"250ms\"\ntime_zone = \"europe/berlin\"\npercent = \"5%\"\n\
                    duration = \"1m\"\nwrites = true\npayments = true\ncall = true";
        let drill = read(&format!("{PLAIN}{more}")).expect("runs").expect("one");
        assert_eq!(drill.zone.name(), "Europe/Berlin");
        let order = &drill.plan.order;
        assert_eq!(order.fault, Fault::Latency(Duration::from_millis(250)));
        assert_eq!((order.reach, order.calls), (DrillReach::Writes, DrillCalls::Ladder));
        assert_eq!((order.share, order.lasts), (Percent::of(5), Duration::from_secs(60)));
        assert_eq!(drill.plan.payments, PaymentsAtRisk::No);
        for (word, fault) in
            [("error", Fault::Error(503)), ("reset", Fault::Reset), ("blackhole", Fault::Blackhole)]
        {
            let drill = read(&format!("{PLAIN}fault = \"{word}\"")).expect("runs").expect("one");
            assert_eq!(drill.plan.order.fault, fault);
        }
        assert_eq!(order.reason, "each month: first tuesday at 10:00 Europe/Berlin");
    }

    #[test]
    fn what_cannot_be_ordered_is_refused_when_it_is_written() {
        for (written, told) in [
            ("[drill.schedule]\n", "drill.schedule.on: \"\" is no day of each month"),
            ("[drill.schedule]\n", "drill.schedule.at: \"\" is no time of day; write \"10:00\""),
            ("[drill.schedule]\n", "drill.schedule.upstream: no upstream is named \"\""),
            (&PLAIN.replace("10:00", "24:00"), "\"24:00\" is no time of day"),
            (&PLAIN.replace("first", "fifth"), "\"fifth tuesday\" is no day of each month"),
            (&PLAIN.replace("backend", "backends"), "did you mean \"backend\"?"),
            (&format!("{PLAIN}time_zone = \"Europe/Berlim\""), "did you mean \"Europe/Berlin\"?"),
            (
                &format!("{PLAIN}percent = \"26%\""),
                "26% is not more than 0% and at most drill.max_percent = \"25%\"",
            ),
            (
                &format!("{PLAIN}duration = \"11m\""),
                "11m is not 1s and more and at most drill.max_duration = \"10m\"",
            ),
            (&format!("{PLAIN}fault = \"latency\""), "write latency = \"500ms\""),
            (&format!("{PLAIN}fault = \"reset\"\nstatus = 503"), "goes with fault = \"error\" alone"),
            (&format!("{PLAIN}latency = \"1s\""), "goes with fault = \"latency\" alone"),
            (&format!("{PLAIN}status = 404"), "404 is not within 500 to 599"),
            (&format!("{PLAIN}fault = \"resets\""), "did you mean \"reset\"?"),
        ] {
            let problems = read(written).expect_err(written);
            assert!(problems.contains(told), "{written}: {problems}");
        }
    }
}
