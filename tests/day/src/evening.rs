//! What is looked at when the day's connections are closed: is everything given back, does everything still work?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{World, at_once};
use crate::deeds::{Deed, Leave};
use crate::ledger::{How, Seen};
use crate::lines::Lines;
use crate::metrics::Metrics;
use crate::origin::LISTENING;
use crate::plan::{Ask, Kind, Route, Session, Way};
use crate::report::Report;
use crate::stage::{DRAIN, IDLE, Stage, WORKERS};
use crate::sums;

/// How long things may take that need only a moment.
const SOON: Duration = Duration::from_secs(20);

/// What is asked in the evening.
pub struct Evening<'a> {
    stage: &'a Stage,
    rows: Vec<Seen>,
    next: u32,
    /// Numbers run out here.
    end: u32,
    /// What was asked so far.
    pub sessions: Vec<Session>,
}

impl<'a> Evening<'a> {
    /// With the day's rows; the first `next` numbers are used.
    pub fn new(stage: &'a Stage, rows: Vec<Seen>, next: u32) -> Self {
        let end = rows.len() as u32;
        Self { stage, rows, next, end, sessions: Vec::new() }
    }

    /// All of it, up to the order to leave; what is left of the day.
    pub fn spend(mut self) -> (Vec<Seen>, Vec<Session>, Metrics) {
        self.everything_is_given_back();
        self.connections_are_counted_exactly();
        for route in [Route::Probed, Route::Tunnel] {
            self.a_breaker_still_probes_and_closes(route);
        }
        self.the_dead_are_still_tried();
        self.everything_is_given_back();
        let metrics = self.counts_add_up();
        self.leaving_finishes_what_is_under_way();
        (self.rows, self.sessions, metrics)
    }

    fn report(&self) -> &Report {
        &self.stage.report
    }

    fn everything_is_given_back(&self) {
        let stage = self.stage;
        stage.eventually(SOON, "all exchanges and client connections are over", || stage.is_quiet());
        stage.eventually(SOON + IDLE, "idle connections expire", || {
            let metrics = stage.metrics();
            let told = metrics.sum("upstream_connections", &[]);
            let open: u32 = LISTENING.iter().map(|route| stage.origin.open(*route)).sum();
            if (told, open) == (0, 0) {
                Ok(())
            } else {
                Err(format!("{told} told, {open} open at the origin"))
            }
        });
        stage.eventually(SOON, "its descriptors are what they were", || {
            let (before, now) = (&stage.descriptors, stage.strop.descriptors());
            let pipes = |all: &[String]| all.iter().filter(|one| one.starts_with("pipe:")).count();
            let others = |all: &[String]| all.len() - pipes(all);
            // What a worker has had for long bodies it keeps: 32 pipes at most, two descriptors each.
            let kept = pipes(&now).saturating_sub(pipes(before)) <= 64 * WORKERS;
            if others(&now) == others(before) && kept {
                Ok(())
            } else {
                Err(format!("{} before, now {now:?}", before.len()))
            }
        });
    }

    fn ask(&mut self, route: Route, deed: Deed) -> Ask {
        let number = self.next.min(self.end - 1);
        self.next += 1;
        let ask = Ask::get(number, route, deed);
        if route == Route::Tunnel { Ask { kind: Kind::Connect, method: "CONNECT", ..ask } } else { ask }
    }

    fn run(&mut self, sessions: Vec<Session>, after: impl FnOnce()) {
        let rows = std::mem::take(&mut self.rows);
        let world = World::new(self.stage.places, rows, Arc::clone(&self.stage.report));
        if let Err(error) = at_once(&world, &sessions, after) {
            self.report().find("the evening's clients", error.to_string());
        }
        self.rows = world.take_rows();
        self.sessions.extend(sessions);
    }

    fn connections_are_counted_exactly(&mut self) {
        let session = |way, asks| Session { way, asks, drops: false };
        let mut sessions = Vec::new();
        for _ in 0..15 {
            sessions.push(session(Way::Ingress, vec![self.ask(Route::Plain, Deed::Slow)]));
        }
        for _ in 0..5 {
            sessions.push(session(Way::H2, vec![self.ask(Route::Streams, Deed::Slow)]));
        }
        for _ in 0..5 {
            sessions.push(session(Way::Egress, vec![self.ask(Route::Vendor, Deed::Slow)]));
        }
        let stage = self.stage;
        self.run(sessions, || {
            let metrics = stage.metrics();
            let count = |name, value| metrics.sum(name, &[value]);
            let report = &stage.report;
            report.equal(
                "client connections held",
                count("listener_connections", ("listener", "ingress")),
                20,
            );
            report.equal("client connections held", count("listener_connections", ("listener", "egress")), 5);
            for route in LISTENING {
                let told = count("upstream_connections", ("upstream", route.name()));
                report.equal("connections of an upstream", told, u64::from(stage.origin.open(route)));
            }
        });
    }

