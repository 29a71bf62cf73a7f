//! The plainest reading of the grammar that there is (RFC 9112), to compare with.

/// A field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// All of it, without CRLF.
    pub raw: &'a [u8],
    /// Up to the colon.
    pub name: &'a [u8],
    /// After it, without blanks around.
    pub value: &'a [u8],
}

impl Line<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A head that was accepted: its start line and its fields. Fails where an accepted head may not be so.
pub fn head(bytes: &[u8]) -> (&[u8], Vec<Line<'_>>) {
    assert!(bytes.ends_with(b"\r\n\r\n"), "a head ends with an empty line");
    assert_eq!(find(bytes, b"\r\n\r\n"), Some(bytes.len() - 4), "and with the first one");
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n'), "a bare CR"),
            b'\n' => assert!(at > 0 && bytes[at - 1] == b'\r', "a bare LF"),
            _ => {}
        }
    }
    let mut lines = split(&bytes[..bytes.len() - 4]).into_iter();
    let start = lines.next().expect("there is always one");
    (start, lines.map(line).collect())
}

/// The field lines of a trailer section that was accepted.
pub fn section(bytes: &[u8]) -> Vec<Line<'_>> {
    split(bytes.strip_suffix(b"\r\n\r\n").expect("ends")).into_iter().map(line).collect()
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(at) = find(rest, b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines
}

/// The most fields that a trailer section may have.
const MOST_TRAILERS: usize = 64;

/// Is this a trailer section, and nothing beside?
pub fn is_section(bytes: &[u8]) -> bool {
    let Some(lines) = bytes.strip_suffix(b"\r\n\r\n").map(split) else { return bytes == b"\r\n" };
    lines.len() <= MOST_TRAILERS && lines.iter().all(|raw| field(raw).is_some())
}

pub fn line(raw: &[u8]) -> Line<'_> {
    field(raw).unwrap_or_else(|| panic!("no field line: {:?}", String::from_utf8_lossy(raw)))
}

/// A name that is a token, a colon, and a value without control characters.
fn field(raw: &[u8]) -> Option<Line<'_>> {
    let colon = raw.iter().position(|b| *b == b':')?;
    let (name, value) = (&raw[..colon], blank_trimmed(&raw[colon + 1..]));
    let is_name = !name.is_empty() && name.iter().all(|b| is_tchar(*b));
    let fits = value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f));
    (is_name && fits).then_some(Line { raw, name, value })
}

pub fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub fn blank_trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The names that `Connection` nominates, in lower case.
pub fn nominated(lines: &[Line<'_>]) -> Vec<Vec<u8>> {
    let lists = lines.iter().filter(|line| line.is("connection"));
    lists
        .flat_map(|line| line.value.split(|b| *b == b','))
        .map(|token| blank_trimmed(token).to_ascii_lowercase())
        .filter(|token| !token.is_empty() && token != b"close" && token != b"keep-alive")
        .collect()
}

/// Does a field stay on its hop?
pub fn is_hop(line: &Line<'_>, nominated: &[Vec<u8>]) -> bool {
    let own = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "upgrade",
        "http2-settings",
    ];
    own.iter().any(|name| line.is(name)) || nominated.contains(&line.name.to_ascii_lowercase())
}

/// What a chunked body is.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunks {
    Whole { data: Vec<u8>, trailer: Vec<u8>, used: usize },
    Cut,
    Bad,
}

/// Reads a chunked body that is there in one piece. `most_extension` and `most_trailer` as the decoder's.
pub fn chunks(input: &[u8], most_extension: usize, most_trailer: usize) -> Chunks {
    let mut reader = Cursor { input, at: 0 };
    let mut data = Vec::new();
    let mut extension = 0;
    loop {
        let size = match reader.size_line(&mut extension, most_extension) {
            Ok(size) => size,
            Err(end) => return end,
        };
        if size == 0 {
            return reader.trailer(data, most_trailer);
        }
        let there = &input[reader.at..];
        if (there.len() as u64) < size {
            return Chunks::Cut;
        }
        data.extend_from_slice(&there[..size as usize]);
        reader.at += size as usize;
        for wanted in b"\r\n" {
            match reader.next() {
                Some(byte) if byte == *wanted => {}
                Some(_) => return Chunks::Bad,
                None => return Chunks::Cut,
            }
        }
    }
}

struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.input.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn size_line(&mut self, extension: &mut usize, most: usize) -> Result<u64, Chunks> {
        let mut digits = String::new();
        let mut byte = self.next().ok_or(Chunks::Cut)?;
        while byte.is_ascii_hexdigit() {
            digits.push(byte as char);
            if digits.len() > 16 {
                return Err(Chunks::Bad);
            }
            byte = self.next().ok_or(Chunks::Cut)?;
        }
        let size = u64::from_str_radix(&digits, 16).map_err(|_| Chunks::Bad)?;
        if byte == b';' {
            byte = self.next().ok_or(Chunks::Cut)?;
            while byte != b'\r' {
                *extension += 1;
                if *extension > most || byte == 0x7f || (byte < b' ' && byte != b'\t') {
                    return Err(Chunks::Bad);
                }
                byte = self.next().ok_or(Chunks::Cut)?;
            }
        }
        if byte != b'\r' {
            return Err(Chunks::Bad);
        }
        match self.next() {
            Some(b'\n') if size <= i64::MAX as u64 => Ok(size),
            Some(_) => Err(Chunks::Bad),
            None => Err(Chunks::Cut),
        }
    }

    fn trailer(&mut self, data: Vec<u8>, most: usize) -> Chunks {
        let rest = &self.input[self.at..];
        let end = if rest.starts_with(b"\r\n") { Some(2) } else { find(rest, b"\r\n\r\n").map(|at| at + 4) };
        let seen = &rest[..end.unwrap_or(rest.len())];
        let bare = seen.iter().enumerate().any(|(at, b)| *b == b'\n' && (at == 0 || seen[at - 1] != b'\r'));
        match end {
            _ if bare || seen.len() > most => Chunks::Bad,
            None => Chunks::Cut,
            Some(end) => Chunks::Whole { data, trailer: seen.to_vec(), used: self.at + end },
        }
    }
}
