//! Orders to a running sidecar, by its admin port.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::file;
use crate::runtime::files;

/// Longer than checks of a runbook may take, and what the store is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const ANSWER: u64 = 4 << 20;

/// Where a sidecar listens that says nothing else.
const USUAL: &str = "127.0.0.1:9901";

/// Which sidecar is asked, and as whom.
#[derive(Clone, Debug, Args)]
pub(super) struct AdminDoor {
    /// The admin port of that sidecar. Default: $STROP_ADMIN, else what the config file says that `run` would take, else
    /// 127.0.0.1:9901.
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// The file with the token of the admin port, where it asks for one. Default: the token in $STROP_ADMIN_TOKEN, else
    /// that of the config file which says where the port is.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// An address to ask, and the token to ask with.
struct Found {
    admin: String,
    token: Option<String>,
}

/// Who orders it: whoever was named, else the user that runs the command.
pub(super) fn who(actor: Option<String>) -> Option<String> {
    actor.or_else(|| std::env::var("USER").ok())
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// What a refusal of the API says.
fn refused(status: u16, answer: &Value) -> String {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    format!("{status}: {} ({})", text("detail"), text("hint"))
}

impl AdminDoor {
    fn found(&self) -> Result<Found, String> {
        let token = self.token_file.as_deref().map(files::read_to_string).transpose();
        let token = token.map_err(|error| format!("the token cannot be read: {error}"))?;
        let token = token.or_else(|| set("STROP_ADMIN_TOKEN"));
        if let Some(admin) = self.admin.clone().or_else(|| set("STROP_ADMIN")) {
            return Ok(Found { admin, token });
        }
        let Some(path) = file::found(None) else { return Ok(Found { admin: USUAL.to_owned(), token }) };
        let config = file::read(Some(&path), &file::overrides(None))
            .map_err(|problem| format!("{problem}\nwhich sidecar? write --admin HOST:PORT"))?;
        let token = token.or_else(|| Some(config.admin.token.as_ref()?.expose_secret().to_owned()));
        let mut listen = config.admin.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        Ok(Found { admin: listen.to_string(), token })
    }

    /// The same, of an answer in JSON; an error: it was refused, or nobody answered.
    pub(super) fn asked(&self, method: &str, path: &str, order: &str) -> Result<(Value, String), String> {
        let (status, body) = self.ask(method, path, order)?;
        let answer =
            serde_json::from_str(&body).map_err(|error| format!("the answer is no JSON: {error}"))?;
        if status == 200 { Ok((answer, body)) } else { Err(refused(status, &answer)) }
    }

    /// One request below `/api/v2/sre/`, to whichever of its addresses answers: the status and the body.
    pub(super) fn ask(&self, method: &str, path: &str, order: &str) -> Result<(u16, String), String> {
        self.ask_at(method, &format!("/api/v2/sre/{path}"), order)
    }

    /// The same, of any path.
    pub(super) fn ask_at(&self, method: &str, path: &str, order: &str) -> Result<(u16, String), String> {
        let Found { admin, token } = self.found()?;
        let token =
            token.map(|token| format!("Authorization: Bearer {}\r\n", token.trim())).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{order}",
            order.len()
        );
        let all = admin.to_socket_addrs().map_err(|error| {
            format!("--admin {admin:?} leads nowhere: {error}; write HOST:PORT, such as 127.0.0.1:9901")
        })?;
        let mut told = format!("--admin {admin:?} has no address");
        for address in all {
            let asked = || -> std::io::Result<String> {
                let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(request.as_bytes())?;
                let mut answer = String::new();
                stream.take(ANSWER).read_to_string(&mut answer)?;
                Ok(answer)
            };
            match asked() {
                Ok(answer) => {
                    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
                    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
                    return status
                        .map(|status| (status, body.to_owned()))
                        .ok_or_else(|| format!("{address} speaks no HTTP"));
                }
                Err(error) => told = format!("nobody answers at {address}: {error}"),
            }
        }
        Err(told)
    }
}
