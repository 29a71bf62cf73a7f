//! The origin behind the proxy: one thread, a listener for each upstream, deeds as the path asks for them.

mod answer;
mod h2;
mod tunnel;

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

use crate::content::{self, Check, Side};
use crate::deeds::Deed;
use crate::ledger::{Came, Did};
use crate::plan::Route;
use crate::report::Report;
use crate::wire::{Ahead, Frame, Head};

/// The upstreams that somebody listens for.
pub const LISTENING: [Route; 5] = [Route::Plain, Route::Streams, Route::Probed, Route::Vendor, Route::Tunnel];

/// A running origin.
pub struct Origin {
    /// Where each of [`LISTENING`] is.
    pub addresses: [SocketAddr; LISTENING.len()],
    open: Arc<[AtomicU32; LISTENING.len()]>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Vec<Came>>,
}

impl Origin {
    /// Starts it, for requests with numbers below `numbers`.
    pub fn start(numbers: u32, report: Arc<Report>) -> std::io::Result<Self> {
        let mut listeners = Vec::new();
        let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); LISTENING.len()];
        for address in &mut addresses {
            let listener = TcpListener::bind(*address)?;
            // More may come at once than the standard library lets wait.
            rustix::net::listen(&listener, 4_096)?;
            listener.set_nonblocking(true)?;
            *address = listener.local_addr()?;
            listeners.push(listener);
        }
        let open = Arc::<[AtomicU32; LISTENING.len()]>::default();
        let counted = Arc::clone(&open);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            let rows = RefCell::new(vec![Came::default(); numbers as usize]);
            let shared = Rc::new(Shared { rows, report, open: counted });
            serve(listeners, Rc::clone(&shared), stopped);
            shared.rows.take()
        })?;
        Ok(Self { addresses, open, stop, thread })
    }

    /// Connections that are open for an upstream now.
    pub fn open(&self, route: Route) -> u32 {
        let at = LISTENING.iter().position(|known| *known == route);
        at.map_or(0, |at| self.open[at].load(Ordering::SeqCst))
    }

    /// Ends it; what came.
    pub fn stop(self) -> Vec<Came> {
        // It may have ended already.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_default()
    }
}

/// What all connections share.
struct Shared {
    rows: RefCell<Vec<Came>>,
    report: Arc<Report>,
    open: Arc<[AtomicU32; LISTENING.len()]>,
}

impl Shared {
    /// Notes something about a request.
    fn note(&self, number: u32, change: impl FnOnce(&mut Came)) {
        match self.rows.borrow_mut().get_mut(number as usize) {
            Some(row) => change(row),
            None => self.report.find("the origin was asked what nobody asked", number.to_string()),
        }
    }

    /// The body of a request was read, as far as it came.
    fn read(&self, asked: &Asked, check: &Check, whole: bool) {
        if let Some(at) = check.wrong() {
            self.report.find("DESYNC: a request's body is another's", format!("{asked:?} from byte {at} on"));
        }
        self.note(asked.number, |row| {
            row.up = check.bytes() as u32;
            row.whole = whole;
        });
    }
}

/// Counts an open connection.
struct Open(Rc<Shared>, usize);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open[self.1].fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(listeners: Vec<TcpListener>, shared: Rc<Shared>, stopped: oneshot::Receiver<()>) {
    let built = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let Ok(runtime) = built else { return };
    runtime.block_on(async move {
        for (at, listener) in listeners.into_iter().enumerate() {
            let shared = Rc::clone(&shared);
            tokio::task::spawn_local(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                while let Ok((tcp, _)) = listener.accept().await {
                    shared.open[at].fetch_add(1, Ordering::SeqCst);
                    let open = Open(Rc::clone(&shared), at);
                    tokio::task::spawn_local(connection(tcp, open));
                }
            });
        }
        // The other end may be gone: then it is time as well.
        let _ = stopped.await;
    });
}

