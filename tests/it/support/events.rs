//! A stream of server-sent events, read as a browser does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use super::proxy::Proxy;

/// One stream. HTTP/1.0, so that its bytes come without chunks.
pub struct Stream(BufReader<TcpStream>);

#[derive(Debug, Default)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl Event {
    pub fn number(&self) -> u64 {
        self.id.rsplit_once('.').expect("a number").1.parse().expect("a number")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {}", self.data))
    }
}

impl Stream {
    /// A stream of the admin port, below /api/v2/sre/, with these fields in its request.
    pub fn open(proxy: &Proxy, query: &str, fields: &str) -> Self {
        let (code, stream) = Self::ask(proxy, query, fields);
        assert_eq!(code, 200, "{query}");
        stream
    }

    pub fn ask(proxy: &Proxy, query: &str, fields: &str) -> (u16, Self) {
        Self::of(proxy.admin(), query, fields)
    }

    pub fn of(address: SocketAddr, query: &str, fields: &str) -> (u16, Self) {
        Self::over(TcpStream::connect(address).expect("connects"), query, fields)
    }

    pub fn over(mut socket: TcpStream, query: &str, fields: &str) -> (u16, Self) {
        socket.set_read_timeout(Some(PATIENCE)).expect("sets");
        let request = format!("GET /api/v2/sre/{query} HTTP/1.0\r\nHost: localhost\r\n{fields}\r\n");
        socket.write_all(request.as_bytes()).expect("sends");
        let mut stream = Self(BufReader::new(socket));
        let head = stream.line().expect("a head");
        let code: u16 = head.split(' ').nth(1).expect("a status").parse().expect("a status");
        let mut kind = String::new();
        while let line = stream.line().expect("a head")
            && !line.is_empty()
        {
            if let Some(value) = line.to_lowercase().strip_prefix("content-type: ") {
                kind = value.to_owned();
            }
        }
        assert!(code != 200 || kind == "text/event-stream", "{kind}");
        (code, stream)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// The next event that says something; `None`: it has ended.
    pub fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut event.name),
                Some(("id", value)) => value.clone_into(&mut event.id),
                Some(("data", value)) => value.clone_into(&mut event.data),
                Some(("retry", value)) => assert_eq!(value, "2000"),
                _ if line.is_empty() && !event.name.is_empty() => return Some(event),
                _ => {}
            }
        }
    }
}
