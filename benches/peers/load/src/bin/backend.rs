//! The backend behind every proxy: one thread, one epoll, prepared answers.
//!
//! `GET /<size>`, and `/<route>/<size>`, answers that many bytes; anything else that is not known is 404. A body of a request is read by its
//! Content-Length and thrown away. It must never be what limits a measurement, so it does nothing else. It prints its
//! port and runs until it is killed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::net::{SendFlags, send};
use strop_peers_load::{content_length, head_end};

/// The bodies that exist, and their paths.
const SIZES: [(&str, usize); 3] = [("/small", 128), ("/64k", 64 << 10), ("/1m", 1 << 20)];
/// Bodies above this leave by `sendfile`.
const SHORT: usize = 4 << 10;
const LISTENER: u64 = u64::MAX;

fn main() -> io::Result<()> {
    let date = std::env::args().nth(1).unwrap_or_default();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?.port());
    Backend::new(listener, &date)?.run()
}

struct Backend {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    answers: Answers,
}

struct Connection {
    stream: TcpStream,
    /// What was read and is not yet understood: the start of a head.
    rest: Vec<u8>,
    /// Bytes of the request's body that are still to come; its answer follows them.
    body: usize,
    /// The answer that is due once the body is read, or that is being written, and from where.
    answer: Option<(usize, usize)>,
}

/// What one event did to a connection.
#[derive(PartialEq)]
enum Then {
    Stay,
    AwaitRoom,
    Close,
}

impl Backend {
    fn new(listener: TcpListener, date: &str) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let answers = Answers::new(date)?;
        Ok(Self { epoll, listener, connections: Vec::new(), free: Vec::new(), answers })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(512);
        let mut scratch = vec![0; 128 << 10];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    at => self.serve(at as usize, event.flags, &mut scratch)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or(self.connections.len());
            epoll::add(&self.epoll, &stream, EventData::new_u64(at as u64), EventFlags::IN)?;
            let connection = Connection { stream, rest: Vec::new(), body: 0, answer: None };
            if at == self.connections.len() {
                self.connections.push(Some(connection));
            } else {
                self.connections[at] = Some(connection);
            }
        }
        Ok(())
    }

    fn serve(&mut self, at: usize, flags: EventFlags, scratch: &mut [u8]) -> io::Result<()> {
        let Some(connection) = &mut self.connections[at] else { return Ok(()) };
        let data = EventData::new_u64(at as u64);
        let then = if flags.contains(EventFlags::OUT) {
            connection.write(&self.answers).unwrap_or(Then::Close)
        } else {
            connection.read(&self.answers, scratch).unwrap_or(Then::Close)
        };
        match then {
            Then::Stay if flags.contains(EventFlags::OUT) => {
                epoll::modify(&self.epoll, &connection.stream, data, EventFlags::IN)?;
            }
            Then::AwaitRoom if !flags.contains(EventFlags::OUT) => {
                epoll::modify(&self.epoll, &connection.stream, data, EventFlags::OUT)?;
            }
            Then::Close => {
                // Closing takes it out of the epoll.
                self.connections[at] = None;
                self.free.push(at);
            }
            Then::Stay | Then::AwaitRoom => {}
        }
        Ok(())
    }
}

impl Connection {
    fn read(&mut self, answers: &Answers, scratch: &mut [u8]) -> io::Result<Then> {
        let kept = self.rest.len();
        scratch[..kept].copy_from_slice(&self.rest);
        self.rest.clear();
        let read = match self.stream.read(&mut scratch[kept..]) {
            Ok(0) => return Ok(Then::Close),
            Ok(read) => kept + read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Then::Stay),
            Err(error) => return Err(error),
        };
        let mut bytes = &scratch[..read];
        while !bytes.is_empty() {
            if self.answer.is_none() {
                let Some(head) = head_end(bytes) else {
                    self.rest.extend_from_slice(bytes);
                    return if self.rest.len() > 16 << 10 { Ok(Then::Close) } else { Ok(Then::Stay) };
                };
                self.answer = Some((answers.find(&bytes[..head]), 0));
                self.body = content_length(&bytes[..head])?.unwrap_or(0);
                bytes = &bytes[head..];
            }
            let of_body = self.body.min(bytes.len());
            self.body -= of_body;
            bytes = &bytes[of_body..];
            if self.body == 0 && self.write(answers)? == Then::AwaitRoom {
                // No peer sends its next request before this answer.
                return if bytes.is_empty() { Ok(Then::AwaitRoom) } else { Ok(Then::Close) };
            }
        }
        Ok(Then::Stay)
    }

    fn write(&mut self, answers: &Answers) -> io::Result<Then> {
        let Some((which, mut from)) = self.answer else { return Ok(Then::Stay) };
        let answer = &answers.0[which];
        while from < answer.length() {
            match answer.write(from, &self.stream) {
                Ok(written) => from += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.answer = Some((which, from));
                    return Ok(Then::AwaitRoom);
                }
                Err(error) => return Err(error),
            }
        }
        self.answer = None;
        Ok(Then::Stay)
    }
}

/// The last one is the 404.
struct Answers(Vec<Answer>);

struct Answer {
    path: &'static str,
    /// The head, and the body if it is short.
    bytes: Vec<u8>,
    /// A long body goes from a file's pages to the socket without a copy: the backend's core must stay the idler one.
    file: Option<(File, usize)>,
}

impl Answers {
    fn new(date: &str) -> io::Result<Self> {
        let mut all = Vec::new();
        for (path, size) in SIZES {
            all.push(Answer::new(path, "200 OK", size, date)?);
        }
        all.push(Answer::new("", "404 Not Found", 0, date)?);
        Ok(Self(all))
    }

    fn find(&self, head: &[u8]) -> usize {
        let path = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        // Below /r0, /r1, …, where the load goes over many routes.
        let path = path.iter().rposition(|&byte| byte == b'/').map_or(path, |at| &path[at..]);
        self.0.iter().position(|answer| answer.path.as_bytes() == path).unwrap_or(self.0.len() - 1)
    }
}

impl Answer {
    fn new(path: &'static str, status: &str, size: usize, date: &str) -> io::Result<Self> {
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nServer: backend\r\nDate: {date}\r\nContent-Type: text/plain\r\n\
             Content-Length: {size}\r\n\r\n"
        )
        .into_bytes();
        let body = vec![b'x'; size];
        let file = if size > SHORT {
            let mut file = File::from(memfd_create("body", MemfdFlags::CLOEXEC)?);
            file.write_all(&body)?;
            Some((file, size))
        } else {
            bytes.extend(body);
            None
        };
        Ok(Self { path, bytes, file })
    }

    fn length(&self) -> usize {
        self.bytes.len() + self.file.as_ref().map_or(0, |(_, size)| *size)
    }

    /// Writes what fits, from this byte of the whole answer on.
    fn write(&self, from: usize, stream: &TcpStream) -> io::Result<usize> {
        match &self.file {
            Some((file, size)) if from >= self.bytes.len() => {
                let sent = from - self.bytes.len();
                Ok(sendfile(stream, file, Some(&mut (sent as u64)), size - sent)?)
            }
            Some(_) => Ok(send(stream, &self.bytes[from..], SendFlags::MORE | SendFlags::NOSIGNAL)?),
            None => Ok(send(stream, &self.bytes[from..], SendFlags::NOSIGNAL)?),
        }
    }
}
