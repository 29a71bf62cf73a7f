//! Which config file a command takes, and what is in it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output::complain;
use crate::app::trial;
use crate::config::{self, Config};
use crate::runtime::files;

/// What runs without a file: the smallest useful sidecar.
const BUILT_IN: &str = include_str!("../../config/strop.toml");

/// Where a config file is looked for, in this order.
const PLACES: [&str; 2] = ["strop.toml", "/etc/strop/strop.toml"];

/// The process' overrides; `backend` is one more.
pub(super) fn overrides(backend: Option<&str>) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        std::env::vars().filter(|(name, _)| name.starts_with(config::read::PREFIX)).collect();
    all.sort();
    if let Some(backend) = backend {
        let plain = backend.trim_start_matches("http://").trim_end_matches('/');
        all.push((config::read::BACKEND.0.to_owned(), format!("[{plain:?}]")));
    }
    all
}

/// The file that was named, else the one the environment names, else the first that is there.
pub(super) fn found(named: Option<PathBuf>) -> Option<PathBuf> {
    let set = || std::env::var_os("STROP_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let there =
        || PLACES.iter().map(PathBuf::from).find(|path| files::look(path).is_ok_and(|file| file.is_file()));
    named.or_else(set).or_else(there)
}

/// The config that `run` would run. Where there is none, the reason has been printed, and this is the exit code.
pub(super) fn configured(named: Option<PathBuf>) -> Result<Config, ExitCode> {
    read(found(named).as_deref(), &overrides(None)).map_err(|problem| {
        complain(&problem);
        ExitCode::from(2)
    })
}

/// The text of a file and its name, or of what runs without one.
pub(super) fn text_of(path: Option<&Path>) -> Result<(String, String), String> {
    let Some(path) = path else { return Ok((BUILT_IN.to_owned(), "the built-in config".to_owned())) };
    let text =
        files::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok((text, path.display().to_string()))
}

/// The config of a file, or of what runs without one.
pub(super) fn read(path: Option<&Path>, env: &[(String, String)]) -> Result<Config, String> {
    let (text, source) = text_of(path)?;
    trial::load(&text, &source, env).map_err(|problems| problems.to_string())
}
