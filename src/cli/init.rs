//! `strop init`: a starter config, made of what is in front and behind. It never writes over a file.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::output::{complain, say};
use crate::app::trial;
use crate::config::presets::Preset;
use crate::config::word::Word as _;

/// The first port of local listeners; each vendor has the next one.
const LOCAL: u16 = 9_101;

/// What is known; what is not is asked at a terminal, else it is as in the built-in config.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where the application listens.
    #[arg(short, long, value_name = "HOST:PORT")]
    backend: Option<String>,
    /// Where clients connect.
    #[arg(short, long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// A service that the application calls: stripe, sendgrid, twilio or google_calendar; may be given several times.
    #[arg(long = "calls", value_name = "VENDOR")]
    vendors: Vec<String>,
    /// Balancers in front whose X-Forwarded-For is believed.
    #[arg(long, value_name = "NUMBER")]
    trusted_hops: Option<u8>,
    /// The file that is written.
    #[arg(long, value_name = "FILE", default_value = "strop.toml")]
    to: PathBuf,
}

/// What stands around the sidecar.
struct Surroundings {
    backend: String,
    listen: String,
    vendors: Vec<String>,
    trusted_hops: u8,
}

/// Asks at the terminal; an empty answer is the default.
fn ask(question: &str, default: &str) -> io::Result<String> {
    let mut terminal = io::stderr();
    write!(terminal, "{question} [{default}] ")?;
    terminal.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

impl InitArgs {
    fn surroundings(&self) -> Result<Surroundings, String> {
        let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
        let answer = |known: Option<String>, question: &str, default: &str| match known {
            Some(known) => Ok(known),
            None if asks => {
                ask(question, default).map_err(|error| format!("the terminal cannot be read: {error}"))
            }
            None => Ok(default.to_owned()),
        };
        let backend = answer(self.backend.clone(), "Where does your application listen?", "127.0.0.1:8001")?;
        let listen = answer(self.listen.clone(), "Where do clients connect?", "127.0.0.1:8000")?;
        let hops = self.trusted_hops.map(|hops| hops.to_string());
        let hops = answer(hops, "How many balancers in front are believed (X-Forwarded-For)?", "0")?;
        let known = (!self.vendors.is_empty()).then(|| self.vendors.join(" "));
        let vendors = answer(known, &format!("Which of these does it call: {}?", all().join(", ")), "none")?;
        let vendors = vendors.split([' ', ',']).filter(|name| !name.is_empty() && *name != "none");
        Ok(Surroundings {
            backend: backend.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            listen,
            vendors: vendors.map(|name| vendor(name).map(str::to_owned)).collect::<Result<_, _>>()?,
            trusted_hops: hops
                .parse()
                .map_err(|_| format!("{hops:?} is no number of balancers; write 0 to 255"))?,
        })
    }
}

fn all() -> Vec<&'static str> {
    Preset::WORDS.iter().map(|(_, word, _)| *word).collect()
}

fn vendor(name: &str) -> Result<&str, String> {
    let guess = || crate::config::problem::did_you_mean(name, all().into_iter());
    Preset::named(name)
        .map(|_| name)
        .ok_or_else(|| format!("{name:?} is no vendor that is known{}; write {}", guess(), all().join(", ")))
}

impl Surroundings {
    fn text(&self) -> String {
        let Self { backend, listen, vendors, trusted_hops } = self;
        let mut text = format!(
            "# What a key is, what may stand there and what is in force: strop explain KEY. Does it run, and does everything answer?\n\
             # strop check --live. A running sidecar reads this file again when it is saved.\n\n\
             [ingress]                        # in front of the application\n\
             listen = {listen:?}        # clients connect here\n\
             trusted_hops = {trusted_hops}                 # balancers in front whose X-Forwarded-For is believed\n\
             # openapi = \"/openapi.json\"      # FastAPI and its kin: each endpoint has a name of its own in metrics and incidents\n\n\
             [upstreams.backend]              # the application\n\
             endpoints = [{backend:?}]\n\
             # health = {{ path = \"/healthz\" }} # ask it actively; absent: what requests meet is all that is known\n\
             # breaker = {{ mode = \"on\" }}      # refuse while it fails; by default its breaker only watches\n\n\
             # [[routes]]                     # other limits for some requests, and a name for them in metrics and incidents\n\
             # path = \"/bookings/{{id}}\"\n\
             # timeouts = {{ first_byte = \"5s\" }}\n"
        );
        text.push_str("\n[egress]                         # on the way out: strop env prints what the application needs for it\n");
        text.push_str("listen = \"127.0.0.1:3128\"        # its HTTP_PROXY and HTTPS_PROXY\n");
        text.push_str("unlisted = \"report\"              # hosts that no upstream lists pass and are told; \"deny\" once all are known\n");
        for (name, port) in vendors.iter().zip(LOCAL..) {
            text.push_str(&format!(
                "\n[upstreams.{name}]\npreset = {name:?}\nlocal = \"127.0.0.1:{port}\"         # its base URL for the application: each request is seen, not only a tunnel\n"
            ));
        }
        text.push_str(
            "\n[admin]                          # the page for people, the API, probes and metrics\nlisten = \"127.0.0.1:9901\"        # http://127.0.0.1:9901/\n\n\
             # [notify.chat]                  # who is told of incidents; strop notify test chat tries it\n\
             # kind = \"slack\"\n\
             # url_file = \"/run/secrets/slack\"\n",
        );
        text
    }
}

/// Writes it. 0: it is written; 1: the file is there already, or cannot be written; 2: what was answered makes no config.
pub(super) fn init(args: &InitArgs) -> ExitCode {
    if crate::runtime::files::look(&args.to).is_ok() {
        return taken(&args.to);
    }
    let made = args.surroundings().and_then(|found| {
        let text = found.text();
        let tried = trial::load(&text, "what was answered", &[]);
        tried.map(|_| text).map_err(|problems| problems.to_string())
    });
    let text = match made {
        Ok(text) => text,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(2);
        }
    };
    // Somebody else may have written it meanwhile.
    let file = File::options().write(true).create_new(true).open(&args.to);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            let to = args.to.display();
            say(&format!(
                "{to} is written. Next:\n  strop check --live {to}\n  strop run --config {to}      and then http://127.0.0.1:9901/ in a browser"
            ));
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken(&args.to),
        Err(error) => {
            complain(&format!("{} cannot be written: {error}", args.to.display()));
            ExitCode::FAILURE
        }
    }
}

fn taken(file: &Path) -> ExitCode {
    complain(&format!("{} is there already, and stays as it is; write --to ANOTHER", file.display()));
    ExitCode::FAILURE
}
