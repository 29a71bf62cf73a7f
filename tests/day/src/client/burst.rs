//! A row of requests on one connection: sent without waiting, answered in order.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::answer::{self, Step};
use super::{Conn, World};
use crate::deeds::Leave;
use crate::ledger::How;
use crate::plan::{Ask, Kind, Way};
use crate::request;
use crate::wire::Ahead;

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection takes another one.
    Next,
    /// The proxy has ended the connection.
    Closed,
    /// The client leaves.
    Left {
        /// By a reset.
        reset: bool,
    },
    /// The connection is a tunnel now.
    Tunnel,
}

/// May a body that waits for 100 be sent?
#[derive(Default)]
pub(super) struct Gate {
    open: Cell<Option<bool>>,
    moved: Notify,
}

impl Gate {
    /// The answer to it has come, or 100.
    pub(super) fn set(&self, open: bool) {
        self.open.set(Some(self.open.get().unwrap_or(open)));
        self.moved.notify_one();
    }

    async fn passed(&self) -> bool {
        loop {
            if let Some(open) = self.open.get() {
                return open;
            }
            self.moved.notified().await;
        }
    }
}

/// How far a row is.
#[derive(Default)]
struct Progress {
    /// Requests of which something was given to the system.
    sent: Cell<usize>,
    /// Requests that are over.
    done: Cell<usize>,
    gate: Gate,
}

/// Sends `asks` and reads their answers; how many of them are used up, and how it ended.
pub(super) async fn run(world: &Rc<World>, conn: &mut Conn, asks: &[Ask], way: Way) -> (usize, End) {
    let progress = Progress::default();
    let (mut from, mut to) = conn.tcp.split();
    let mut writing = pin!(write(&mut to, asks, way, &progress));
    let mut reading = pin!(read(world, &mut from, &mut conn.ahead, asks, &progress));
    let mut written = false;
    let mut whole = true;
    let end = loop {
        tokio::select! {
            biased;
            end = &mut reading => break end,
            wrote = &mut writing, if !written => {
                written = true;
                if let Wrote::Leaves { reset, head } = wrote {
                    whole = head;
                    break End::Left { reset };
                }
            }
        }
    };
    let (sent, done) = (progress.sent.get(), progress.done.get());
    for (at, ask) in asks.iter().enumerate().take(sent).skip(done) {
        let how = match end {
            End::Left { .. } if at + 1 == sent && !whole => How::Unsent,
            End::Left { .. } => How::Left,
            End::Next | End::Closed | End::Tunnel => How::Behind,
        };
        world.over(ask, how);
    }
    (sent.max(done), end)
}

enum Wrote {
    /// All there is, or as much as the proxy took.
    All,
    /// The client leaves now; was the last head whole?
    Leaves { reset: bool, head: bool },
}

/// So much is gathered before it is sent.
const GATHERED: usize = 64 * 1024;

async fn write(to: &mut WriteHalf<'_>, asks: &[Ask], way: Way, progress: &Progress) -> Wrote {
    let mut out = Vec::new();
    for (at, ask) in asks.iter().enumerate() {
        progress.sent.set(at);
        let head = request::head(ask, way);
        let body = request::body(ask);
        if let Leave::Within { thousandths, reset } = ask.leave {
            let all = [&head[..], &body[..]].concat();
            let cut = (all.len() * thousandths as usize / 1_000).clamp(1, all.len() - 1);
            out.extend_from_slice(&all[..cut]);
            progress.sent.set(at + 1);
            // One that is gone already is told by the reader.
            let _ = to.write_all(&out).await;
            return Wrote::Leaves { reset, head: cut >= head.len() };
        }
        out.extend_from_slice(&head);
        if ask.upload.is_some_and(|upload| upload.expects) {
            progress.sent.set(at + 1);
            if to.write_all(&out).await.is_err() {
                return Wrote::All;
            }
            out.clear();
            if !progress.gate.passed().await {
                continue;
            }
        }
        out.extend_from_slice(&body);
        if out.len() > GATHERED || at + 1 == asks.len() {
            progress.sent.set(at + 1);
            if to.write_all(&out).await.is_err() {
                return Wrote::All;
            }
            out.clear();
        }
    }
    finish(to, asks.last()).await
}

async fn finish(to: &mut WriteHalf<'_>, last: Option<&Ask>) -> Wrote {
    match last.map(|ask| ask.leave) {
        Some(Leave::Waiting { reset }) => {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Wrote::Leaves { reset, head: true }
        }
        Some(Leave::Half) => {
            // One that is gone already is told by the reader.
            let _ = to.shutdown().await;
            Wrote::All
        }
        Some(Leave::No | Leave::Within { .. } | Leave::Reading { .. }) | None => Wrote::All,
    }
}

async fn read(
    world: &Rc<World>,
    from: &mut ReadHalf<'_>,
    ahead: &mut Ahead,
    asks: &[Ask],
    progress: &Progress,
) -> End {
    for ask in asks {
        let step = answer::read(world, from, ahead, ask, &progress.gate).await;
        progress.done.set(progress.done.get() + 1);
        match step {
            Step::Next if ask.leave == Leave::Half => return ended(world, from, ahead, ask).await,
            Step::Next => {}
            Step::Closes => return ended(world, from, ahead, ask).await,
            Step::Broke => return End::Closed,
            Step::Leaves { reset } => return End::Left { reset },
            Step::Tunnel => return End::Tunnel,
        }
    }
    End::Next
}

/// The proxy must end the connection now, and say nothing more.
async fn ended(world: &World, from: &mut ReadHalf<'_>, ahead: &mut Ahead, ask: &Ask) -> End {
    ahead.pace = None;
    let more = tokio::time::timeout(Duration::from_secs(10), ahead.more(from)).await;
    if !ahead.left().is_empty() {
        world.find(ask, "DESYNC: bytes behind the last answer", ahead.left().len());
    }
    if more.is_err() && ask.kind != Kind::Upgrade {
        world.find(ask, "the proxy did not end the connection", ());
    }
    End::Closed
}
