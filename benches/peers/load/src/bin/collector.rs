//! `collector PORT FILE`: takes log lines from one TCP connection and appends them to a file.
//!
//! For HAProxy, which writes no files: its ring sends lines here. It reads rarely and much, so that it costs next to
//! nothing beside the proxy whose core it shares. It ends with the connection.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(10);

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(port), Some(file)) = (words.next(), words.next()) else {
        return Err(io::Error::other("usage: collector PORT FILE"));
    };
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    let mut block = vec![0; 512 << 10];
    loop {
        let (mut lines, _) = listener.accept()?;
        let mut any = false;
        loop {
            let read = lines.read(&mut block)?;
            if read == 0 {
                break;
            }
            file.write_all(&block[..read])?;
            any = true;
            std::thread::sleep(PAUSE);
        }
        // A connection without a line was someone who looked whether it listens.
        if any {
            return Ok(());
        }
    }
}
