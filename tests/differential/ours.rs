//! Strop's reading.

use std::future::poll_fn;
use std::rc::Rc;

use strop::message::body::{Body, BodyError};
use strop::message::buf::Buf;
use strop::message::h1::conn::{H1Conn, HeadError};
use strop::message::h1::parse::HeadLimits;
use strop::message::head::{Framing, HeadStore, Method, RequestHead, ResponseHead, Version};
use strop::message::io::Io;
use tokio::io::AsyncReadExt;

use crate::reading::{End, Fields, Message, Reading, fields};
use crate::wire::Wire;

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 100 };

struct Reader {
    wire: Wire,
    conn: Rc<H1Conn>,
    len: usize,
    reading: Reading,
}

impl Reader {
    fn new(bytes: &[u8], piece: usize) -> Self {
        let wire = Wire::from_client(bytes, piece);
        let conn = H1Conn::new(Io::Boxed(Box::new(wire.clone())), Buf::default(), None);
        let reading = Reading { messages: Vec::new(), starts: Vec::new(), end: End::Over, rest: Vec::new() };
        Self { wire, conn, len: bytes.len(), reading }
    }

    fn begin(&mut self) {
        let ahead = self.conn.stream().peek(<[u8]>::len);
        self.reading.starts.push(self.len - self.wire.rest().len() - ahead);
    }

    fn refuse(&mut self, error: HeadError) {
        self.reading.end = match error {
            HeadError::Malformed(why) => End::Refused(why),
            HeadError::Closed => End::Over,
            HeadError::Io(_) | HeadError::Truncated | HeadError::NoMemory => End::Broken(error.to_string()),
        };
    }

    /// Notes the message with its body; is there to be another one?
    async fn message(&mut self, mut message: Message, framing: Framing, last: bool) -> bool {
        let read = collect(Body::h1(&self.conn, framing)).await;
        match read {
            Ok((body, trailers)) => (message.body, message.trailers) = (body, trailers),
            Err(error) => {
                self.reading.end = match error {
                    BodyError::Malformed(why) => End::Refused(why),
                    BodyError::Broken(_)
                    | BodyError::Reset
                    | BodyError::TooLong
                    | BodyError::Idle
                    | BodyError::Request => End::Broken(error.to_string()),
                };
                return false;
            }
        }
        self.reading.messages.push(message);
        if last {
            self.reading.end = End::Last;
        }
        !last
    }

    async fn done(self) -> Reading {
        let (mut io, _) = self.conn.into_io().expect("no body holds it");
        let mut reading = self.reading;
        io.read_to_end(&mut reading.rest).await.expect("a stream in memory");
        reading
    }
}

async fn collect(mut body: Body) -> Result<(Vec<u8>, Fields), BodyError> {
    let mut all = Vec::new();
    while poll_fn(|cx| body.poll_data(cx)).await? > 0 {
        all.extend_from_slice(body.data());
        body.consume(body.data().len());
    }
    let trailers = body.trailers().map(|store| of(&store)).unwrap_or_default();
    Ok((all, trailers))
}

fn of(store: &HeadStore) -> Fields {
    fields(store.fields.iter().map(|field| (field.name.of(&store.bytes), field.value.of(&store.bytes))))
}

fn version(version: Version) -> String {
    format!("HTTP/{}", version.label())
}

fn request(head: &RequestHead) -> Message {
    let path = if head.method == Method::Connect { "".into() } else { head.origin_form() };
    let start = [
        head.method_text().to_owned(),
        head.store.text(head.scheme).to_ascii_lowercase(),
        head.authority().to_owned(),
        path.into_owned(),
        version(head.version),
    ];
    Message { start: start.into(), fields: of(&head.store), ..Message::default() }
}

fn response(head: &ResponseHead) -> Message {
    let reason = String::from_utf8_lossy(head.reason.of(&head.store.bytes)).into_owned();
    let start = [version(head.version), head.status.to_string(), reason];
    Message { start: start.into(), fields: of(&head.store), ..Message::default() }
}

/// All requests, as the server side reads them.
pub(crate) async fn requests(bytes: &[u8], piece: usize) -> Reading {
    let mut reader = Reader::new(bytes, piece);
    loop {
        reader.begin();
        match poll_fn(|cx| reader.conn.poll_request(cx, LIMITS)).await {
            Ok(head) => {
                let last = !head.keeps_alive || head.method == Method::Connect;
                if !reader.message(request(&head), head.framing, last).await {
                    break;
                }
            }
            Err(error) => {
                reader.refuse(error);
                break;
            }
        }
    }
    reader.done().await
}

/// The answer to one request with the method `asked`, past its interim responses.
pub(crate) async fn answer(bytes: &[u8], piece: usize, asked: &str) -> Reading {
    let asked = Method::of(asked.as_bytes());
    let mut reader = Reader::new(bytes, piece);
    reader.begin();
    loop {
        match poll_fn(|cx| reader.conn.poll_response(cx, LIMITS, asked)).await {
            Ok(head) if head.status < 200 && head.status != 101 => {}
            Ok(head) => {
                let tunnel = asked == Method::Connect && (200..300).contains(&head.status);
                let framing = if tunnel { Framing::None } else { head.framing };
                reader.message(response(&head), framing, true).await;
                break;
            }
            Err(error) => {
                reader.refuse(error);
                break;
            }
        }
    }
    reader.done().await
}
