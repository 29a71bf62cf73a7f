//! As much HTTP/1.1 as the two ends of a measurement need.

use std::io;

/// Where the head ends, its empty line included.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The length of the body that follows this head; no field, no length. A chunked body is not spoken here.
pub fn content_length(head: &[u8]) -> io::Result<Option<usize>> {
    for line in head.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let value = line[colon + 1..].trim_ascii();
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            return length.ok_or_else(not_spoken).map(Some);
        }
        if line[..colon].eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(not_spoken());
        }
    }
    Ok(None)
}

fn not_spoken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a body that is not framed by Content-Length")
}
