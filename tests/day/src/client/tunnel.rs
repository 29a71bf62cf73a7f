//! Bytes both ways through the proxy, after an upgrade or CONNECT.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::{Conn, World};
use crate::content::{self, Check, Side};
use crate::deeds::Deed;
use crate::ledger::How;
use crate::plan::{Ask, Kind};
use crate::wire::Ahead;

/// Bytes of one write.
const PIECE: usize = 10_000;

pub(super) async fn run(world: &World, conn: &mut Conn, ask: &Ask) {
    let up = Cell::new(0);
    let mut check = Check::new(ask.number, Side::Up);
    let (mut from, mut to) = conn.tcp.split();
    let reset = ask.deed == Deed::EchoClientResets;
    if reset {
        tokio::select! {
            biased;
            () = write(&mut to, ask, &up) => {}
            _ = read(&mut from, &mut conn.ahead, ask, &mut check) => {}
        }
    } else {
        tokio::join!(write(&mut to, ask, &up), read(&mut from, &mut conn.ahead, ask, &mut check));
    }
    if reset {
        // Without it the close is orderly, which changes no count.
        let _ = conn.tcp.set_zero_linger();
    }
    let down = check.bytes();
    world.report.bytes.fetch_add(down, Ordering::Relaxed);
    if let Some(at) = check.wrong() {
        world.find(ask, "DESYNC: what came back through a tunnel is another's", at);
    }
    world.note(ask, |row| {
        row.up = up.get();
        row.down = down as u32;
    });
    let whole = down == u64::from(ask.deed.echoed(ask.size));
    world.over(
        ask,
        if reset {
            How::Left
        } else if whole {
            How::Whole
        } else {
            How::Cut
        },
    );
}

async fn write(to: &mut WriteHalf<'_>, ask: &Ask, up: &Cell<u32>) {
    let mut bytes = match ask.kind {
        Kind::Connect => format!("{} {} {}\r\n", ask.number, ask.deed.code(), ask.size).into_bytes(),
        _ => Vec::new(),
    };
    let content = content::make(ask.number, Side::Up, ask.size as usize);
    let half = ask.deed == Deed::EchoClientResets;
    bytes.extend_from_slice(if half { &content[..content.len() / 2] } else { &content });
    for piece in bytes.chunks(PIECE) {
        let Ok(()) = to.write_all(piece).await else { return };
        up.set(up.get() + piece.len() as u32);
    }
    if ask.deed == Deed::EchoClientHalfCloses {
        // An error here shows at the reader.
        let _ = to.shutdown().await;
    }
}

/// Reads to the end: of the stream, or of what is expected where the client is to close first.
async fn read(from: &mut ReadHalf<'_>, ahead: &mut Ahead, ask: &Ask, check: &mut Check) {
    loop {
        check.feed(&ahead.take());
        if ask.deed == Deed::EchoClientCloses && check.bytes() >= u64::from(ask.size) {
            return;
        }
        if !matches!(ahead.more(from).await, Ok(1..)) {
            return;
        }
    }
}
