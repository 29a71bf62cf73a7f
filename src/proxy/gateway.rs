//! The story of an exchange. Read this first.
//!
//! One gateway per worker. It calls the others and they return: [`super::route`] says for whom a request is, the
//! upstream's gate (and its operation's) whether it may be called, `attempts` tries, [`super::forward`] makes one attempt,
//! [`reliability::verdict`] says how it went, [`reliability::retry`] whether once more. Who asked ([`super::serve`], [`super::serve_h2`]) sends the answer.
//!
//! [`reliability::verdict`]: crate::reliability::verdict
//! [`reliability::retry`]: crate::reliability::retry

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempts::Attempts;
use super::call::{Call, Origin};
use super::error::{ProxyError, Room};
use super::exchange::Exchange;
use super::forward::{Answer, Asker};
use super::front::Front;
use super::pulse::Pulse;
use super::route;
use crate::message::account::{self, Accounts};
use crate::message::body::Body;
use crate::message::fields;
use crate::message::head::{Method, RequestHead};
use crate::message::scratch::Scratch;
use crate::reliability::breaker::PermitRequest;
use crate::reliability::party::Party;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::telemetry::Telemetry;
use crate::telemetry::access::{Line, Writer};
use crate::telemetry::breakers::BreakerSeries;
use crate::telemetry::series::Outcome;
use crate::upstream::gate::Gate;
use crate::upstream::operations::Operation;
use crate::upstream::permit::{Permit, Permits};
use crate::upstream::pool::Pools;
use crate::upstream::registry::Registry;
use crate::upstream::{RouteEntry, Upstream};

/// What one worker needs to carry exchanges.
pub struct Gateway {
    /// Which worker this is.
    pub worker: usize,
    /// All upstreams and routes.
    pub registry: Arc<Registry>,
    /// All counters.
    pub telemetry: Arc<Telemetry>,
    /// This worker's connections.
    pub pools: Rc<Pools>,
    /// This worker's access lines.
    pub access: Rc<Writer>,
    /// Has this worker run all the time?
    pub pulse: Pulse,
    /// Who stands in front?
    pub front: Front,
    /// What its client connections hold.
    pub accounts: Rc<Accounts>,
    chance: Cell<u64>,
    /// The second in which lines of [`Self::unread`] were written last, and how many.
    unread: Cell<(u64, u32)>,
}

/// Access lines a second and worker about requests that could not be read: a flood of them is counted, not written.
const UNREAD: u32 = 20;

impl Gateway {
    /// The gateway of one worker; `seed` differs between workers and starts.
    pub fn new(worker: usize, registry: Arc<Registry>, telemetry: Arc<Telemetry>, seed: u64) -> Rc<Self> {
        let pools = Rc::new(Pools::default());
        let access = telemetry.access_log().writer();
        let pulse = Pulse::new(clock::instant());
        let (chance, unread) = (Cell::new(seed | 1), Cell::default());
        Rc::new(Self {
            worker,
            registry,
            telemetry,
            pools,
            access,
            pulse,
            front: Front::default(),
            accounts: Rc::default(),
            chance,
            unread,
        })
    }

