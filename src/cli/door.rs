//! Orders to a running sidecar, by its admin port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::file;
use crate::config::listeners;
use crate::runtime::files;

/// Longer than checks of a runbook may take, and what the store is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const ANSWER: u64 = 4 << 20;

/// Bytes of the head of an answer.
const HEAD: u64 = 64 << 10;

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
        listen.set_ip(listeners::connected(listen.ip()));
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
        let length = order.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n"
        );
        let answer = self.sent(&head, order, |stream| {
            let mut answer = String::new();
            stream.take(ANSWER).read_to_string(&mut answer)?;
            Ok(answer)
        })?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        status.map(|status| (status, body.to_owned())).ok_or_else(|| "it speaks no HTTP".to_owned())
    }

    /// Reads a stream of events below `/api/v2/sre/`, each by its name and its data, until `each` has enough. An error: it was
    /// refused, or it broke off.
    pub(super) fn follow(
        &self,
        path: &str,
        mut each: impl FnMut(&str, &str) -> ControlFlow<()>,
    ) -> Result<(), String> {
        // HTTP/1.0: the bytes of the stream come without chunks.
        let head = format!("GET /api/v2/sre/{path} HTTP/1.0\r\nHost: localhost\r\n");
        let mut lines = self.sent(&head, "", |stream| {
            let mut lines = BufReader::new(stream).take(HEAD);
            let mut answer = String::new();
            while lines.read_line(&mut answer)? > 2 {}
            Ok((lines.into_inner(), answer))
        })?;
        let (lines, head) = (&mut lines.0, &lines.1);
        let status: Option<u16> = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        match status {
            Some(200) => {}
            Some(status) => {
                let mut body = String::new();
                let read = lines.take(ANSWER).read_to_string(&mut body);
                read.map_err(|error| format!("the answer broke off: {error}"))?;
                return Err(refused(status, &serde_json::from_str(&body).unwrap_or_default()));
            }
            None => return Err("it speaks no HTTP".to_owned()),
        }
        let (mut name, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            match lines.take(ANSWER).read_line(&mut line) {
                Ok(0) => return Err("it was cut off: the sidecar has gone".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("it was cut off: {error}")),
            }
            match line.trim_end_matches(['\r', '\n']).split_once(": ") {
                Some(("event", said)) => said.clone_into(&mut name),
                Some(("data", data)) if each(&name, data).is_break() => return Ok(()),
                Some(_) | None => {}
            }
        }
    }

    /// Sends a request to whichever of the addresses takes it, and what `read` has of the answer.
    fn sent<T>(
        &self,
        head: &str,
        body: &str,
        read: impl Fn(TcpStream) -> std::io::Result<T>,
    ) -> Result<T, String> {
        let Found { admin, token } = self.found()?;
        let token =
            token.map(|token| format!("Authorization: Bearer {}\r\n", token.trim())).unwrap_or_default();
        let request = format!("{head}{token}\r\n{body}");
        let all = admin.to_socket_addrs().map_err(|error| {
            format!("--admin {admin:?} leads nowhere: {error}; write HOST:PORT, such as 127.0.0.1:9901")
        })?;
        let mut told = format!("--admin {admin:?} has no address");
        for address in all {
            let asked = || -> std::io::Result<T> {
                let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(request.as_bytes())?;
                read(stream)
            };
            match asked() {
                Ok(answer) => return Ok(answer),
                Err(error) => told = format!("nobody answers at {address}: {error}"),
            }
        }
        Err(told)
    }
}

/// A value as a query says it: what has a meaning there is escaped.
pub(super) fn escaped(value: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~".contains(b);
    let letter = |b: u8| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    value.bytes().map(letter).collect()
}