    /// One request on a connection of its own; why it was refused, when it was.
    fn one(&mut self, ask: Ask) -> Option<&'static str> {
        let number = ask.number as usize;
        let way = if ask.kind == Kind::Connect { Way::Egress } else { Way::Ingress };
        self.run(vec![Session { way, asks: vec![ask], drops: false }], || ());
        self.rows.get(number).and_then(|row| row.reason).map(|reason| reason.word())
    }

    fn state(&self, route: Route) -> String {
        let path = format!("/api/v2/sre/circuit-breakers/{}", route.name());
        let text = self.stage.strop.get(&path).unwrap_or_default();
        let json = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let read: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
        read["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Trips a breaker, loses its first probe to a client that leaves, and has it closed by good probes.
    fn a_breaker_still_probes_and_closes(&mut self, route: Route) {
        let (bad, good) = match route {
            Route::Tunnel => (Deed::EchoOriginMute, Deed::EchoClientCloses),
            _ => (Deed::Fails, Deed::Length),
        };
        let until = Instant::now() + SOON;
        while self.state(route) != "open" && Instant::now() < until {
            let ask = self.ask(route, bad);
            self.one(Ask { size: if route == Route::Tunnel { 100 } else { 0 }, ..ask });
        }
        if route != Route::Tunnel {
            let mut left = false;
            while !left && Instant::now() < until {
                let ask = self.ask(route, Deed::Late);
                let number = ask.number as usize;
                self.one(Ask { leave: Leave::Waiting { reset: true }, ..ask });
                left = self.rows.get(number).is_some_and(|row| row.how == How::Left);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        while self.state(route) != "closed" && Instant::now() < until {
            let ask = self.ask(route, good);
            self.one(ask);
            std::thread::sleep(Duration::from_millis(20));
        }
        let state = self.state(route);
        self.report().equal("a breaker after good probes", (route, state.as_str()), (route, "closed"));
    }

    /// A breaker whose upstream is gone goes on probing.
    fn the_dead_are_still_tried(&mut self) {
        let until = Instant::now() + SOON;
        for _ in 0..2 {
            loop {
                let ask = self.ask(Route::Dead, Deed::Length);
                if self.one(ask) == Some("connect_failed") {
                    break;
                }
                if Instant::now() > until {
                    return self
                        .report()
                        .find("the dead upstream is not probed any more", format!("{SOON:?}"));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn counts_add_up(&self) -> Metrics {
        let stage = self.stage;
        let mut both = (Metrics::default(), Lines::default());
        stage.eventually(SOON, "all access lines are there", || {
            let metrics = stage.metrics();
            let (told, lines) = (metrics.sum("http_requests_total", &[]), stage.reader.routed());
            both.0 = metrics;
            if told == lines { Ok(()) } else { Err(format!("{told} exchanges, {lines} lines")) }
        });
        both.1 = stage.reader.snapshot();
        sums::compare(self.report(), &both.0, &both.1);
        both.0
    }

    /// With requests under way and idle connections, Strop is asked to leave.
    fn leaving_finishes_what_is_under_way(&mut self) {
        let mut sessions = Vec::new();
        for way in [Way::Ingress, Way::Ingress, Way::Egress, Way::Local, Way::H2, Way::H2] {
            let route = if matches!(way, Way::Egress | Way::Local) { Route::Vendor } else { Route::Plain };
            let mut asks: Vec<Ask> =
                (0..if way == Way::H2 { 3 } else { 1 }).map(|_| self.ask(route, Deed::Late)).collect();
            asks.iter_mut().skip(1).for_each(|ask| ask.joins = true);
            sessions.push(Session { way, asks, drops: false });
        }
        let count = sessions.iter().map(|session| session.asks.len() as u64).sum::<u64>();
        let mut idle: Vec<TcpStream> = (0..4).filter_map(|_| self.idle()).collect();
        self.report().equal("idle connections before leaving", idle.len(), 4);
        let stage = self.stage;
        let numbers: Vec<u32> =
            sessions.iter().flat_map(|session| session.asks.iter().map(|ask| ask.number)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| self.run(sessions, || ()));
            stage.eventually(SOON, "requests are under way", || {
                let metrics = stage.metrics();
                let active = metrics.sum("http_server_active_requests", &[])
                    + metrics.sum("http_client_active_requests", &[]);
                if active == count { Ok(()) } else { Err(format!("{active} are")) }
            });
            stage.strop.terminate();
        });
        for number in numbers {
            let row = self.rows.get(number as usize).copied().unwrap_or_default();
            self.report().equal("a request under way when it left", (row.how, row.status), (How::Whole, 200));
        }
        for tcp in &mut idle {
            let read = tcp.read(&mut [0; 64]).unwrap_or(usize::MAX);
            self.report().equal("an idle connection when it left", read, 0);
        }
    }

    /// A connection that has had its answer.
    fn idle(&mut self) -> Option<TcpStream> {
        let ask = self.ask(Route::Plain, Deed::NoContent);
        let mut tcp = TcpStream::connect(self.stage.places.ingress).ok()?;
        tcp.set_read_timeout(Some(DRAIN)).ok()?;
        tcp.write_all(&crate::request::head(&ask, Way::Ingress)).ok()?;
        let mut answer = [0; 4_096];
        let read = tcp.read(&mut answer).ok()?;
        let row = self.rows.get_mut(ask.number as usize)?;
        *row = Seen { how: How::Whole, status: 204, ..Seen::default() };
        self.sessions.push(Session { way: Way::Ingress, asks: vec![ask], drops: false });
        answer.get(..read)?.starts_with(b"HTTP/1.1 204").then_some(tcp)
    }
}
