//! `[access_log]`: one line per exchange.

use std::path::{Path, PathBuf};

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use crate::runtime::files;
use crate::units::{Percent, Text, Written};

/// The table `[access_log]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogFile {
    /// "stdout", "off" or "file:PATH".
    pub to: Text<AccessTo>,
    /// Share of plain successes that get a line.
    pub sample: Text<Percent>,
    /// Query parameters whose values are shown.
    pub keep_query: Vec<String>,
}

impl Default for AccessLogFile {
    fn default() -> Self {
        Self {
            to: Text(AccessTo(Some(AccessSink::Stdout))),
            sample: Text(Percent::WHOLE),
            keep_query: Vec::new(),
        }
    }
}

/// `[access_log]` as it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLogConfig {
    /// Where lines are written; `None`: no access log is kept.
    pub to: Option<AccessSink>,
    /// Share of plain successes that get a line, 0.0 to 1.0; errors and slow requests always get one.
    pub sample: f64,
    /// Query parameters are dropped unless listed here.
    pub keep_query: Vec<String>,
}

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessSink {
    Stdout,
    /// Appended; opened again on reload and SIGHUP.
    File(PathBuf),
}

/// What is written for it; `None`: nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTo(Option<AccessSink>);

impl Written for AccessTo {
    const LIKE: &'static str = r#""stdout", "off" or "file:PATH""#;
    const PATTERN: &'static str = "^(stdout|off|file:.+)$";

    fn read(text: &str) -> Option<Self> {
        match (text, text.strip_prefix("file:")) {
            ("off", _) => Some(Self(None)),
            ("stdout", _) => Some(Self(Some(AccessSink::Stdout))),
            (_, Some(path)) if !path.is_empty() => Some(Self(Some(AccessSink::File(PathBuf::from(path))))),
            _ => None,
        }
    }

    fn write(&self) -> String {
        match &self.0 {
            None => "off".to_owned(),
            Some(AccessSink::Stdout) => "stdout".to_owned(),
            Some(AccessSink::File(path)) => format!("file:{}", path.display()),
        }
    }
}

impl AccessLogFile {
    /// Notes a file that cannot be written to.
    pub(super) fn check(&self, mut at: Part<'_, '_>) {
        let Some(AccessSink::File(path)) = &self.to.0.0 else { return };
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if files::look(path).is_ok_and(|file| file.is_dir()) {
            at.add("to", format!("{path:?} is a directory; write \"file:\" and the path of a file in it"));
        } else if !files::look(above).is_ok_and(|file| file.is_dir()) {
            at.add("to", format!("there is no directory {above:?}; make it, or write another path"));
        }
    }

    pub(super) fn log(&self) -> AccessLogConfig {
        AccessLogConfig {
            to: self.to.0.0.clone(),
            sample: self.sample.0.ratio(),
            keep_query: self.keep_query.clone(),
        }
    }
}
