//! Tunnels: what comes goes back, up to an end that the client knows.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Asked, Shared, Then, answer, answered};
use crate::content::{Check, Side};
use crate::deeds::Deed;
use crate::ledger::{Came, Did};
use crate::wire::{Ahead, Frame};

/// A connection that came by CONNECT: its first line says what to do.
pub(super) async fn serve(tcp: &mut TcpStream, ahead: &mut Ahead, shared: &Shared) -> Then {
    let Ok(line) = ahead.text_line(tcp).await else { return Then::Close };
    let Some(asked) = first_line(&line) else {
        shared.report.find("the origin cannot read a tunnel's first line", line);
        return Then::Close;
    };
    shared.note(asked.number, |row| *row = Came { heads: row.heads.saturating_add(1), ..Came::default() });
    echo(tcp, ahead, &asked, shared).await
}

fn first_line(line: &str) -> Option<Asked> {
    let mut parts = line.split(' ');
    Some(Asked {
        number: parts.next()?.parse().ok()?,
        deed: Deed::read(parts.next()?)?,
        size: parts.next()?.parse().ok()?,
        bodiless: false,
        frame: Frame::UntilClose,
        expects: false,
    })
}

/// A request that asked for an upgrade.
pub(super) async fn upgrade(tcp: &mut TcpStream, ahead: &mut Ahead, asked: &Asked, shared: &Shared) -> Then {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nX-Number: {}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        asked.number
    );
    if answer::send(tcp, head.as_bytes()).await.is_err() {
        return Then::Close;
    }
    echo(tcp, ahead, asked, shared).await
}

async fn echo(tcp: &mut TcpStream, ahead: &mut Ahead, asked: &Asked, shared: &Shared) -> Then {
    let quota = asked.deed.echoed(asked.size);
    let mut check = Check::new(asked.number, Side::Up);
    let mut down = 0;
    answered(shared, asked, Did::AsPlanned);
    let then = loop {
        let piece = ahead.take();
        check.feed(&piece);
        let up = check.bytes() as u32;
        let back = (quota - down).min(piece.len() as u32);
        if back > 0 {
            if answer::send(tcp, piece.get(..back as usize).unwrap_or_default()).await.is_err() {
                break Then::Close;
            }
            down += back;
        }
        match asked.deed {
            Deed::EchoOriginResets | Deed::EchoOriginMute if down == quota => break Then::Reset,
            Deed::EchoOriginCloses if up >= asked.size => break Then::Close,
            // An error here shows in the next read.
            Deed::EchoOriginHalfCloses if down == quota && back > 0 => drop(tcp.shutdown().await),
            _ => {}
        }
        if !matches!(ahead.more(tcp).await, Ok(1..)) {
            break Then::Close;
        }
    };
    if let Some(at) = check.wrong() {
        shared
            .report
            .find("DESYNC: what came up a tunnel is another's", format!("{asked:?} from byte {at} on"));
    }
    shared.note(asked.number, |row| {
        row.up = check.bytes() as u32;
        row.down = down;
        row.whole = check.bytes() == u64::from(asked.size);
    });
    then
}
