//! `strop env` and `strop exec`: what an application needs in its environment to send its requests through the sidecar.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::file;
use super::output::{complain, say};
use crate::config::{Config, listeners};

/// Who is never asked for by way of the forward proxy.
const OWN: &str = "localhost,127.0.0.1,::1";
/// Files of roots, as clients name them. Each stands in the place of a client's own roots, but for the last one, which is added.
const ROOTS: [&str; 4] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", ADDED_ROOTS];
const ADDED_ROOTS: &str = "NODE_EXTRA_CA_CERTS";

/// What is set, from which file.
#[derive(Debug, Args)]
pub(super) struct EnvArgs {
    /// The config file; found as `strop run` finds it.
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// A host that is not asked for through the sidecar, such as .cluster.local; may be given several times.
    #[arg(long, value_name = "HOST")]
    no_proxy: Vec<String>,
    /// A file with all roots that the application is to trust, PEM: the system's and one of an upstream's ca_file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// How variables are printed.
#[derive(Debug, Args)]
pub(super) struct EnvPrintArgs {
    #[command(flatten)]
    env: EnvArgs,
    /// For whom they are written.
    #[arg(long, value_enum, default_value_t = EnvForm::Bash)]
    shell: EnvForm,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Who reads the variables.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum EnvForm {
    /// Also for sh and zsh: eval "$(strop env)".
    Bash,
    /// strop env --shell fish | source.
    Fish,
    /// A file .env.
    Dotenv,
    /// A file for docker run --env-file.
    Docker,
    /// Entries of a container's env.
    Kubernetes,
}

/// An application that is started.
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    env: EnvArgs,
    /// The application and its arguments, behind --.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Variables, and what is to be said beside them.
#[derive(Default)]
struct AppEnv {
    variables: Vec<(String, String)>,
    remarks: Vec<String>,
}

/// How an application on this machine reaches a listener; `None`: its port is not known before it listens.
fn reached(listen: SocketAddr) -> Option<SocketAddr> {
    (listen.port() > 0).then(|| SocketAddr::new(listeners::connected(listen.ip()), listen.port()))
}

impl AppEnv {
    fn of(config: &Config, args: &EnvArgs) -> Result<Self, String> {
        let mut env = Self::default();
        match &config.egress {
            Some(egress) => env.proxy(egress.listen, &args.no_proxy),
            None => env.remarks.push("there is no [egress]: no proxy is set".to_owned()),
        }
        for upstream in &config.upstreams {
            if let Some(local) = upstream.local {
                let name = upstream.name.as_str().to_ascii_uppercase().replace('-', "_");
                match reached(local) {
                    Some(local) => env.set(&format!("{name}_BASE_URL"), format!("http://{local}")),
                    None => env.unknown(&format!("upstreams.{}.local", upstream.name)),
                }
            }
        }
        env.roots(config, args.ca.as_deref())?;
        Ok(env)
    }

    fn set(&mut self, name: &str, value: String) {
        self.variables.push((name.to_owned(), value));
    }

    fn unknown(&mut self, key: &str) {
        self.remarks.push(format!("{key} has port 0, which is known only once it listens: write a port"));
    }

    fn proxy(&mut self, listen: SocketAddr, no_proxy: &[String]) {
        let Some(listen) = reached(listen) else { return self.unknown("egress.listen") };
        let spared =
            std::iter::once(OWN).chain(no_proxy.iter().map(String::as_str)).collect::<Vec<_>>().join(",");
        let url = format!("http://{listen}");
        // Which case a client reads depends on its library: curl reads http_proxy in lower case alone.
        for (name, value) in [("HTTP_PROXY", &url), ("HTTPS_PROXY", &url), ("NO_PROXY", &spared)] {
            self.set(name, value.clone());
            self.set(&name.to_ascii_lowercase(), value.clone());
        }
        // Node.js heeds them only then.
        self.set("NODE_USE_ENV_PROXY", "1".to_owned());
    }

