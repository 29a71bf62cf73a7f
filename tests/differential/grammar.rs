//! Streams to read: mostly well formed, then damaged a little. The same seed gives the same streams.

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// The first one mostly.
    fn mostly<'a>(&mut self, usual: &'a str, from: &[&'a str]) -> &'a str {
        if self.once_in(8) { self.pick(from) } else { usual }
    }
}

const METHODS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "M-SEARCH",
    "A!#$%&'*+.^_`|~",
];
const TARGETS: &[&str] = &[
    "/",
    "/a/b?c=d&e",
    "*",
    "http://a.example/x",
    "HTTP://A.example:8080",
    "https://[::1]:8443/?q",
    "a.example:443",
    "a.example",
    "http://a/?q#f",
    "/#f",
    "http://a?q",
    "http://u@a/",
    "ftp://a/",
    "//a/b",
    "/\u{e9}",
    "/%7e%zz",
    "/a|b\"c<d>{e}^`\\",
    "/a b",
    "http://",
    "http:///x",
    "http://a:/x",
    "http://a:99999/x",
    "http://[::1/x",
    "http://a_b~c.d-e/",
    "?q",
    "",
];
const VERSIONS: &[&str] =
    &["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", ""];
const HOSTS: &[&str] = &[
    "a.example",
    "a.example:80",
    "[::1]:80",
    "",
    "a b",
    "a/b",
    "u@a",
    "a,b",
    "[::1",
    "a:x",
    "a:99999",
    "\u{e9}",
    "a%20b",
];
const PLAIN: &[&str] = &[
    "Accept: */*",
    "X-A: 1",
    "x-a: 2",
    "X-Empty:",
    "X-Blank: \t v \t ",
    "Cookie: a=b; c=d",
    "X-Text: caf\u{e9}",
    "Expect: 100-continue",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "TE: trailers",
    "Trailer: X-Sum",
    "Keep-Alive: timeout=5",
    "!#$%&'*+-.^_`|~: odd",
];
const CONNECTIONS: &[&str] = &[
    "Connection: close",
    "Connection: keep-alive",
    "Connection: upgrade",
    "Connection: close, keep-alive",
    "connection: Keep-Alive , Close",
    "Connection: x-a",
    "Connection:",
    "Connection: closed",
];
const BAD_FIELDS: &[&str] = &[
    "X-A : 1",
    " X-A: 1",
    "X-A: 1\r\n folded",
    "no colon",
    ": no name",
    "X-A: a\u{0}b",
    "X-A: a\rb",
    "X-(A): 1",
    "X-A: a\u{7f}b",
];
const FRAMINGS: &[&str] = &[
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Content-Length: 05",
    "Content-Length: 0000000000000000005",
    "Content-Length: 18446744073709551615",
    "Content-Length: 5 ",
    "Content-Length:",
    "Content-Length: 0x5",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: CHUNKED",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding:",
    "Transfer-Encoding: ,chunked",
];
const STATUSES: &[&str] = &[
    "200 OK",
    "200 ",
    "200",
    "201 Made",
    "204 No Content",
    "304 Not Modified",
    "404 Not Found",
    "500 \u{e9}",
    "101 Switching Protocols",
    "100 Continue",
    "103 Early Hints",
    "999 Odd",
    "099 Low",
    "20 OK",
    "2000 OK",
    "200  OK",
    "200\tOK",
];
const SIZES: &[&str] = &[
    "5",
    "05",
    "5;a=b",
    "5; q=\"x\"",
    "5 ",
    "5\t;a",
    "5;\u{1}",
    "000000000000000000005",
    "+5",
    "0x5",
    "6",
    "",
    "5;\u{e9}",
];
const TRAILERS: &[&str] = &[
    "X-Sum: 1",
    "x-more:",
    "Grpc-Status: 0",
    "Content-Length: 9",
    "Host: b",
    "Set-Cookie: a=b",
    "no colon",
    "X-A: 1\r\n folded",
    "X : 1",
    "X-A: a\rb",
    "X-A: 1\nX-B: 2",
];
/// What damage is made of.
const SNIPPETS: &[&str] = &[
    "\n", "\r", "\r\n", "\r\n\r\n", " ", "\t", ":", ",", ";", "\u{0}", "0", "1", "chunked", "close", "#",
    "/", "\u{b}", "5\r\n",
];

