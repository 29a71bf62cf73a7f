//! Hyper's reading.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::reading::{End, Fields, Message, Reading, authority, fields};
use crate::wire::Wire;

fn of(map: &HeaderMap) -> Fields {
    fields(map.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

fn version(version: Version) -> String {
    format!("{version:?}")
}

fn request(request: &Request<Incoming>) -> Message {
    let (uri, fields) = (request.uri(), of(request.headers()));
    let start = [
        request.method().to_string(),
        uri.scheme_str().unwrap_or_default().to_owned(),
        authority(uri.authority().map(|authority| authority.as_str()), &fields),
        uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        version(request.version()),
    ];
    Message { start: start.into(), fields, ..Message::default() }
}

fn response(response: &Response<Incoming>) -> Message {
    let status = response.status();
    let reason = match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let start = [version(response.version()), status.as_u16().to_string(), reason];
    Message { start: start.into(), fields: of(response.headers()), ..Message::default() }
}

/// Reads the body to its end and adds it.
async fn with_body(mut message: Message, body: Incoming) -> Result<Message, String> {
    let body = body.collect().await.map_err(|error| format!("{error:?}"))?;
    message.trailers = body.trailers().map(of).unwrap_or_default();
    message.body = body.to_bytes().to_vec();
    Ok(message)
}

/// All requests, as hyper's server reads them.
pub(crate) async fn requests(bytes: &[u8], piece: usize) -> Reading {
    let wire = Wire::from_client(bytes, piece);
    let read: Rc<RefCell<Vec<Result<Message, String>>>> = Rc::default();
    let service = service_fn(|asked: Request<Incoming>| {
        let (read, head) = (Rc::clone(&read), request(&asked));
        async move {
            let message = with_body(head, asked.into_body()).await;
            read.borrow_mut().push(message);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(wire.clone()), Box::new(service));
    let ended = served.without_shutdown().await;
    let mut end = End::Over;
    let mut messages = Vec::new();
    for message in read.take() {
        match message {
            Ok(message) => messages.push(message),
            Err(error) => end = End::Broken(error),
        }
    }
    let mut rest = Vec::new();
    match ended {
        Ok(parts) => rest = [&parts.read_buf[..], &wire.rest()].concat(),
        Err(error) if end == End::Over => end = End::Broken(format!("{error:?}")),
        Err(_) => {}
    }
    Reading { messages, starts: Vec::new(), end, rest }
}

/// The answer to one request with the method `asked`, past its interim responses.
pub(crate) async fn answer(bytes: &[u8], piece: usize, asked: &str) -> Reading {
    let wire = Wire::from_server(bytes, piece);
    let (mut sender, mut conn) =
        hyper::client::conn::http1::handshake(TokioIo::new(wire.clone())).await.expect("no bytes are needed");
    let method = Method::from_bytes(asked.as_bytes()).expect("a method");
    let uri = if method == Method::CONNECT { "a:443" } else { "/" };
    let question = Request::builder().method(method).uri(uri).body(Empty::<Bytes>::new()).expect("a request");
    let exchange = async move {
        let answer = sender.send_request(question).await.map_err(|error| format!("{error:?}"))?;
        let head = response(&answer);
        // An upgraded connection's body would be the tunnel.
        with_body(head, answer.into_body()).await
    };
    let message = {
        let mut exchange = std::pin::pin!(exchange);
        let mut running = true;
        loop {
            tokio::select! {
                biased;
                message = &mut exchange => break message,
                _ = std::future::poll_fn(|cx| conn.poll_without_shutdown(cx)), if running => running = false,
            }
        }
    };
    let parts = conn.into_parts();
    let rest = [&parts.read_buf[..], &wire.rest()].concat();
    let (messages, end) = match message {
        Ok(message) => (vec![message], End::Last),
        Err(error) => (Vec::new(), End::Broken(error)),
    };
    Reading { messages, starts: Vec::new(), end, rest }
}
