//! What is sent to the upstream for one exchange: the client's head, our edits, the body.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use super::keys;
use super::route::Entrance;
use crate::config;
use crate::message::body::Body;
use crate::message::fields::{self, Trace};
use crate::message::h1::write::Edits;
use crate::message::head::{Framing, Known, KnownSet, Method, RequestHead};
use crate::message::scratch::Scratch;
use crate::message::websocket;
use crate::reliability::breaker::{Fitness, PermitRequest};
use crate::reliability::idempotency::{KeyPolicy, VouchedKey};
use crate::reliability::retry::{Repeatable, Twice};
use crate::upstream::pool::Carried;

/// One request, ready to be attempted.
pub struct PreparedCall<'a> {
    /// As the client sent it.
    pub head: &'a RequestHead,
    /// Given to the attempt; comes back when that fails, perhaps without its start ([`Body::is_whole_again`]).
    pub body: &'a mut Body,
    /// Field lines to add.
    add: Scratch,
    drop: KnownSet,
    /// Sent as `Host` in the place of the client's; `None`: the client's.
    host: Option<String>,
    /// The backend reads fields that we set under other spellings too.
    no_twins: bool,
    /// By which its upstream knows it again.
    key: Option<VouchedKey>,
}

/// The field lines that tell the backend who its client is. They are the same for all requests of a connection that
/// name the same authority, so they are kept with it.
pub struct ForwardedFields {
    authority: Box<[u8]>,
    lines: Box<[u8]>,
}

impl ForwardedFields {
    fn new(authority: &[u8], origin: &Origin<'_>) -> Self {
        let mut lines = Scratch::from(&b"x-forwarded-for: "[..]);
        fields::put_ip(&mut lines, origin.peer);
        lines.extend_from_slice(b"\r\nx-forwarded-proto: ");
        lines.extend_from_slice(origin.proto());
        lines.extend_from_slice(b"\r\nx-forwarded-host: ");
        lines.extend_from_slice(authority);
        lines.extend_from_slice(b"\r\nforwarded: ");
        put_forwarded(&mut lines, authority, origin);
        lines.extend_from_slice(b"\r\n");
        Self { authority: authority.into(), lines: lines.as_slice().into() }
    }
}

/// Appends one element of `Forwarded`.
fn put_forwarded(out: &mut Vec<u8>, authority: &[u8], origin: &Origin<'_>) {
    fields::put_forwarded_for(out, origin.peer);
    out.extend_from_slice(b";host=\"");
    out.extend_from_slice(authority);
    out.extend_from_slice(b"\";proto=");
    out.extend_from_slice(origin.proto());
}

impl Origin<'_> {
    fn proto(&self) -> &'static [u8] {
        if self.secure { b"https" } else { b"http" }
    }
}

/// Who asked, and how.
pub struct Origin<'a> {
    /// The way in that the request took.
    pub entrance: &'a Entrance,
    /// The address of the connection.
    pub peer: std::net::IpAddr,
    /// Did the client use TLS?
    pub secure: bool,
    /// Proxies in front that are believed.
    pub trusted_hops: u8,
    /// Does a trace begin here?
    pub begin_traces: bool,
    /// What the last request of its connection told the backend of its client; `None`: there was none.
    pub forwarded: &'a RefCell<Option<Box<ForwardedFields>>>,
}

impl<'a> PreparedCall<'a> {
    /// Prepares the head's edits.
    pub fn prepare(
        head: &'a RequestHead,
        body: &'a mut Body,
        origin: &Origin<'_>,
        exchange: &mut Exchange,
        span: [u8; 8],
        new_trace: impl FnOnce() -> [u8; 16],
    ) -> Self {
        let ingress = *origin.entrance == Entrance::Ingress;
        let (add, drop) = (Scratch::default(), KnownSet::default());
        let mut call = Self { head, body, add, drop, host: None, no_twins: ingress, key: None };
        if ingress {
            call.forwarded(origin);
            call.replace(Known::RequestId, head, exchange.request_id());
            call.drop = call.drop.with(Known::SreDegraded);
        }
        call.trace(ingress && origin.begin_traces, exchange, span, new_trace);
        call
    }

