//! The clients: sessions that follow their plan, some hundred at once on one thread.

mod answer;
mod burst;
mod h2;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};

use crate::ledger::{How, Seen};
use crate::plan::{Ask, Plan, Session, Way};
use crate::report::Report;
use crate::wire::Ahead;
use burst::End;

/// Longest wait for a row of requests; nothing that is planned takes as much as a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the proxy is.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The listener in front of the backends.
    pub ingress: SocketAddr,
    /// The forward proxy.
    pub egress: SocketAddr,
    /// The vendor's own listener.
    pub local: SocketAddr,
}

/// What all sessions share.
pub struct World {
    places: Places,
    rows: RefCell<Vec<Seen>>,
    report: Arc<Report>,
}

impl World {
    /// With the rows that there are already.
    pub fn new(places: Places, rows: Vec<Seen>, report: Arc<Report>) -> Rc<Self> {
        Rc::new(Self { places, rows: RefCell::new(rows), report })
    }

    /// The rows.
    pub fn take_rows(&self) -> Vec<Seen> {
        self.rows.take()
    }

    fn note(&self, ask: &Ask, change: impl FnOnce(&mut Seen)) {
        if let Some(row) = self.rows.borrow_mut().get_mut(ask.number as usize) {
            change(row);
        }
    }

    /// The request is over.
    fn over(&self, ask: &Ask, how: How) {
        self.note(ask, |row| row.how = how);
        Report::one(&self.report.done);
    }

    fn find(&self, ask: &Ask, what: &str, detail: impl std::fmt::Debug) {
        self.report.find(what, format!("{detail:?}; {ask:?}"));
    }

    fn place(&self, way: Way) -> SocketAddr {
        match way {
            Way::Ingress | Way::H2 => self.places.ingress,
            Way::Egress => self.places.egress,
            Way::Local => self.places.local,
        }
    }
}

/// One connection to the proxy.
struct Conn {
    tcp: TcpStream,
    ahead: Ahead,
    _open: Open,
}

struct Open(Arc<Report>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn connect(world: &World, way: Way) -> std::io::Result<Conn> {
    let tcp = TcpStream::connect(world.place(way)).await?;
    tcp.set_nodelay(true)?;
    world.report.opened.fetch_add(1, Ordering::SeqCst);
    world.report.open.fetch_add(1, Ordering::SeqCst);
    Ok(Conn { tcp, ahead: Ahead::default(), _open: Open(Arc::clone(&world.report)) })
}

/// Lives the whole day with `open` clients at once, on this thread.
pub fn live(world: &Rc<World>, plan: Plan, open: u32) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let starts = Rc::new(plan.starts());
    let next = Rc::new(Cell::new(0));
    runtime.block_on(async {
        let mut clients = Vec::new();
        for slot in 0..open.min(plan.sessions) {
            let (world, starts, next) = (Rc::clone(world), Rc::clone(&starts), Rc::clone(&next));
            clients.push(tokio::task::spawn_local(async move {
                loop {
                    let index = next.replace(next.get() + 1);
                    if index >= plan.sessions {
                        return;
                    }
                    let at = index as usize;
                    run(&world, slot as usize, plan.session(index, starts[at], starts[at + 1])).await;
                }
            }));
        }
        for client in clients {
            if let Err(panicked) = client.await {
                world.report.find("a client panicked", panicked.to_string());
            }
        }
    });
    Ok(())
}

/// Runs these sessions, all at once; then `after` while their connections are still open.
pub fn at_once(world: &Rc<World>, sessions: &[Session], after: impl FnOnce()) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let running: Vec<_> = sessions
            .iter()
            .cloned()
            .map(|session| {
                let world = Rc::clone(world);
                tokio::task::spawn_local(async move {
                    match session.way {
                        Way::H2 => h2::session(&world, 0, &session).await.map(Held::H2),
                        _ => h1(&world, 0, &session).await.map(Held::H1),
                    }
                })
            })
            .collect();
        let mut held = Vec::new();
        for session in running {
            held.push(session.await);
        }
        after();
    });
    Ok(())
}

/// A connection that is still open after its session.
enum Held {
    H1(#[expect(dead_code, reason = "held, not used")] Conn),
    H2(#[expect(dead_code, reason = "held, not used")] h2::Kept),
}

async fn run(world: &Rc<World>, slot: usize, session: Session) {
    match session.way {
        Way::H2 => drop(h2::session(world, slot, &session).await),
        Way::Ingress | Way::Egress | Way::Local => drop(h1(world, slot, &session).await),
    }
    world.report.is_at(slot, None);
}

/// One session by HTTP/1; its connection, when that is still open.
async fn h1(world: &Rc<World>, slot: usize, session: &Session) -> Option<Conn> {
    let mut asks = session.asks.as_slice();
    let mut kept: Option<Conn> = None;
    while let Some(first) = asks.first() {
        let row = 1 + asks.iter().skip(1).take_while(|ask| ask.joins).count();
        world.report.is_at(slot, Some(first.number));
        if first.pause > 0 {
            tokio::time::sleep(Duration::from_millis(u64::from(first.pause))).await;
        }
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => match connect(world, session.way).await {
                Ok(conn) => conn,
                Err(error) => {
                    world.find(first, "cannot connect", error);
                    return None;
                }
            },
        };
        let row = asks.get(..row).unwrap_or_default();
        let burst = burst::run(world, &mut conn, row, session.way);
        let Ok((used, end)) = tokio::time::timeout(PATIENCE, burst).await else {
            world.find(first, "stuck", PATIENCE);
            return None;
        };
        asks = asks.get(used.max(1)..).unwrap_or_default();
        kept = finish(world, conn, row.last(), end).await;
    }
    kept
}

/// What becomes of the connection.
async fn finish(world: &Rc<World>, mut conn: Conn, last: Option<&Ask>, end: End) -> Option<Conn> {
    match (end, last) {
        (End::Next, _) => Some(conn),
        (End::Tunnel, Some(ask)) => {
            if tokio::time::timeout(PATIENCE, tunnel::run(world, &mut conn, ask)).await.is_err() {
                world.find(ask, "a tunnel was stuck", PATIENCE);
            }
            None
        }
        (End::Left { reset: true }, _) => {
            // Without it the close is orderly; the proxy's side is judged by what it saw.
            let _ = conn.tcp.set_zero_linger();
            None
        }
        (End::Left { reset: false } | End::Closed | End::Tunnel, _) => None,
    }
}