/// What comes after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Close,
    Reset,
}

async fn connection(mut tcp: TcpStream, open: Open) {
    let _ = tcp.set_nodelay(true); // only a matter of speed
    let shared = &open.0;
    if LISTENING[open.1] == Route::Streams {
        return h2::serve(tcp, shared).await;
    }
    let mut ahead = Ahead::default();
    let then = if LISTENING[open.1] == Route::Tunnel {
        tunnel::serve(&mut tcp, &mut ahead, shared).await
    } else {
        loop {
            match request(&mut tcp, &mut ahead, shared).await {
                Then::Next => {}
                then => break then,
            }
        }
    };
    if then == Then::Reset {
        // Without it the close is orderly, which the client then tells.
        let _ = tcp.set_zero_linger();
    }
    drop(tcp); // before it is counted as closed
}

/// A request as the origin reads it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u32,
    deed: Deed,
    size: u32,
    /// HEAD.
    bodiless: bool,
    frame: Frame,
    expects: bool,
}

impl Asked {
    /// Reads what method and path say.
    fn of(method: &str, path: &str) -> Option<Self> {
        let mut path = path.trim_start_matches('/').split('/').skip(1);
        Some(Self {
            number: path.next()?.parse().ok()?,
            deed: Deed::read(path.next()?)?,
            size: path.next()?.parse().ok()?,
            bodiless: method == "HEAD",
            frame: Frame::Length(0),
            expects: false,
        })
    }

    fn read(head: &Head) -> Option<Self> {
        let mut line = head.line().split(' ');
        let (method, path) = (line.next()?, line.next()?);
        let expects = head.field("expect").is_some();
        Some(Self { frame: head.frame().unwrap_or(Frame::Length(0)), expects, ..Self::of(method, path)? })
    }

    /// The bytes of the answer's body.
    fn content(&self) -> Vec<u8> {
        content::make(self.number, Side::Down, self.size as usize)
    }

    /// Milliseconds to wait before the answer.
    fn delay(&self) -> u64 {
        match self.deed {
            Deed::Slow => u64::from(5 + self.number % 60),
            Deed::Late => 500,
            _ => 0,
        }
    }

    /// Does the origin act before it has read the body?
    fn is_early(&self) -> bool {
        match self.deed {
            Deed::Early | Deed::EarlyClose => true,
            Deed::CloseBefore | Deed::ResetBefore => self.number % 2 == 1,
            _ => false,
        }
    }
}

async fn request(tcp: &mut TcpStream, ahead: &mut Ahead, shared: &Rc<Shared>) -> Then {
    let Ok(head) = ahead.head(tcp).await else { return Then::Close };
    let Some(asked) = Asked::read(&head) else {
        shared.report.find("the origin cannot read a head", head.line().to_owned());
        return Then::Close;
    };
    shared.note(asked.number, |row| *row = Came { heads: row.heads.saturating_add(1), ..Came::default() });
    if asked.is_early() {
        return answer::early(tcp, ahead, &asked, shared).await;
    }
    if asked.expects && answer::send(tcp, b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
        return Then::Close;
    }
    if !body(tcp, ahead, &asked, shared).await {
        return Then::Close;
    }
    if asked.deed.is_echo() {
        return tunnel::upgrade(tcp, ahead, &asked, shared).await;
    }
    answer::act(tcp, ahead, &asked, shared).await
}

/// Reads the body; was it whole?
async fn body(tcp: &mut TcpStream, ahead: &mut Ahead, asked: &Asked, shared: &Shared) -> bool {
    let mut check = Check::new(asked.number, Side::Up);
    let read = ahead
        .body(tcp, asked.frame, |piece| {
            check.feed(piece);
            true
        })
        .await;
    shared.read(asked, &check, read.is_ok());
    read.is_ok()
}

fn answered(shared: &Shared, asked: &Asked, did: Did) {
    shared.note(asked.number, |row| row.did = did);
}