    /// Says in `Via` that the request came through here. Not to vendors by default: nginx does
    /// not compress for proxies.
    pub fn put_via(&mut self) {
        self.add.extend_from_slice(b"via: ");
        self.add.extend_from_slice(self.head.version.label().as_bytes());
        self.add.extend_from_slice(b" strop\r\n");
    }

    /// Tells the application how much of the service is given up. What a client says of that is left out in any case.
    pub fn put_degraded(&mut self, told: &str) {
        self.line(Known::SreDegraded, told.as_bytes());
    }

    /// Sets a field, unless the client sent that very value, and not for this hop only.
    fn replace(&mut self, field: Known, head: &RequestHead, value: &[u8]) {
        let store = &head.store;
        let mut sent = store.fields.iter().filter(|sent| sent.known == field);
        if let (Some(only), None) = (sent.next(), sent.next())
            && !only.hop
            && only.value.of(&store.bytes) == value
        {
            return;
        }
        self.drop = self.drop.with(field);
        self.line(field, value);
    }

    fn line(&mut self, field: Known, value: &[u8]) {
        self.add.extend_from_slice(field.text().as_bytes());
        self.add.extend_from_slice(b": ");
        self.add.extend_from_slice(value);
        self.add.extend_from_slice(b"\r\n");
    }

    /// `X-Forwarded-*` and `Forwarded` (RFC 7239): begun anew, or continued behind trusted proxies.
    fn forwarded(&mut self, origin: &Origin<'_>) {
        const OURS: KnownSet = KnownSet::of(&[
            Known::XForwardedFor,
            Known::XForwardedProto,
            Known::XForwardedHost,
            Known::Forwarded,
        ]);
        if origin.trusted_hops > 0 {
            return self.continued(origin);
        }
        self.drop = self.drop.and(OURS);
        let authority = self.head.authority_bytes();
        let mut forwarded = origin.forwarded.borrow_mut();
        if forwarded.as_ref().is_none_or(|known| *known.authority != *authority) {
            *forwarded = Some(Box::new(ForwardedFields::new(authority, origin)));
        }
        if let Some(known) = forwarded.as_ref() {
            self.add.extend_from_slice(&known.lines);
        }
    }

    fn continued(&mut self, origin: &Origin<'_>) {
        let store = &self.head.store;
        self.drop = self.drop.with(Known::XForwardedFor).with(Known::Forwarded);
        let mut value = Scratch::default();
        let before = |value: &mut Scratch, field: Known| {
            for earlier in store.all(field) {
                value.extend_from_slice(earlier);
                value.extend_from_slice(b", ");
            }
        };
        before(&mut value, Known::XForwardedFor);
        fields::put_ip(&mut value, origin.peer);
        self.line(Known::XForwardedFor, &value);
        // What `Connection` nominates does not arrive, so nobody may nominate these away.
        let told = |field| store.fields.iter().any(|sent| sent.known == field && !sent.hop);
        if !told(Known::XForwardedProto) {
            self.replace(Known::XForwardedProto, self.head, origin.proto());
        }
        if !told(Known::XForwardedHost) {
            self.replace(Known::XForwardedHost, self.head, self.head.authority_bytes());
        }
        value.clear();
        before(&mut value, Known::Forwarded);
        put_forwarded(&mut value, self.head.authority_bytes(), origin);
        self.line(Known::Forwarded, &value);
    }

    /// Continues the trace. What does not sample decides for nobody: one is begun, as sampled, only where that is
    /// asked for, for requests that come in. A `traceparent` that is not valid goes, and its `tracestate` with it
    /// (W3C Trace Context, section 3.2.2.4).
    fn trace(
        &mut self,
        begin: bool,
        exchange: &mut Exchange,
        span: [u8; 8],
        new_trace: impl FnOnce() -> [u8; 16],
    ) {
        const SAMPLED: u8 = 1;
        let store = &self.head.store;
        let sent = Trace::of(store);
        if sent.is_none() && store.fields.iter().any(|field| field.known == Known::Traceparent) {
            self.drop = self.drop.with(Known::Traceparent).with(Known::Tracestate);
        }
        let trace = match sent {
            Some(trace) => trace,
            None if begin => Trace { trace_id: new_trace(), parent: [0; 8], flags: SAMPLED },
            None => return,
        };
        exchange.trace = Some((trace, span));
        self.drop = self.drop.with(Known::Traceparent);
        self.add.extend_from_slice(b"traceparent: ");
        trace.write(span, &mut self.add);
        self.add.extend_from_slice(b"\r\n");
    }

