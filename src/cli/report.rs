//! `strop report sla` and `strop report review`: documents from the store, beside a running sidecar or without one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use super::file;
use super::output::{complain, say};
use super::store::wait;
use crate::config::Config;
use crate::report::calendar::Month;
use crate::report::gather;
use crate::report::hours::ServiceHours;
use crate::report::review;
use crate::report::sla::{Objectives, SlaRequest};
use crate::runtime::clock;
use crate::runtime::zone::Zone;
use crate::store::Reader;
use crate::store::rows::millis;
use crate::units::At;

/// Which report is to be written.
#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// The service level of a calendar month: uptime with its bounds, requests, error budgets, incidents, recommendations.
    Sla {
        /// As 2026-10. One that is not over is told as far as it goes.
        #[arg(long, value_name = "YYYY-MM")]
        month: String,
        /// In whose calendar; an IANA name. The zones are those of this binary.
        #[arg(long, default_value = "UTC", value_name = "NAME")]
        time_zone: String,
        /// How it is written.
        #[arg(long, value_enum, default_value_t = SlaForm::Html)]
        format: SlaForm,
        /// Service hours that are reported beside the whole month, as "mon-fri 08:00-20:00"; several with semicolons.
        #[arg(long, value_name = "HOURS")]
        hours: Option<String>,
        /// Only this subject and its incidents. Default: the service and all its upstreams.
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// Where it is written to. Default: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The config file. Default: $STROP_CONFIG, else ./strop.toml, else /etc/strop/strop.toml, else a built-in one that
        /// serves a backend on 127.0.0.1:8001 at 127.0.0.1:8000.
        #[arg(short, long)]
        config: Option<PathBuf>,
    },
    /// What there is to review about an incident: clocks, impact, signals, deeds, changes, and what people filled in.
    Review {
        /// The incident's name, as inc_….
        id: String,
        /// How it is written.
        #[arg(long, value_enum, default_value_t = ReviewForm::Markdown)]
        format: ReviewForm,
        /// In which zone times are told; an IANA name.
        #[arg(long, default_value = "UTC", value_name = "NAME")]
        time_zone: String,
        /// Where it is written to. Default: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The config file. Default: $STROP_CONFIG, else ./strop.toml, else /etc/strop/strop.toml, else a built-in one that
        /// serves a backend on 127.0.0.1:8001 at 127.0.0.1:8000.
        #[arg(short, long)]
        config: Option<PathBuf>,
    },
}

/// Forms of the service level report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SlaForm {
    /// One page for people, with plots; no scripts, nothing from elsewhere.
    Html,
    /// All figures, as one JSON document.
    Json,
    /// One row for each subject and day, and one for its month.
    Csv,
}

/// Forms of the review.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ReviewForm {
    /// For people, and for an issue tracker.
    Markdown,
    /// All facts, as one JSON document.
    Json,
}

/// Why there is none: 1: the store does not answer, or there is no such incident; 2: what was asked for cannot be.
struct ReportError(u8, String);

impl ReportError {
    fn asked(why: String) -> Self {
        Self(2, why)
    }

    fn found(why: impl ToString) -> Self {
        Self(1, why.to_string())
    }
}

/// Makes it. 0: it is written; 1: it cannot be made; 2: what was asked for cannot be, or the config cannot run.
pub(super) fn report(what: ReportCommand) -> ExitCode {
    let (config, out) = match &what {
        ReportCommand::Sla { config, out, .. } | ReportCommand::Review { config, out, .. } => {
            (config.clone(), out.clone())
        }
    };
    let config = match file::configured(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let work = async {
        let store = config.store.as_ref().ok_or_else(|| {
            ReportError::asked("store.url is \"off\": there is nothing to report from".to_owned())
        })?;
        super::store::there(store).map_err(ReportError::found)?;
        let reader = Reader::open(store).map_err(ReportError::found)?;
        made(&reader, what, &config).await
    };
    let made = wait(work).map_err(ReportError::found).and_then(|made| made);
    match made.and_then(|text| written(&text, out.as_deref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ReportError(code, why)) => {
            complain(&why);
            ExitCode::from(code)
        }
    }
}

fn written(text: &str, out: Option<&Path>) -> Result<(), ReportError> {
    let Some(path) = out else {
        say(text.strip_suffix('\n').unwrap_or(text));
        return Ok(());
    };
    std::fs::write(path, text)
        .map_err(|error| ReportError::found(format!("{} cannot be written: {error}", path.display())))
}

async fn made(reader: &Reader, what: ReportCommand, config: &Config) -> Result<String, ReportError> {
    let until = At(millis(clock::now().wall));
    let slo = config.watch.slo;
    let objectives = Objectives { uptime: slo.uptime.ratio(), requests: slo.success.ratio() };
    match what {
        ReportCommand::Sla { month, time_zone, format, hours, service, .. } => {
            let asked = SlaRequest {
                month: Month::read(&month).map_err(ReportError::asked)?,
                zone: Zone::read(&time_zone).map_err(ReportError::asked)?,
                hours: hours.as_deref().map(ServiceHours::read).transpose().map_err(ReportError::asked)?,
                service,
                until,
                objectives,
            };
            asked.has_begun().map_err(ReportError::asked)?;
            let sla = gather::sla(reader, &asked).await.map_err(ReportError::found)?;
            Ok(match format {
                SlaForm::Html => sla.html(),
                SlaForm::Json => sla.json(),
                SlaForm::Csv => sla.csv(),
            })
        }
        ReportCommand::Review { id, format, time_zone, .. } => {
            let zone = Zone::read(&time_zone).map_err(ReportError::asked)?;
            let found = gather::incident(reader, &id).await.map_err(ReportError::found)?;
            let incident = found.ok_or_else(|| ReportError::found(format!("no incident is named {id:?}")))?;
            let asked = review::ReviewRequest { zone, until, objectives };
            let review = gather::review(reader, &incident, &asked).await.map_err(ReportError::found)?;
            Ok(match format {
                ReviewForm::Markdown => review.markdown(),
                ReviewForm::Json => review.json(),
            })
        }
    }
}
