//! A client that sends exactly what it is told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;

/// One response as it came.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

pub struct Client {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("sets");
        Self { stream, ahead: Vec::new() }
    }

    /// A client of another address: 127.0.0.`last`.
    pub fn from(last: u8, to: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into()).expect("binds");
        socket.connect(&to.into()).expect("connects");
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(PATIENCE)).expect("sets");
        Self { stream, ahead: Vec::new() }
    }

    /// Asks for `/`; the status.
    pub fn get(&mut self) -> u16 {
        self.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        self.response(false).expect("an answer").status
    }

    /// `None`: nobody is there.
    pub fn try_to(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self { stream, ahead: Vec::new() })
    }

    /// Sends; a proxy that has already refused may have closed.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = self.stream.write_all(bytes);
        self
    }

    pub fn half_close(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    fn more(&mut self) -> bool {
        let mut block = [0; 16 * 1024];
        match self.stream.read(&mut block) {
            Ok(0) => false,
            Ok(n) => {
                self.ahead.extend_from_slice(&block[..n]);
                true
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                panic!("nothing came for {PATIENCE:?}; so far: {:?}", String::from_utf8_lossy(&self.ahead))
            }
            Err(_) => false,
        }
    }

    /// All bytes up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.ahead)
    }

    /// The next head; `None`: the connection has ended.
    pub fn head(&mut self) -> Option<(u16, String)> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.ahead[..end + 2]).into_owned();
                self.ahead.drain(..end + 4);
                let status = head.split(' ').nth(1)?.parse().ok()?;
                return Some((status, head));
            }
            if !self.more() {
                return None;
            }
        }
    }

    pub fn exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < n {
            if !self.more() {
                return None;
            }
        }
        Some(self.ahead.drain(..n).collect())
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n") {
                let line = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.drain(..end + 2);
                return Some(line);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next response with its body; `None`: it was not whole.
    pub fn response(&mut self, to_head: bool) -> Option<Response> {
        let (status, head) = self.head()?;
        let mut response = Response { status, head, body: Vec::new() };
        if to_head || matches!(status, 100..=199 | 204 | 304) {
            return Some(response);
        }
        if response.field("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).expect("a plain chunk size");
                if size == 0 {
                    while let line = self.line()?
                        && !line.is_empty()
                    {
                        response.head.push_str(&format!("trailer-{line}\r\n"));
                    }
                    return Some(response);
                }
                response.body.extend(self.exactly(size)?);
                assert_eq!(self.line()?, "");
            }
        }
        match response.field("content-length").map(|n| n.parse().expect("a length")) {
            Some(length) => response.body = self.exactly(length)?,
            None => response.body = self.rest(),
        }
        Some(response)
    }
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Response {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"))
}

/// One request on a connection of its own, in the protocol that this run of the suite is about.
pub fn ask(address: SocketAddr, request: &str) -> Response {
    if super::h2::is_asked_for() && super::h2::can_say(request) {
        super::h2::ask(address, request)
    } else {
        ask_http1(address, request)
    }
}

/// One request on a connection of its own.
pub fn ask_http1(address: SocketAddr, request: &str) -> Response {
    let mut client = Client::to(address);
    client.send(request.as_bytes());
    client.response(request.starts_with("HEAD")).unwrap_or_default()
}
