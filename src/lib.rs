//! Strop: a sidecar reverse proxy with built-in reliability.
//!
//! # The map
//!
//! * [`reliability`] decides. Pure.            * [`proxy`] carries one exchange; start at [`proxy::gateway`].
//! * [`upstream`] holds one dependency.        * [`message`] is HTTP as bytes: a head, a body, our HTTP/1.1.
//! * [`degrade`] answers in its place.         * [`config`] turns text into a [`config::Config`].
//! * [`admin`] answers the operator.           * [`net`] opens sockets and speaks TLS.
//! * [`telemetry`] counts and tells.
//! * [`control`] turns readings into incidents and calls.
//! * [`insight`] measures what is beside the traffic.
//! * [`store`] keeps rows on disk.             * [`notify`] tells people.
//! * [`report`] sums up a month or an incident.
//! * [`runtime`] is time, tasks and threads.
//! * [`app`] knows everybody; [`cli`] starts it.
//!
//! # I want to …
//!
//! | change … | go to |
//! |---|---|
//! | when a breaker opens | [`reliability::breaker`]: numbers in `policy`, what they are counted from in `counting`, what is told in `view` |
//! | what counts as a bad answer | [`reliability::verdict`] |
//! | what is sent once more | [`reliability::retry`]; by which key a write may be: [`reliability::idempotency`], `config::upstream::vendor` |
//! | what makes an incident | [`reliability::detect`] (rules), [`reliability::rule`] (their words), [`reliability::alert`] (how long) |
//! | which alerts are one incident, who is called | [`reliability::engine`], [`reliability::escalation`] |
//! | what is done about an incident, and when it has helped | [`reliability::recovery`]; how an action is done: `control::actions` |
//! | what a runbook can check, and what it says | [`reliability::runbook`]; its YAML: `config::runbooks`; asked and told: `control::runbooks` |
//! | what counts as uptime | [`reliability::ledger`] |
//! | which requests are refused as ambiguous | [`message::h1::parse`] |
//! | a config key | its concept's file under [`config`], then `config/reference.toml` and `STROP_WRITE_SHIPPED=1 cargo test --lib -- shipped`, which writes `config/schema.json` |
//! | what is said of a key, and where its value comes from | [`config::explain`], [`config::origin`] |
//! | what names the application gives to its routes | [`upstream::named`]; when it is asked: [`reliability::rereading`]; what is proposed without it: [`message::fold`], [`telemetry::unnamed`] |
//! | what is said of a request that nobody has sent | [`proxy::explain`]; the facts: `proxy::explained` |
//! | a command, its examples and exit codes | [`cli`], `cli::examples` |
//! | a metric | the number where it comes about, in [`telemetry`]; its family in `telemetry::metrics`, those of upstreams in `telemetry::dependencies` |
//! | what is logged, and by whose word | [`telemetry::logging`]; ordered through `control::log_filter` |
//! | whether traffic may come, and how the process leaves | [`runtime::readiness`], [`runtime::drain`], [`app`]; ordered through `control::readiness` |
//! | an admin endpoint | `admin::router`, its handler beside its neighbours in [`admin`], closed sets in `admin::declared::words`; then `config/openapi.json`, as the schema; its text form is `admin::plain`'s |
//! | what a browser is shown | `admin::page`, its files in `assets/`; a terminal: `cli::live`. Both read the API and decide nothing |
//! | an order that somebody gives | the same, and `admin::texts` for its longest texts; of an incident: `Command` in [`reliability::engine`] |
//! | what the client sees on failure | [`proxy::reply`]; where a route has a fallback, [`degrade::canned`]; kept answers, [`degrade::stale`] |
//! | which requests are too many | [`reliability::concurrency`] (behind the ingress), [`reliability::throttle`] (for an upstream), [`reliability::rate_limit`] (of a client); held in [`upstream::load`], [`upstream::throttle`], [`upstream::rates`] |
//! | which writes are queued, and when they are sent | [`reliability::outbox`]; on disk: [`degrade::outbox`]; put there and sent: `proxy::queueing`, [`proxy::replay`] |
//! | what a drill hits, what ends it, what it measures | [`reliability::drill`]; put in force: [`upstream::drill`], `control::drills`; made: `proxy::forward` |
//! | which group of endpoints is called, and when that changes | [`reliability::failover`]; held in [`degrade::failover`], ordered through `control::failover` |
//! | what a degradation level means | [`reliability::degradation`]; held in [`degrade::levels`], ordered through `control::degradation` |
//! | a table, or what is kept how long | `store::tables`, a file each |
//! | what a pager, a chat or a mail says | [`notify`] |
//! | what a report says | [`report::sla`], [`report::review`] |
//! | a way to tell people | `config::channels` first, then [`notify`] |
//! | a vendor (preset) | `config::upstream::vendor` |
//! | a request to somebody outside, beside the traffic | [`net::client`] |
//! | a listener | `config::listeners` (all addresses), `app::bound`, then its protocol beside [`proxy`], over [`message::stream`], out by `upstream::pool::Pools::dial` |
//! | a condition that another part of Strop knows, and that somebody should hear of | [`reliability::conditions`], found in `control::own` |
//!
//! # Who may know whom
//!
//! Beside what stands here most modules may name `config`, `reliability`, `runtime`, `names` and `units`.
//!
//! | module | may name |
//! |---|---|
//! | [`reliability`] | `names`, `units`, and nothing else |
//! | [`message`] | `reliability`, and nothing else |
//! | [`config`] | `message` |
//! | [`net`] | nothing else |
//! | [`telemetry`] | `net`, `message` |
//! | [`upstream`] | `telemetry`, `net`, `message` |
//! | [`degrade`] | `upstream`, `telemetry`, `message` |
//! | [`proxy`] | `degrade`, `upstream`, `telemetry`, `net`, `message` |
//! | [`notify`] | `telemetry`, `net` |
//! | [`store`] | `telemetry` |
//! | [`report`] | `store` |
//! | [`insight`] | nothing else |
//! | [`control`] | `degrade`, `insight`, `net`, `notify`, `store`, `telemetry`, `upstream` |
//! | [`admin`] | `control`, `report`, `store`, `telemetry`, `upstream`, `net`, `message`; never `proxy` |
//! | [`app`] | all that runs: it puts them together |
//! | [`cli`] | `app`, `report`, `store`, `notify`, `telemetry` |
//!
//! `tests/house.rs` holds the whole table and guards it.
//!
//! # The stories
//!
//! *A request*: [`proxy::accept`] → [`proxy::serve`] (or [`proxy::serve_h2`]) reads a head → [`proxy::gateway`] takes one
//! snapshot, finds the [`proxy::route`], asks the [`upstream::gate`], makes an attempt ([`proxy::forward`]) over a
//! connection of [`upstream::pool`], settles the permit → the answer streams → [`proxy::exchange`] closes.
//!
//! *A breaker trips*: [`upstream::permit`] settles → [`upstream::gate`] locks, decides, unlocks, tells → a log line, a
//! metric, [`admin`] shows it.
//!
//! *The operator saves the file*: [`config::reload`] → [`config::read`] → [`mod@config::file`] → [`config::diff`] →
//! [`upstream::registry`] puts one new snapshot in force around the same state.
//!
//! # Ranked tenets
//!
//! 1. Never make the outage worse. 2. Tell the truth. 3. Keep the client's bytes intact. 4. Fast. 5. Understandable.
//! 6. Configurable. When two fight, the earlier wins.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test is its own clock and spawner"))]

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod degrade;
pub mod insight;
pub mod message;
pub mod names;
pub mod net;
pub mod notify;
pub mod proxy;
pub mod reliability;
pub mod report;
pub mod runtime;
pub mod store;
pub mod telemetry;
pub mod units;
pub mod upstream;
