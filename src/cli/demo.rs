//! `strop demo`: the sidecar with an embedded sample backend and stand-ins for Stripe, SendGrid, Twilio and Google
//! Calendar, a database and a cache, whose weather is changed by one command; with the guide's recovery plans. For newcomers and tests
//! only.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Subcommand;

use super::output::{complain, say};
use super::run;
use crate::config::word::Word as _;
use crate::config::{self, presets::Preset};

/// Where the demo's stand-ins are told their weather.
const WEATHER: &str = "127.0.0.1:9900";

/// The services of the demo: name, port of its local listener (the backend has none).
const SERVICES: [(&str, u16); 7] = [
    ("backend", 0),
    ("stripe", 9_101),
    ("sendgrid", 9_102),
    ("twilio", 9_103),
    ("google_calendar", 9_104),
    ("database", 9_105),
    ("redis", 9_106),
];

/// The port of the ingress.
const INGRESS: u16 = 8_000;
/// Between two requests of the demo's own traffic to one service.
const BEAT: Duration = Duration::from_millis(250);

/// Changes the weather of a running demo.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Weather {
    /// Make a stand-in sunny (200), patchy (every fourth answer is 500), stormy (500), slow (2 s), limited (429) or dark (hangs up).
    Weather {
        /// backend, stripe, sendgrid, twilio, google_calendar, database or redis.
        service: String,
        /// sunny, patchy, stormy, slow, limited or dark.
        weather: String,
    },
}

type Skies = Arc<Mutex<BTreeMap<&'static str, String>>>;

const KNOWN: [&str; 6] = ["sunny", "patchy", "stormy", "slow", "limited", "dark"];

/// Who sends requests to the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Whoever likes.
    Yours,
    /// The demo as well, four a second to each service.
    Own,
}

/// Runs the demo until it is stopped.
pub(super) fn run(traffic: Traffic) -> ExitCode {
    let skies: Skies =
        Arc::new(Mutex::new(SERVICES.iter().map(|(name, _)| (*name, "sunny".to_owned())).collect()));
    let mut ports = BTreeMap::new();
    for (name, _) in SERVICES {
        match stand_in(name, &skies) {
            Ok(address) => drop(ports.insert(name, address)),
            Err(error) => return failed(&error),
        }
    }
    if let Err(error) = weather_station(&skies) {
        return failed(&error);
    }
    let ground = match run::Ground::lay() {
        Ok(ground) => ground,
        Err(code) => return code,
    };
    match config::load(&demo_config(&ports), "the demo's config", &[]) {
        Ok(config) => run::serve(ground, config, None, Vec::new(), |app| {
            say("");
            run::page(app);
            say(GUIDE);
            if traffic == Traffic::Own {
                SERVICES.iter().for_each(|(name, local)| send(name, *local));
            }
        }),
        Err(problems) => failed(&problems),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    complain(&format!("the demo cannot start: {error}"));
    ExitCode::FAILURE
}

const GUIDE: &str = "
Strop is between you and a sample backend, and between the backend and four vendors, a database and a cache (stand-ins).

  curl -i http://127.0.0.1:8000/                          through the ingress
  curl -i http://127.0.0.1:9101/v1/charges                Stripe, by its local listener
  curl -i -x http://127.0.0.1:3128 http://api.stripe.com/ Stripe, by the forward proxy

Make Stripe fail, call it three times, watch the breaker on the page, make it well again, wait 5 s, call it twice:

  strop demo weather stripe stormy
  strop status
  strop demo weather stripe sunny

Each plan of the guide has its weather; with `strop demo --traffic` the requests come by themselves:

  strop demo weather database dark        database_failure: connections anew, breaker, restart (which is only said)
  strop demo weather redis dark           redis_failure: cache, connections, degradation
  strop demo weather backend dark         api_failure, after half a minute without a good answer
  strop demo weather stripe patchy        payment_failure, after half a minute: the breaker does not open
  strop recovery run high_cpu --service backend   high_cpu: by order alone

Stop with Ctrl-C.
";

/// The guide's recovery plans.
const PLANS: &str = r#"
[incidents]
important = ["stripe"]

[degradation.level1]
features = ["sms", "email"]

[plans.database_failure]
rules = ["service_down", "breaker"]
services = ["database"]
steps = [{ action = "connection_reset" }, { action = "circuit_breaker" }, { action = "restart_service" }]
max_attempts = 3
retry_delay = "15s"

[plans.redis_failure]
rules = ["service_down", "breaker"]
services = ["redis"]
steps = [{ action = "cache_clear" }, { action = "connection_reset" }, { action = "graceful_degradation" }]
max_attempts = 2
retry_delay = "30s"

[plans.high_cpu]
steps = [{ action = "scale_up" }, { action = "graceful_degradation" }]
max_attempts = 2
retry_delay = "60s"

[plans.api_failure]
rules = ["service_down"]
services = ["backend"]
steps = [{ action = "restart_service" }, { action = "circuit_breaker" }, { action = "failover" }]
max_attempts = 3
retry_delay = "30s"

[plans.payment_failure]
rules = ["payment_failure"]
services = ["stripe"]
steps = [{ action = "circuit_breaker" }, { action = "graceful_degradation" }, { action = "failover" }]
max_attempts = 2
retry_delay = "45s"
"#;

fn demo_config(ports: &BTreeMap<&'static str, SocketAddr>) -> String {
    let mut text = String::from(
        "[ingress]\nlisten = \"127.0.0.1:8000\"\nclaim_sre_api = true\n\n[egress]\nlisten = \"127.0.0.1:3128\"\n\n\
         [process]\nlog_json = false\n\n[access_log]\nto = \"off\"\n\n[store]\nurl = \"off\"\n",
    );
    for (name, local) in SERVICES {
        let Some(address) = ports.get(name) else { continue };
        text.push_str(&format!("\n[upstreams.{name}]\nendpoints = [\"{address}\"]\n"));
        if local > 0 {
            let hosts = Preset::named(name)
                .map_or(String::new(), |preset| format!("hosts = [\"{}\"]\n", preset.host()));
            text.push_str(&format!(
                "{hosts}local = \"127.0.0.1:{local}\"\nallow_addresses = [\"127.0.0.0/8\"]\n\
                 breaker = {{ open_for = \"5s\", ramp = \"2s\" }}\ntimeouts = {{ first_byte = \"1s\" }}\n"
            ));
        }
    }
    text + PLANS
}

/// Sends requests to a service by the sidecar, until the process ends: payments to Stripe, else looks.
fn send(name: &'static str, local: u16) {
    let port = if local == 0 { INGRESS } else { local };
    let line = if name == "stripe" { "POST /v1/charges" } else { "GET /" };
    let once = move || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{line} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )?;
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    };
    let beats = move || loop {
        // What comes of it is on the page.
        let _ = once();
        std::thread::sleep(BEAT);
    };
    // Without a thread there is less to see.
    let _ = std::thread::Builder::new().name(format!("demo-to-{name}")).spawn(beats);
}