    /// Through a tunnel the application itself verifies the upstream: it needs the roots of those with roots of their own.
    fn roots(&mut self, config: &Config, named: Option<&Path>) -> Result<(), String> {
        if let Some(file) = named {
            let held = crate::runtime::files::read_to_string(file)
                .map_err(|error| format!("--ca {} cannot be read: {error}", file.display()))?;
            if !held.contains("-----BEGIN CERTIFICATE-----") {
                return Err(format!("--ca {} holds no certificate in PEM", file.display()));
            }
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
            ROOTS.iter().for_each(|name| self.set(name, file.display().to_string()));
            return Ok(());
        }
        let tunnelled = config.upstreams.iter().filter(|upstream| !upstream.hosts.is_empty());
        let own: BTreeSet<_> =
            tunnelled.filter_map(|upstream| upstream.tls.as_ref()?.ca_file.clone()).collect();
        let mut own = own.into_iter();
        match (own.next(), own.next()) {
            (None, _) => {}
            (Some(file), None) => {
                let file = std::path::absolute(&file).unwrap_or(file).display().to_string();
                self.remarks.push(format!(
                    "what is no Node.js application trusts {file} only when it is joined with the system's roots; write --ca BUNDLE"
                ));
                self.set(ADDED_ROOTS, file);
            }
            (Some(_), Some(_)) => {
                self.remarks.push(
                    "several upstreams have a ca_file: join them with the system's roots and write --ca BUNDLE".to_owned(),
                );
            }
        }
        Ok(())
    }
}

/// For a shell: nothing in it means anything.
fn quoted(value: &str, quote_inside: &str) -> String {
    format!("'{}'", value.replace('\'', quote_inside))
}

fn line(form: EnvForm, name: &str, value: &str) -> String {
    match form {
        EnvForm::Bash => format!("export {name}={}", quoted(value, r"'\''")),
        EnvForm::Fish => format!("set -gx {name} {}", quoted(value, r"\'")),
        EnvForm::Dotenv => format!("{name}=\"{value}\""),
        EnvForm::Docker => format!("{name}={value}"),
        EnvForm::Kubernetes => format!("- name: {name}\n  value: {}", Value::from(value)),
    }
}

fn found(args: &EnvArgs) -> Result<AppEnv, ExitCode> {
    let config = file::configured(args.config.clone())?;
    let env = AppEnv::of(&config, args).map_err(|problem| {
        complain(&problem);
        ExitCode::from(2)
    })?;
    env.remarks.iter().for_each(|remark| complain(&format!("note: {remark}")));
    Ok(env)
}

/// Prints the variables.
pub(super) fn print(args: &EnvPrintArgs) -> ExitCode {
    let env = match found(&args.env) {
        Ok(env) => env,
        Err(code) => return code,
    };
    if args.json {
        let all: Map<String, Value> =
            env.variables.into_iter().map(|(name, value)| (name, value.into())).collect();
        say(&Value::from(all).to_string());
        return ExitCode::SUCCESS;
    }
    if matches!(args.shell, EnvForm::Docker) {
        say(
            "# For a container in the network namespace of the sidecar: docker run --network container:NAME --env-file FILE",
        );
    }
    env.variables.iter().for_each(|(name, value)| say(&line(args.shell, name, value)));
    ExitCode::SUCCESS
}

/// Becomes the application: signals reach it, and its exit code is this one's.
pub(super) fn exec(args: &ExecArgs) -> ExitCode {
    let env = match found(&args.env) {
        Ok(env) => env,
        Err(code) => return code,
    };
    let Some((program, arguments)) = args.command.split_first() else { return ExitCode::from(2) };
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in &env.variables {
        // What the application is told to spare already stays so.
        let before =
            std::env::var(name).ok().filter(|text| name.eq_ignore_ascii_case("NO_PROXY") && !text.is_empty());
        command.env(name, before.map_or_else(|| value.clone(), |before| format!("{value},{before}")));
    }
    let error = command.exec();
    complain(&format!("{} cannot be started: {error}", program.to_string_lossy()));
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}
