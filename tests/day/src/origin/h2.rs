//! The origin by HTTP/2: a stream per request. What ends a connection here ends it in order (GOAWAY), so that no request
//! suffers from what another one asked for.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{Asked, Shared, answered};
use crate::content::{Check, Side};
use crate::deeds::Deed;
use crate::ledger::{Came, Did};
use crate::report::Report;

/// Serves a connection to its end. What still comes then is read over: closing upon it would be a reset, which discards
/// answers that the proxy has not read yet.
pub(super) async fn serve(tcp: TcpStream, shared: &Rc<Shared>) {
    let Ok((tcp, mut rest)) = twice(tcp) else {
        return shared.report.find("no second descriptor", String::new());
    };
    streams(tcp, shared).await;
    let mut block = [0; 4_096];
    while matches!(rest.read(&mut block).await, Ok(1..)) {}
}

/// Two descriptors of one socket.
fn twice(tcp: TcpStream) -> std::io::Result<(TcpStream, TcpStream)> {
    let tcp = tcp.into_std()?;
    Ok((TcpStream::from_std(tcp.try_clone()?)?, TcpStream::from_std(tcp)?))
}

async fn streams(tcp: TcpStream, shared: &Rc<Shared>) {
    let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = match accepted {
            Ok(accepted) => accepted,
            // It had something to write yet when the proxy, which has all its answers, closed; a lost one tells itself.
            Err(error) if error.is_io() => return,
            Err(error) => {
                return shared.report.find("an HTTP/2 connection broke at the origin", error.to_string());
            }
        };
        let Some(asked) = Asked::of(request.method().as_str(), request.uri().path()) else {
            return shared.report.find("the origin cannot read a head", format!("{request:?}"));
        };
        if asked.deed == Deed::CloseSaid {
            Report::one(&shared.report.goaways);
            connection.graceful_shutdown();
        }
        tokio::task::spawn_local(stream(request, respond, asked, Rc::clone(shared)));
    }
}

async fn stream(request: Request<RecvStream>, mut to: SendResponse<Bytes>, asked: Asked, shared: Rc<Shared>) {
    shared.note(asked.number, |row| *row = Came { heads: row.heads.saturating_add(1), ..Came::default() });
    if asked.deed == Deed::ResetBefore && asked.number % 2 == 1 {
        answered(&shared, &asked, Did::AsPlanned);
        return to.send_reset(Reason::INTERNAL_ERROR);
    }
    if !body(request.into_body(), &asked, &shared).await {
        return;
    }
    if asked.delay() > 0 {
        tokio::time::sleep(Duration::from_millis(asked.delay())).await;
    }
    // Noted first: what follows may be read before this goes on.
    answered(&shared, &asked, if asked.deed.answers() { Did::Answered } else { Did::AsPlanned });
    if asked.deed == Deed::ResetBefore {
        return to.send_reset(Reason::INTERNAL_ERROR);
    }
    let Some(response) = head(&asked) else { return };
    let content = asked.content();
    let none = asked.bodiless || (content.is_empty() && asked.deed != Deed::Trailers);
    // Whoever left does not want it any more.
    let Ok(down) = to.send_response(response, none) else { return };
    if !none {
        send(down, &asked, content);
    }
}

/// Reads the body; was it whole?
async fn body(mut up: RecvStream, asked: &Asked, shared: &Shared) -> bool {
    let mut check = Check::new(asked.number, Side::Up);
    let mut whole = true;
    while let Some(piece) = up.data().await {
        let Ok(piece) = piece else {
            whole = false;
            break;
        };
        check.feed(&piece);
        // Only a closed stream refuses, which the next read tells.
        let _ = up.flow_control().release_capacity(piece.len());
    }
    shared.read(asked, &check, whole);
    whole
}

fn head(asked: &Asked) -> Option<Response<()>> {
    let mut head = Response::builder().status(asked.deed.status()).header("x-number", asked.number);
    if matches!(asked.deed, Deed::Length | Deed::ResetMid | Deed::Slow) {
        head = head.header("content-length", asked.size);
    }
    if asked.deed == Deed::Busy {
        head = head.header("retry-after", 0);
    }
    head.body(()).ok()
}

fn send(mut down: SendStream<Bytes>, asked: &Asked, mut content: Vec<u8>) {
    if asked.deed == Deed::ResetMid {
        content.truncate(content.len() / 2);
    }
    let ends = !matches!(asked.deed, Deed::Trailers | Deed::ResetMid);
    // Here as well: whoever left does not want it any more.
    let _ = down.send_data(Bytes::from(content), ends);
    match asked.deed {
        Deed::Trailers => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-of", asked.number.into());
            let _ = down.send_trailers(trailers);
        }
        Deed::ResetMid => down.send_reset(Reason::INTERNAL_ERROR),
        _ => {}
    }
}
