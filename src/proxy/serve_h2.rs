//! Serves one HTTP/2 connection: hyper speaks, the same gateway answers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::answer::answer_fields;
use super::error::ProxyError;
use super::forward::{self, Answer};
use super::reply;
use super::serve::Client;
use crate::message::account::Charged;
use crate::message::body::Body;
use crate::message::h1::write::Edits;
use crate::message::h2::{self, Ended, OnEnd, Outgoing, Streamed};
use crate::message::head::{Framing, Method, RequestHead, Version};
use crate::message::io::Io;
use crate::runtime::clock;
use crate::runtime::tasks;
use crate::runtime::timer::Deadline;

/// Charges what hyper's tasks of a connection hold to the connection.
#[derive(Clone)]
struct Beside<P>(tasks::LocalExec<P>);

impl<F, P> hyper::rt::Executor<F> for Beside<P>
where
    F: Future<Output = ()> + 'static,
    P: Fn() + Clone + 'static,
{
    fn execute(&self, task: F) {
        match Charged::beside(task) {
            Ok(charged) => self.0.execute(charged),
            Err(task) => self.0.execute(task),
        }
    }
}

/// Serves a connection that speaks HTTP/2.
pub async fn connection(client: Client, io: Io) {
    let client = Rc::new(client);
    let serving = Rc::clone(&client);
    let service = hyper::service::service_fn(move |request| {
        let client = Rc::clone(&serving);
        async move { Ok::<_, std::convert::Infallible>(serve(&client, request).await) }
    });
    let limits = &client.limits;
    let telemetry = Arc::clone(&client.gateway.telemetry);
    let mut serving = pin!(
        hyper::server::conn::http2::Builder::new(Beside(tasks::LocalExec(move || telemetry.panicked())))
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(Some(20))
            .adaptive_window(true)
            .keep_alive_interval(Some(limits.keep_alive))
            .serve_connection(TokioIo::new(io), service)
    );
    let mut leaving = pin!(client.drain.requested());
    let mut asked = false;
    poll_fn(|cx| {
        if !asked && leaving.as_mut().poll(cx).is_ready() {
            asked = true;
            serving.as_mut().graceful_shutdown();
        }
        // How a connection ends is told by its streams.
        serving.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

async fn serve(client: &Client, request: http::Request<Incoming>) -> http::Response<Outgoing> {
    let (parts, incoming) = request.into_parts();
    let head = match h2::request_head(&parts, &incoming, client.limits.header_count) {
        Ok(head) => head,
        Err(malformed) => {
            let (id, error) =
                (client.gateway.new_request_id(clock::instant()), ProxyError::Malformed(malformed));
            client.gateway.unread(client.peer.ip(), &error, &id, Version::H2.label());
            let (head, body) = reply::of(&error, Method::Other, id.text());
            return response(&Answer::own(head, Body::empty()), &Edits::default(), body, None);
        }
    };
    exchange(client, &head, Body::h2(Streamed::new(incoming))).await
}

async fn exchange(client: &Client, head: &RequestHead, body: Body) -> http::Response<Outgoing> {
    let mut exchange = client.exchange(head, clock::instant());
    let mut timer = Deadline::default();
    let handled = if head.method == Method::Connect {
        Err(ProxyError::WrongMethod { method: "CONNECT over HTTP/2".to_owned() })
    } else {
        client.gateway.handle(head, body, &client.origin(), &mut exchange, &mut timer, None).await
    };
    let mut answer = match handled {
        Ok(answer) => answer,
        Err(error) => {
            exchange.refused(&error, clock::instant());
            let (head, body) = reply::of(&error, head.method, exchange.request_id().text());
            Answer::own(head, body)
        }
    };
    let add = answer_fields(&answer.head, &exchange);
    let foreign = answer.is_foreign();
    let body = std::mem::replace(&mut answer.body, Body::empty());
    let lease = answer.lease.take();
    let unfinished = body.carries();
    let sent = answer.sent.take();
    let on_end: OnEnd = Box::new(move |ended, body| {
        match ended {
            Ended::Whole => {
                if let (false, Some(lease)) = (unfinished, lease) {
                    lease.give_back(clock::instant());
                }
            }
            Ended::Broken => exchange.broke(true),
            Ended::Left => exchange.broke(false),
        }
        exchange.bytes_in.set(forward::uploaded(sent.as_deref(), body));
        exchange.close(body.passed());
    });
    response(&answer, &Edits { add: &add, foreign, ..Edits::default() }, body, Some(on_end))
}

fn response(
    answer: &Answer,
    edits: &Edits<'_>,
    body: Body,
    on_end: Option<OnEnd>,
) -> http::Response<Outgoing> {
    let head = h2::response(&answer.head, edits).unwrap_or_else(|_| {
        let mut empty = http::Response::new(());
        *empty.status_mut() = http::StatusCode::BAD_GATEWAY;
        empty
    });
    // The head ends the stream of an answer without a body: what gRPC calls Trailers-Only is told by that alone.
    let none = answer.head.framing == Framing::None || body.is_over();
    let mut outgoing = Outgoing::new(body, on_end);
    if none {
        outgoing.finish_empty();
    }
    head.map(|()| outgoing)
}
