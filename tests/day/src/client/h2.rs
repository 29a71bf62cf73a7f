//! Sessions by HTTP/2: each row of requests is a set of streams.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Open, PATIENCE, World, answer};
use crate::content::{self, Check, Side};
use crate::deeds::{Deed, Leave};
use crate::ledger::How;
use crate::plan::{Ask, Session};
use crate::request;

/// An open connection.
pub(super) struct Kept {
    send: SendRequest<Bytes>,
    task: JoinHandle<()>,
    /// The client drops it: what breaks now breaks by its own doing.
    dropped: Rc<Cell<bool>>,
    _open: Open,
}

async fn connect(world: &World) -> Option<Kept> {
    let tcp = TcpStream::connect(world.places.ingress).await.ok()?;
    let _ = tcp.set_nodelay(true); // only a matter of speed
    world.report.opened.fetch_add(1, Ordering::SeqCst);
    world.report.open.fetch_add(1, Ordering::SeqCst);
    let open = Open(Arc::clone(&world.report));
    let (send, connection) = h2::client::handshake(tcp).await.ok()?;
    // How it ends is told by its streams.
    let task = tokio::task::spawn_local(async move { drop(connection.await) });
    Some(Kept { send, task, dropped: Rc::default(), _open: open })
}

/// One session; its connection, when that is still open.
pub(super) async fn session(world: &Rc<World>, slot: usize, session: &Session) -> Option<Kept> {
    let mut asks = session.asks.as_slice();
    let mut kept: Option<Kept> = None;
    while let Some(first) = asks.first() {
        let row = 1 + asks.iter().skip(1).take_while(|ask| ask.joins).count();
        let (row, rest) = asks.split_at(row);
        asks = rest;
        world.report.is_at(slot, Some(first.number));
        if first.pause > 0 {
            tokio::time::sleep(Duration::from_millis(u64::from(first.pause))).await;
        }
        if kept.is_none() {
            kept = connect(world).await;
        }
        let Some(conn) = &kept else {
            world.find(first, "cannot connect by HTTP/2", ());
            return None;
        };
        let drops = session.drops && asks.is_empty();
        if tokio::time::timeout(PATIENCE, streams(world, conn, row, drops)).await.is_err() {
            world.find(first, "stuck by HTTP/2", PATIENCE);
            return None;
        }
        if drops {
            return None;
        }
    }
    kept
}

async fn streams(world: &Rc<World>, conn: &Kept, row: &[Ask], drops: bool) {
    let mut running = Vec::new();
    for ask in row {
        let Ok(send) = conn.send.clone().ready().await else {
            world.find(ask, "the HTTP/2 connection ended", ());
            world.over(ask, How::Unsent);
            continue;
        };
        let (world, dropped) = (Rc::clone(world), Rc::clone(&conn.dropped));
        running.push(tokio::task::spawn_local(stream(world, ask.clone(), send, dropped)));
    }
    if drops {
        tokio::time::sleep(Duration::from_millis(2)).await;
        conn.dropped.set(true);
        conn.task.abort();
    }
    for stream in running {
        if let Err(panicked) = stream.await {
            world.report.find("a stream panicked", panicked.to_string());
        }
    }
}

async fn stream(world: Rc<World>, ask: Ask, send: SendRequest<Bytes>, dropped: Rc<Cell<bool>>) {
    let how = match exchange(&world, &ask, send).await {
        How::Nothing | How::Cut if dropped.get() => How::Left,
        how => how,
    };
    world.over(&ask, how);
}

fn request(ask: &Ask) -> Option<http::Request<()>> {
    let uri = format!("http://{}{}", request::host(ask.route), ask.path());
    let mut request = http::Request::builder().method(ask.method).uri(uri).header("x-request-id", ask.id());
    if let Some(upload) = ask.upload.filter(|upload| !upload.chunked) {
        request = request.header("content-length", upload.bytes);
    }
    request.body(()).ok()
}

async fn exchange(world: &World, ask: &Ask, mut send: SendRequest<Bytes>) -> How {
    let Some(request) = request(ask) else {
        world.find(ask, "cannot be asked by HTTP/2", ());
        return How::Unsent;
    };
    let Ok((response, mut up)) = send.send_request(request, ask.upload.is_none()) else {
        return How::Nothing;
    };
    drop(send);
    if let Some(upload) = ask.upload {
        let mut bytes = content::make(ask.number, Side::Up, upload.bytes as usize);
        let whole = !matches!(ask.leave, Leave::Within { .. });
        if !whole {
            bytes.truncate(bytes.len() / 2);
        }
        // What cannot be sent any more shows in the answer.
        let _ = up.send_data(Bytes::from(bytes), whole);
    }
    match ask.leave {
        Leave::Within { .. } => tokio::task::yield_now().await,
        Leave::Waiting { .. } => tokio::time::sleep(Duration::from_millis(2)).await,
        Leave::No | Leave::Reading { .. } | Leave::Half => return read(world, ask, response, up).await,
    }
    up.send_reset(Reason::CANCEL);
    How::Left
}

async fn read(world: &World, ask: &Ask, response: ResponseFuture, mut up: SendStream<Bytes>) -> How {
    let Ok(response) = response.await else { return How::Nothing };
    let field = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let own = answer::check_head(world, ask, field("x-request-id"), field("x-strop-reason"));
    world.note(ask, |row| {
        row.status = response.status().as_u16();
        row.reason = own;
    });
    let number = field("x-number").and_then(|number| number.parse().ok());
    if own.is_none() && number != Some(ask.number) {
        world.find(ask, "DESYNC: the answer to another request", number);
    }
    let mut check = Check::new(ask.number, Side::Down);
    let mut down = response.into_body();
    let how = body(ask, &mut down, own.is_some(), &mut check, &mut up).await;
    world.note(ask, |row| row.down = check.bytes() as u32);
    world.report.bytes.fetch_add(check.bytes(), Ordering::Relaxed);
    if let (None, Some(at)) = (own, check.wrong()) {
        world.find(ask, "DESYNC: the answer's body is another's", at);
    }
    let wanted = if ask.method == "HEAD" { 0 } else { u64::from(ask.size) };
    if how == How::Whole && own.is_none() && check.bytes() != wanted {
        world.find(ask, "a whole answer of another length", check.bytes());
    }
    if how == How::Whole && own.is_none() && ask.deed == Deed::Trailers && ask.method != "HEAD" {
        let trailers = down.trailers().await.ok().flatten();
        if trailers.and_then(|fields| fields.get("x-of").cloned()) != Some(ask.number.into()) {
            world.find(ask, "other trailers", ());
        }
    }
    how
}

async fn body(
    ask: &Ask,
    down: &mut RecvStream,
    own: bool,
    check: &mut Check,
    up: &mut SendStream<Bytes>,
) -> How {
    while let Some(piece) = down.data().await {
        let Ok(piece) = piece else { return How::Cut };
        check.feed(&piece);
        // Only a closed stream refuses, which the next read tells.
        let _ = down.flow_control().release_capacity(piece.len());
        if matches!(ask.leave, Leave::Reading { .. }) && !own && check.bytes() >= u64::from(ask.size / 2) {
            up.send_reset(Reason::CANCEL);
            return How::Left;
        }
        if ask.slow {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    How::Whole
}