    /// A number that nobody needs to be unable to guess: balancing, sampling, span ids (xorshift64*, Marsaglia and
    /// Vigna).
    pub fn draw(&self) -> u64 {
        let mut x = self.chance.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.chance.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A UUIDv7.
    pub fn new_request_id(&self, now: Instant) -> Scratch {
        let wall = clock::wall_at(now).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut noise = [0; 10];
        noise[..8].copy_from_slice(&self.draw().to_be_bytes());
        noise[8..].copy_from_slice(&self.draw().to_be_bytes()[..2]);
        let millis = u64::try_from(wall.as_millis()).unwrap_or_default();
        Scratch::from(&fields::uuid_v7(millis, noise)[..])
    }

    fn new_trace_id(&self) -> [u8; 16] {
        let id = u128::from(self.draw()) << 64 | u128::from(self.draw());
        id.max(1).to_be_bytes()
    }

    /// From when on a request counts as slow.
    pub fn slow_after(&self) -> Duration {
        self.registry.snapshot().config.latency.slow
    }

    /// A request of `client` was refused that could not be read: it is counted, and leaves a line.
    pub fn unread(&self, client: IpAddr, error: &ProxyError, request_id: &[u8], protocol: &'static str) {
        self.telemetry.malformed(error.label());
        let wall = clock::wall_at(clock::instant());
        let second = clock::unix_seconds(wall);
        let (last, before) = self.unread.get();
        let written = if last == second { before } else { 0 };
        if !self.telemetry.access_log().is_on() || written >= UNREAD {
            return;
        }
        self.unread.set((second, written + 1));
        self.access.write(&Line {
            wall,
            request_id,
            trace_id: None,
            client,
            method: b"",
            host: b"",
            path: b"",
            status: Some(error.status()),
            outcome: Outcome::ClientError.label(),
            reason: Some(error.label()),
            slow: false,
            way: b"",
            endpoint: b"",
            attempts: 0,
            tried: &[],
            first_byte: None,
            total: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            protocol,
        });
    }

    /// One exchange, from head to head. What is left of `body` is the caller's to drop.
    pub async fn handle(
        self: &Rc<Self>,
        head: &RequestHead,
        body: &mut Body,
        origin: &Origin<'_>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
        asker: Option<Asker<'_>>,
    ) -> Result<Answer, ProxyError> {
        let world = self.registry.snapshot(); // taken once: a reload cannot change the rules half-way
        let route = route::pick(&self.registry, &world, origin.entrance, head).await?;
        exchange.routed(Arc::clone(&route));
        limit(body, head, &route)?;
        self.room(&route, head, exchange)?;
        let span = self.draw().max(1).to_be_bytes();
        let mut call = Call::prepare(head, body, origin, exchange, span, || self.new_trace_id());
        if route.upstream.config.via {
            call.put_via();
        }
        // Whom HTTP/1.0 does not name, and who was asked by another name, is called by its own.
        let unnamed = head.authority.len == 0 || matches!(origin.entrance, route::Entrance::Local(_));
        if let (true, Some(endpoint)) = (unnamed, route.upstream.config.endpoints.first()) {
            call.rewrite_host(endpoint);
        }
        drop(world);
        let operations = &route.upstream.operations;
        let operation = operations.find(head.path_bytes());
        let pays = head.method == Method::Post
            && operations.takes_payment(head.path_bytes())
            && !fields::has_test_key(&head.store);
        let attempts = Attempts { pays, ..Attempts::new(self, &route, operation, asker, exchange) };
        attempts.run(&mut call, exchange, timer).await
    }

    /// Is there room for one more exchange of this client, and for what it may become?
    fn room(
        &self,
        route: &RouteEntry,
        head: &RequestHead,
        exchange: &mut Exchange,
    ) -> Result<(), ProxyError> {
        let upstream = &route.upstream;
        let client = Party::client(exchange.client);
        account::with_current(|account| account.begins(client, Arc::as_ptr(&upstream.gate) as usize));
        self.buffers(upstream, client, exchange.started)?;
        let full = |room| ProxyError::Full { upstream: upstream.config.name.clone(), room };
        if head.wants_upgrade {
            exchange.tunnel = Some(upstream.tunnel().ok_or_else(|| full(Room::Tunnels))?);
            return Ok(());
        }
        if let Some(shares) = &upstream.shares {
            let places = upstream.config.pool.connections;
            let held = shares.take(self.worker, client, places, exchange.started);
            exchange.held = Some(held.ok_or_else(|| full(Room::Share))?);
        }
        Ok(())
    }

    /// Is there memory for one more exchange of `client`? Where nobody shares the upstream, or nobody else is there, it may have
    /// what there is.
    fn buffers(&self, upstream: &Upstream, client: u32, now: Instant) -> Result<(), ProxyError> {
        let memory = &self.telemetry.memory;
        if !memory.is_tight() {
            return Ok(());
        }
        let shares = upstream.shares.as_ref();
        let greedy =
            memory.is_beyond_its_share(client) && shares.is_some_and(|all| !all.is_alone(client, now));
        if greedy || memory.is_used_up_for(client) { Err(ProxyError::NoMemory) } else { Ok(()) }
    }

    /// May the upstream be called, and its `operation`? `ask` is only called when a breaker is not plainly closed.
    pub fn admit<'a>(
        &self,
        route: &RouteEntry,
        operation: Option<&'a Operation>,
        now: Instant,
        ask: impl Fn() -> PermitRequest,
    ) -> Result<Permits<'a>, ProxyError> {
        let upstream = &route.upstream;
        let permit = self.leave(&upstream.gate, &upstream.series.breaker, now, &ask)?;
        let operation = match operation {
            // What is usual for the route says nothing of one operation.
            Some(operation) => {
                let ask = || PermitRequest { usual: None, ..ask() };
                Some((self.leave(&operation.gate, &operation.series, now, ask)?, operation))
            }
            None => None,
        };
        Ok(Permits { upstream: permit, operation })
    }

    fn leave(
        &self,
        gate: &Arc<Gate>,
        series: &BreakerSeries,
        now: Instant,
        ask: impl Fn() -> PermitRequest,
    ) -> Result<Permit, ProxyError> {
        match gate.admit(self.worker, now, self.draw(), ask) {
            Ok(permit) => {
                if permit.is_against_shadow() {
                    series.would_refuse(self.worker);
                }
                Ok(permit)
            }
            Err(refusal) => {
                series.refused(refusal.label());
                Err(ProxyError::Refused {
                    breaker: Arc::clone(&series.label),
                    reason: refusal.label(),
                    retry_after: refusal.retry_after(),
                })
            }
        }
    }
}

/// The body, no longer than the route allows. What announces itself as longer is refused at once.
fn limit(body: &mut Body, head: &RequestHead, route: &RouteEntry) -> Result<(), ProxyError> {
    if let Some(limit) = route.config.body_limit {
        if matches!(head.framing, crate::message::head::Framing::Length(bytes) if bytes > limit) {
            return Err(ProxyError::BodyTooLong);
        }
        body.limit(limit);
    }
    Ok(())
}