    /// Sends the request to `host` instead of the authority that the client named.
    pub fn rewrite_host(&mut self, endpoint: &config::Endpoint) {
        let host = match &endpoint.host {
            config::Host::Name(name) => name.text.clone(),
            config::Host::Address(std::net::IpAddr::V6(v6)) => format!("[{v6}]"),
            config::Host::Address(v4) => v4.to_string(),
        };
        self.host =
            Some(if matches!(endpoint.port, 80 | 443) { host } else { format!("{host}:{}", endpoint.port) });
    }

    /// The edits of the head.
    pub fn edits(&self) -> Edits<'_> {
        Edits {
            drop: self.drop,
            add: &self.add,
            host: self.host.as_deref(),
            no_twins: self.no_twins,
            foreign: true,
        }
    }

    /// How the body is framed towards an HTTP/1.1 upstream.
    pub fn framing(&self) -> Framing {
        match self.head.framing {
            Framing::Stream | Framing::UntilClose => Framing::Chunked,
            framing @ (Framing::None | Framing::Length(_) | Framing::Chunked) => framing,
        }
    }

    /// Finds the key by which its upstream knows it again; none of its attempts begins before `first`.
    pub fn find_key(&mut self, keys: &KeyPolicy, first: Instant) {
        self.key = keys::vouched(self.head, keys, first);
    }

    /// Gives a write that has no key one, where its upstream keeps keys of such.
    pub fn give_key(&mut self, keys: &KeyPolicy, first: Instant) {
        self.key = keys::give(self.head, keys, first, &mut self.add).or(self.key);
    }

    /// May it be under way twice at once?
    pub fn may_be_hedged(&self) -> bool {
        is_safe(self.head) && !self.head.wants_upgrade && !self.head.expects_continue
    }

    /// The same once more, to be sent beside it. Only of what [may be](Self::may_be_hedged): it has no body.
    pub fn twin<'b>(&self, body: &'b mut Body) -> PreparedCall<'b>
    where
        'a: 'b,
    {
        PreparedCall {
            head: self.head,
            body,
            add: Scratch::from(&**self.add),
            drop: self.drop,
            host: self.host.clone(),
            no_twins: self.no_twins,
            key: None,
        }
    }

    /// What a breaker that is not plainly closed wants to know of it; `usual`: how long its route takes to answer.
    pub fn permit_request(&self, usual: Option<Duration>) -> PermitRequest {
        let fitness = if is_safe(self.head) {
            Fitness::Safe
        } else if self.body.is_whole() {
            Fitness::Whole
        } else {
            Fitness::Streamed
        };
        PermitRequest { fitness, usual }
    }

    /// What a connection has to carry for it.
    pub fn carried(&self) -> Carried {
        match self.head.wants_upgrade {
            true if websocket::is_asked_for(self.head) => Carried::WebSocket,
            true => Carried::Upgrade,
            false => Carried::Request(self.head.method),
        }
    }

    /// What may be repeated of it.
    pub fn repeatable(&self) -> Repeatable {
        Repeatable { twice: twice(self.head, self.key), whole: self.body.is_whole_again() }
    }
}

/// What a request does that reaches its upstream twice, with the key that is vouched for.
pub(super) fn twice(head: &RequestHead, key: Option<VouchedKey>) -> Twice {
    match key {
        _ if is_safe(head) => Twice::Bare,
        _ if has_safe_method(head) => Twice::Safe,
        _ if head.method.is_idempotent() => Twice::Idempotent,
        Some(key) => Twice::Keyed(key),
        None => Twice::Harm,
    }
}

fn has_safe_method(head: &RequestHead) -> bool {
    matches!(head.method, Method::Get | Method::Head | Method::Options)
}

/// GET, HEAD or OPTIONS without a body?
fn is_safe(head: &RequestHead) -> bool {
    has_safe_method(head) && matches!(head.framing, Framing::None | Framing::Length(0))
}
