//! An attempt by HTTP/2: hyper speaks.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::client::conn::http2::SendRequest;

use super::watch::{AttemptWatch, Got};
use super::{Answer, Attempt, broke_off};
use crate::message::body::Body;
use crate::message::h1::upload::Remainder;
use crate::message::h2::{self, Outgoing, SendProgress, Streamed};
use crate::message::head::Method;
use crate::proxy::call::PreparedCall;
use crate::proxy::error::ProxyError;
use crate::reliability::retry::Sent;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// What hyper says of a request that got no answer.
#[derive(Clone, Copy)]
enum Unsent {
    /// It gave the whole request back.
    Whole,
    /// Some of it may have left.
    Unknown,
}

impl Attempt<'_> {
    pub(super) async fn over_h2(
        &self,
        call: &mut PreparedCall<'_>,
        mut sender: SendRequest<Outgoing>,
        number: u64,
        timer: &mut Deadline,
    ) -> Result<Answer, ProxyError> {
        let progress = Rc::<SendProgress>::default();
        let request = self.h2_request(call, &progress)?;
        let mut response = pin!(async {
            match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await.map_err(|mut refused| {
                    let unsent = refused.take_message().map_or(Unsent::Unknown, |_| Unsent::Whole);
                    (unsent, refused.into_error())
                }),
                Err(error) => Err((Unsent::Whole, error)),
            }
        });
        let mut watch = AttemptWatch::new(self, clock::instant());
        let answered = poll_fn(|cx| {
            if let Some(waiting) = self.waiting {
                // That the client is gone is noticed by the watch.
                let _ = waiting.conn.poll_queue(cx);
            }
            if let Poll::Ready(done) = response.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let (passed, over) = (progress.passed.get(), progress.over.get());
            let got = Got { passed, over, waits: progress.waits.get(), uninvited: false, interim: 0 };
            watch.poll(cx, timer, got).map(Err)
        })
        .await;
        match answered {
            Err(error) => {
                *call.body = progress.take_back();
                Err(error)
            }
            Ok(Err((unsent, error))) => {
                *call.body = progress.take_back();
                Err(self.no_answer(unsent, &error, &progress, number))
            }
            Ok(Ok(response)) => {
                progress.confirm();
                self.answer_h2(response, call.head.method, progress)
            }
        }
    }

    /// Why there is none.
    fn no_answer(
        &self,
        unsent: Unsent,
        error: &hyper::Error,
        progress: &SendProgress,
        number: u64,
    ) -> ProxyError {
        let sent = match unsent {
            Unsent::Whole => Sent::Nothing,
            Unsent::Unknown if h2::was_refused(error) => Sent::Refused,
            Unsent::Unknown => Sent::Maybe,
        };
        // What the client did not say to its end is nothing that the upstream has done.
        if let Some(why) = progress.broke.take() {
            return broke_off(why);
        }
        if sent != Sent::Maybe {
            self.pools.spent(self.route.upstream.key(self.endpoint.id), number);
        }
        ProxyError::Broken {
            upstream: self.name(),
            sent,
            begun: false,
            local: None,
            cause: error.to_string(),
        }
    }

    fn h2_request(
        &self,
        call: &mut PreparedCall<'_>,
        progress: &Rc<SendProgress>,
    ) -> Result<http::Request<Outgoing>, ProxyError> {
        let secure = self.route.upstream.tls.is_some();
        let head = h2::request(call.head, &call.edits(), secure)
            .map_err(|_| ProxyError::Malformed(crate::message::h1::Malformed::Target))?;
        // A client that waits for 100 is told to go on: towards the upstream there is flow control for that.
        if let (true, Some(waiting)) = (call.head.expects_continue, self.waiting) {
            waiting.conn.queue(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let body = std::mem::replace(call.body, Body::empty());
        Ok(head.map(|()| Outgoing::new(body, None).watched(Rc::clone(progress))))
    }

    fn answer_h2(
        &self,
        response: http::Response<hyper::body::Incoming>,
        asked: Method,
        progress: Rc<SendProgress>,
    ) -> Result<Answer, ProxyError> {
        let (parts, incoming) = response.into_parts();
        let head = h2::response_head(&parts, &incoming, asked).map_err(|malformed| ProxyError::Nonsense {
            upstream: self.name(),
            cause: malformed.to_string(),
        })?;
        Ok(Answer {
            head,
            body: Body::h2(Streamed::new(incoming)),
            remainder: Remainder::default(),
            lease: None,
            sent: Some(progress),
        })
    }
}
