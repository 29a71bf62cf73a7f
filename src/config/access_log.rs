//! `[access_log]`: one line per exchange.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Percent, Text, Written};

/// `[access_log]` as written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
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
pub struct AccessLog {
    /// `None`: off.
    pub to: Option<AccessSink>,
    /// Share of plain successes that get a line, 0.0 to 1.0; errors and slow requests always get one.
    pub sample: f64,
    /// Query parameters are dropped unless listed here.
    pub keep_query: Vec<String>,
}

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessSink {
    /// Standard output.
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
    pub(super) fn log(&self) -> AccessLog {
        AccessLog {
            to: self.to.0.0.clone(),
            sample: self.sample.0.ratio(),
            keep_query: self.keep_query.clone(),
        }
    }
}
