//! The end of a client connection.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use super::client::After;
use crate::config::ClientLimits;
use crate::message::stream::ByteStream;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// A client that sends nothing for so long while the connection lingers has nothing more to say.
const LINGER_IDLE: Duration = Duration::from_secs(5);

/// Ends the connection. Lingering: what the client is still sending is read over for as long as the limits say, so that
/// closing does not reset the connection under an answer that the client has not read yet (RFC 9112 section 9.6): many
/// read it only when their whole body is sent.
pub(super) fn leave(
    stream: &ByteStream,
    timer: &mut Deadline,
    after: After,
    limits: &ClientLimits,
) -> impl Future<Output = ()> {
    let (begin, mut heard) = (clock::instant(), clock::instant());
    let mut read = 0_u64;
    let mut shut = false;
    poll_fn(move |cx| {
        if after == After::Abort {
            return Poll::Ready(());
        }
        let at = (begin + limits.linger).min(heard + LINGER_IDLE);
        if !shut {
            match stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return timer.poll_passed(cx, Some(at)),
            }
        }
        if after != After::Linger {
            return Poll::Ready(());
        }
        loop {
            match stream.poll_discard(cx) {
                Poll::Ready(Ok(n @ 1..))
                    if read < limits.linger_bytes && clock::instant() < begin + limits.linger =>
                {
                    (read, heard) = (read + n as u64, clock::instant());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return timer.poll_passed(cx, Some(at)),
            }
        }
    })
}
