//! Programs that other people wrote: clients to be carried, servers to be carried to.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::PATIENCE;

/// Variables that would change what a client does.
const AMBIENT: [&str; 16] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "ws_proxy",
    "wss_proxy",
    "grpc_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "REQUESTS_CA_BUNDLE",
];

/// A program that `tests/setup` installs.
pub fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    for variable in AMBIENT {
        command.env_remove(variable);
    }
    command
}

/// A Python script of tests/it/clients, with the packages of tests/requirements.txt.
pub fn python(script: &str) -> Command {
    let mut command = tool(&tests().join(".venv/bin/python").display().to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1").arg(path(script));
    command
}

/// A program that a package of tests/requirements.txt installs.
pub fn venv(name: &str) -> Command {
    tool(&tests().join(".venv/bin").join(name).display().to_string())
}

/// A file of tests/it/clients.
pub fn clients(name: &str) -> PathBuf {
    path(name)
}

/// A script of tests/it/clients for node.
pub fn node(script: &str) -> Command {
    let mut command = tool("node");
    command.arg(path(script));
    command
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn path(script: &str) -> PathBuf {
    tests().join("it/clients").join(script)
}

fn start(command: &mut Command) -> Child {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.unwrap_or_else(|error| panic!("{}: {error}; run tests/setup first", line(command)))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs it to its end; what it wrote to its standard output. It must succeed, and in time.
pub fn run(command: &mut Command) -> Vec<u8> {
    run_within(PATIENCE, command)
}

/// The same for what takes its time.
pub fn run_within(limit: Duration, command: &mut Command) -> Vec<u8> {
    let ran = finish_within(limit, command);
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout);
        let hint = if said.contains("No module named") { "; run tests/setup first" } else { "" };
        panic!("{} failed: {}{hint}\n{said}", line(command), ran.status);
    }
    ran.stdout
}

/// Runs it to its end, however it ends.
pub fn finish(command: &mut Command) -> Output {
    finish_within(PATIENCE, command)
}

fn finish_within(limit: Duration, command: &mut Command) -> Output {
    let child = start(command);
    let pid = child.id();
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    if let Ok(ran) = told.recv_timeout(limit) {
        return ran.expect("waits");
    }
    // Still running, so the number is still its own.
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    let ran = told.recv().expect("waits").expect("waits");
    panic!(
        "{command:?} hung: {}{}",
        String::from_utf8_lossy(&ran.stderr),
        String::from_utf8_lossy(&ran.stdout)
    )
}

/// A server that says where it listens, and ends with its owner.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it; it binds port 0 of the loopback and writes the port as its first line.
    pub fn start(command: &mut Command) -> Self {
        let mut child = start(command);
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let mut server = Self { child, address: ([127, 0, 0, 1], 0).into() };
        let noise = drain(err);
        match first_line(out).recv_timeout(PATIENCE).ok().and_then(|line| line.trim().parse().ok()) {
            Some(port) => server.address.set_port(port),
            None => {
                drop(server);
                panic!("{} did not say its port: {}", line(command), noise.recv().unwrap_or_default());
            }
        }
        server
    }

    /// Starts it; `port` finds the port of its listener in a line of its log, on standard error.
    #[allow(dead_code, reason = "of tests/parts")]
    pub fn start_logging(command: &mut Command, port: impl Fn(&str) -> Option<u16> + Send + 'static) -> Self {
        let mut child = start(command);
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let mut server = Self { child, address: ([127, 0, 0, 1], 0).into() };
        drain(out);
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                // Nobody listens any more once the port is known.
                let _ = tell.send(port(&line).ok_or(line));
            }
        });
        let mut log = Vec::new();
        while server.address.port() == 0 {
            match told.recv_timeout(PATIENCE) {
                Ok(Ok(port)) => server.address.set_port(port),
                Ok(Err(line)) => log.push(line),
                Err(_) => {
                    drop(server);
                    panic!("{} did not say its port: {}", line(command), log.join("\n"));
                }
            }
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line; the rest is read over, so that the server never waits for a reader.
fn first_line(out: ChildStdout) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let _ = tell.send(lines.next().unwrap_or_default());
        lines.for_each(drop);
    });
    told
}

fn drain(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = tell.send(String::from_utf8_lossy(&all).into_owned());
    });
    told
}