/// Requests, one after the other.
pub(crate) fn requests(dice: &mut Dice) -> Vec<u8> {
    let mut out = String::new();
    for _ in 0..=dice.below(3) {
        while dice.once_in(12) {
            out.push_str(dice.pick(&["\r\n", "\r\n\r\n", "\n", " "]));
        }
        let usual = dice.pick(&METHODS[..6]);
        let method = dice.mostly(usual, METHODS);
        let target = dice.mostly(if method == "CONNECT" { "a.example:443" } else { "/a?b" }, TARGETS);
        let version = dice.mostly("HTTP/1.1", VERSIONS);
        let blank = dice.mostly(" ", &["  ", "\t", ""]);
        out.push_str(&format!("{method}{blank}{target} {version}\r\n"));
        if !dice.once_in(16) {
            out.push_str(&format!("Host: {}\r\n", dice.mostly("a.example", HOSTS)));
        }
        let has_body = !matches!(method, "GET" | "HEAD" | "CONNECT") || dice.once_in(8);
        rest(dice, &mut out, has_body);
    }
    damaged(dice, out)
}

/// One answer, perhaps after interim ones, perhaps with something behind it.
pub(crate) fn answer(dice: &mut Dice) -> Vec<u8> {
    let mut out = String::new();
    for last in [false, true] {
        if !last && !dice.once_in(6) {
            continue;
        }
        let version = dice.mostly("HTTP/1.1", VERSIONS);
        let status = if last { dice.pick(STATUSES) } else { dice.pick(&["100 Continue", "103 Early Hints"]) };
        out.push_str(&format!("{version} {status}\r\n"));
        rest(dice, &mut out, last && !status.starts_with("10"));
    }
    damaged(dice, out)
}

/// Fields and a body.
fn rest(dice: &mut Dice, out: &mut String, has_body: bool) {
    let mut lines: Vec<&str> = (0..dice.below(4)).map(|_| dice.pick(PLAIN)).collect();
    if dice.once_in(4) {
        lines.push(dice.pick(CONNECTIONS));
    }
    if dice.once_in(16) {
        lines.push(dice.pick(BAD_FIELDS));
    }
    let body = match (has_body, dice.below(10)) {
        (false, _) => String::new(),
        (true, 0..=3) => {
            lines.push("Content-Length: 5");
            "hello".to_owned()
        }
        (true, 4..=7) => {
            lines.push("Transfer-Encoding: chunked");
            chunked(dice)
        }
        (true, 8) => {
            lines.push(dice.pick(FRAMINGS));
            if dice.once_in(2) { chunked(dice) } else { "hello".to_owned() }
        }
        (true, _) => String::new(),
    };
    if !lines.is_empty() {
        let at = dice.below(lines.len());
        lines.rotate_left(at);
    }
    lines.iter().for_each(|line| out.push_str(&format!("{line}\r\n")));
    out.push_str("\r\n");
    out.push_str(&body);
}

fn chunked(dice: &mut Dice) -> String {
    let mut out = String::new();
    for _ in 0..dice.below(3) {
        if dice.once_in(6) {
            out.push_str(&format!("{}\r\nhello\r\n", dice.pick(SIZES)));
            continue;
        }
        let size = 1 + dice.below(300);
        let data = "0\r\n5 GET".repeat(size).split_off(size * 7);
        let line = if dice.once_in(2) { format!("{size:x}") } else { format!("{size:02X}") };
        out.push_str(&format!("{line}\r\n{data}\r\n"));
    }
    out.push_str(dice.mostly("0\r\n", &["00\r\n", "0;last\r\n", "0 \r\n", "0\n"]));
    for _ in 0..dice.below(3) {
        out.push_str(&format!("{}\r\n", dice.mostly("X-Sum: 1", TRAILERS)));
    }
    out.push_str("\r\n");
    out
}

fn damaged(dice: &mut Dice, text: String) -> Vec<u8> {
    // Bytes above 0x7f come as they are in UTF-8, and torn.
    let mut bytes = text.into_bytes();
    let wounds = if dice.once_in(2) { 0 } else { 1 + dice.below(2) };
    for _ in 0..wounds {
        let at = dice.below(bytes.len());
        match dice.below(5) {
            0 => drop(bytes.remove(at)),
            1 => bytes[at] = dice.below(256) as u8,
            2 => bytes.truncate(at + 1),
            _ => drop(bytes.splice(at..at, dice.pick(SNIPPETS).bytes())),
        }
        if bytes.is_empty() {
            bytes.push(b'G');
        }
    }
    bytes
}
