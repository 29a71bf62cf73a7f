//! As little of an HTTP/2 client as it takes to ask one thing after the other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, ensure};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const HEAD: usize = 9;

/// A connection whose window never runs out within a test.
pub struct Http2 {
    stream: TcpStream,
    next: u32,
    room: Vec<u8>,
}

impl Http2 {
    pub fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        let rest = (1_u32 << 31) - 1 - 65_535;
        stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &rest.to_be_bytes()))?;
        Ok(Self { stream, next: 1, room: Vec::new() })
    }

    /// One exchange; an answer of another length than `wanted` is an error.
    pub fn ask(&mut self, method: &str, path: &str, body: usize, wanted: usize) -> anyhow::Result<()> {
        let number = self.next;
        self.next += 2;
        // Indexed: the scheme and, by name, path, authority and content-length; RFC 7541, appendix A.
        let mut block = vec![if method == "POST" { 0x83 } else { 0x82 }, 0x86, 0x04, path.len() as u8];
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(b"\x01\x0cshop.example");
        if method == "POST" {
            block.extend_from_slice(b"\x00\x0fidempotency-key\x07order-1");
            let length = body.to_string();
            block.extend_from_slice(&[0x0f, 0x0d, length.len() as u8]);
            block.extend_from_slice(length.as_bytes());
        }
        let end = if body == 0 { END_STREAM } else { 0 };
        let mut sent = frame(HEADERS, END_HEADERS | end, number, &block);
        if body > 0 {
            sent.extend_from_slice(&frame(DATA, END_STREAM, number, &vec![b'x'; body]));
        }
        self.stream.write_all(&sent)?;
        let mut there = 0;
        loop {
            let (kind, flags, of, length) = self.read()?;
            if kind == SETTINGS && flags & ACK == 0 {
                self.stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
            }
            ensure!(kind != GOAWAY, "stream {number}: GOAWAY {:?}", self.room);
            there += if kind == DATA { length } else { 0 };
            // 0x88: the indexed status 200.
            ensure!(kind != HEADERS || self.room.first() == Some(&0x88), "not a 200");
            if of == number && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                ensure!(there == wanted, "{there} bytes instead of {wanted}");
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> anyhow::Result<(u8, u8, u32, usize)> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).context("the connection ended")?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        self.room.resize(length, 0);
        self.stream.read_exact(&mut self.room)?;
        Ok((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), length))
    }
}

fn frame(kind: u8, flags: u8, number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(payload);
    out
}
