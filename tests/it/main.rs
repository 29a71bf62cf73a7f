//! The product from outside: a real binary, real sockets, real clients. Nothing here links the library.

#![expect(unreachable_pub, reason = "one binary: nothing here is reached from outside")]
#![allow(clippy::disallowed_methods, reason = "a test is its own clock")]

/// The server that the store's own tests start.
#[path = "../store/postgres.rs"]
#[allow(dead_code, reason = "shared with the store's tests")]
mod postgres;
mod support;

/// What the operator's port answers, and to whom.
mod admin_api;
/// The operator's port under a flood: it answers whoever has a token.
mod admin_port;
/// What is answered is true, and what cannot be answered is told how to ask.
mod answers;
mod application;
/// Who changed what is written down, and stays so.
mod audit;
mod autoscaler;
/// Copies of the store by the clock, and damaged files of it.
mod backups;
/// Several endpoints: which one, what when it fails, what its checks say.
mod balance;
/// What a key says is true of both versions of HTTP.
mod both;
/// Breakers trip, refuse, probe, recover; operators hold them.
mod breaker;
/// Connections that pass the egress by are seen.
mod bypass;
mod caches;
/// Who is called through what, and what a channel that was away is told.
mod calls;
mod canary;
/// What was checked can run: what cannot is refused, what is dangerous is told, by check, start and reload alike.
mod checked;
mod checked_live;
/// Real clients pass through unchanged.
mod clients;
/// A clock that is set while it runs.
mod clocks;
/// What the command line does and says.
mod command_line;
/// What others build on: metric names, the API, the command line. A change here is a change for them.
mod concurrency;
mod config_command;
mod contract;
/// Who is late is told so, and nobody else.
mod deadlines;
/// What clients get when an upstream cannot answer, and what the application is told of it.
mod degradation;
mod demo;
/// When descriptors run out, what an operator needs has its own.
mod descriptors;
mod doctor;
/// A fault that is injected on purpose: who meets it, what is measured, what ends it.
mod drills;
/// The way out: forward proxy, tunnels, local listeners, the address guard.
mod egress;
/// What was measured stands on an incident's timeline.
mod evidence;
mod explained;
/// A second group of endpoints serves while the first one is ill.
mod failover;
/// One client does not take the service from the others.
mod fairness;
/// Incidents as others read news.
mod feed;
/// Several sidecars on one PostgreSQL: one incident, one sender, whoever dies.
mod fleet;
mod generated;
/// The guide's own lines, as they stand in it.
mod guide;
/// HTTP/2 is held to what its standards say, point by point, on both sides.
mod h2spec;
/// Files that hang hold up nothing but what needs them.
mod hanging;
/// Fields that a proxy must, may and must not touch.
mod headers;
/// Somebody outside notices when nobody watches any more.
mod heartbeat;
mod hedging;
/// Clients and backends that misbehave cost themselves and nobody else.
mod hostile;
/// HTTP/2 is held to what HTTP/1.1 is held to.
mod http2;
/// A change that is sent twice is done once.
mod idempotency;
/// Connections that lie idle are not used when they are about to die.
mod idle;
/// Whoever takes an incident in a pager or a chat has taken it here.
mod inbound;
/// What the engine decides by is the operator's, and in force as soon as the file is saved.
mod incident_config;
/// From the first bad event to the last word: detection, calls, orders, a restart in between.
mod incidents;
mod init;
/// `kill -9` at random moments: what was acknowledged is there.
#[allow(clippy::print_stdout, reason = "figures are told")]
mod kill;
/// Restarts and scales a Deployment through an API server of the tests' own.
mod kubernetes;
/// How much of the service is given up: by order, by open breakers, and back by itself.
mod levels;
mod live;
/// What is logged, for a while.
mod log_level;
/// What is long goes from socket to socket.
mod long_bodies;
/// Requests that two readers could read differently never reach the backend in a changed meaning.
mod malformed;
/// Only what is the matter is an incident.
mod matter;
/// What is measured is what happened.
mod measuring;
/// What is buffered has a bound, and whoever holds the most of it goes first.
mod memory;
/// The application's own document names its routes.
mod named;
/// Names lead where the C library would go: families, search domains, changes, `localhost`.
mod names;
/// The contract is valid, and holds for whoever is made of it.
mod openapi;
/// Parts of an upstream's work open alone.
mod operations;
/// A backend that dies under load is told soon, once, and for as long as it was dead.
mod outage;
/// A write that is acknowledged arrives, however often the process is killed.
#[allow(clippy::print_stdout, reason = "figures are told")]
mod outbox;
/// What somebody should know of the process itself.
mod own;
/// What passes is what was sent, in spellings, fields and times that are rare.
mod page;
mod passing;
/// A process that stood still blames nobody for it.
mod pauses;
/// What the API answers as text, and of which part.
mod plain;
mod plans;
/// Streams on which nobody has anything to say stay.
mod quiet;
/// Plans act on an incident step by step, and call people when nothing helps.
mod rate_limit;
/// Traffic is held off, and the process leaves, by order.
mod readiness;
mod recovery;
/// A saved file is in force at once and loses nothing.
mod reload;
/// What is written down of a month and of an incident.
mod reports;
/// What the process itself lives on is measured.
mod resources;
/// What is sent once more for its answer, and that nothing else is.
mod retries;
/// How bad it was, and what was learnt.
mod review;
/// Which requests are which route, by host and path.
mod rollback;
mod routes;
mod runbooks;
/// Nobody is called about what is known.
mod silences;
/// Answers that were kept stand in where the upstream fails, and what is nobody else's is not kept.
mod stale;
/// Frames that bring nothing have an end; what is given up, or leaves, ends nobody else.
mod storms;
/// Incidents as they change: no gap, no double, no end but the process's.
mod stream;
/// Bytes pass unchanged, both ways, as they come.
mod streaming;
/// Exchanges as they end: which ones, what of them, how many, and at nobody's cost.
mod tap;
/// A log that nobody reads stops nothing.
mod telling;
/// The command line at a terminal: keys, sizes, colour, and that the terminal is as it was.
mod terminal;
/// TLS in both roles, HTTP/2 on both sides.
mod throttle;
mod tls;
/// The last hour of traffic, step by step.
mod traffic;
/// A message is the same whichever version of HTTP carries it.
mod translated;
/// Templates are proposed for requests without a name.
mod unnamed;
/// WebSockets and other upgrades towards servers that speak HTTP/2.
mod websockets;
/// No write is done twice, wherever it breaks.
mod writes;