/// The longest wait of the demo's own traffic for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that answers by its weather; one thread per connection is plenty for a demo.
fn stand_in(name: &'static str, skies: &Skies) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let skies = Arc::clone(skies);
    std::thread::Builder::new().name(format!("demo-{name}")).spawn(move || {
        for stream in listener.incoming().flatten() {
            let skies = Arc::clone(&skies);
            // A thread that cannot be started is a connection that is closed.
            let _ = std::thread::Builder::new().spawn(move || {
                let _ = converse(name, stream, &skies);
            });
        }
    })?;
    Ok(address)
}

/// Answers of all stand-ins so far.
static ANSWERS: AtomicUsize = AtomicUsize::new(0);

fn converse(name: &str, stream: TcpStream, skies: &Skies) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut length = 0;
        let mut lines = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            lines += 1;
            if line == "\r\n" && lines > 1 {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let sky = skies.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default();
        let nth = ANSWERS.fetch_add(1, Ordering::Relaxed);
        let (status, wait) = match sky.as_str() {
            "patchy" if nth.is_multiple_of(4) => ("500 Internal Server Error", 0),
            "stormy" => ("500 Internal Server Error", 0),
            "slow" => ("200 OK", 2_000),
            "limited" => ("429 Too Many Requests\r\nretry-after: 3", 0),
            "dark" => return Ok(()),
            _ => ("200 OK", 0),
        };
        std::thread::sleep(Duration::from_millis(wait));
        let body = format!("{{\"service\":\"{name}\",\"weather\":\"{sky}\"}}\n");
        write!(
            writer,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

/// Hears lines of `service weather`, answers `ok` or why not.
fn weather_station(skies: &Skies) -> std::io::Result<()> {
    let listener = TcpListener::bind(WEATHER).map_err(|error| {
        let told = format!("cannot listen on {WEATHER}: {error}; is another demo running?");
        std::io::Error::new(error.kind(), told)
    })?;
    let skies = Arc::clone(skies);
    std::thread::Builder::new().name("demo-weather".to_owned()).spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            // A caller that says nothing changes nothing.
            let _ = stream.try_clone().map(BufReader::new).and_then(|mut reader| reader.read_line(&mut line));
            let answer = forecast(&skies, &line);
            let _ = writeln!(stream, "{answer}");
        }
    })?;
    Ok(())
}

fn forecast(skies: &Skies, line: &str) -> String {
    let mut words = line.split_whitespace();
    let (service, weather) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !KNOWN.contains(&weather) {
        return format!("no weather is called {weather:?}; write {}", KNOWN.join(", "));
    }
    let mut skies = skies.lock().unwrap_or_else(PoisonError::into_inner);
    match skies.get_mut(service) {
        Some(sky) => {
            weather.clone_into(sky);
            "ok".to_owned()
        }
        None => {
            format!("no service is called {service:?}; write {}", SERVICES.map(|(name, _)| name).join(", "))
        }
    }
}

/// Tells a running demo.
pub(super) fn change(order: Weather) -> ExitCode {
    let Weather::Weather { service, weather } = order;
    let told = TcpStream::connect(WEATHER).and_then(|mut stream| {
        writeln!(stream, "{service} {weather}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    });
    match told {
        Ok(answer) if answer.trim() == "ok" => {
            say(&format!("{service} is {weather} now"));
            ExitCode::SUCCESS
        }
        Ok(problem) => {
            complain(problem.trim());
            ExitCode::from(2)
        }
        Err(error) => {
            complain(&format!("no demo is running ({error}); start one with `strop demo`"));
            ExitCode::FAILURE
        }
    }
}
