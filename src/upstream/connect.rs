//! A TCP connection to an endpoint, or, the first time, to whichever family of its name answers first.
//!
//! Happy Eyeballs (RFC 8305 section 5) for what was never reached: the order of addresses is a guess until then. What
//! was reached once is called directly, and when it fails that is a failure of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::Upstream;
use super::endpoint::EndpointState;
use crate::net::listener::UNSENT;
use crate::runtime::fds;

/// The Connection Attempt Delay of RFC 8305 section 8.
const DELAY: Duration = Duration::from_millis(250);

/// Connects, and says to which endpoint.
pub(super) async fn tcp(
    upstream: &Upstream,
    endpoint: &Arc<EndpointState>,
) -> io::Result<(TcpStream, Arc<EndpointState>)> {
    let (stream, endpoint) = any(upstream, endpoint).await?;
    if fds::is_reserved(stream.as_fd()) {
        // The last descriptors are kept for the admin port and the store.
        return Err(Errno::MFILE.into());
    }
    Ok((stream, endpoint))
}

async fn any(
    upstream: &Upstream,
    endpoint: &Arc<EndpointState>,
) -> io::Result<(TcpStream, Arc<EndpointState>)> {
    let twin = if endpoint.is_reached() { None } else { twin(&upstream.endpoints.load(), endpoint) };
    let Some(twin) = twin else {
        let stream = dial(endpoint.addr, upstream.socket).await?;
        endpoint.set_reached();
        return Ok((stream, Arc::clone(endpoint)));
    };
    match race(dial(endpoint.addr, upstream.socket), dial(twin.addr, upstream.socket)).await? {
        (stream, Won::First) => {
            endpoint.set_reached();
            Ok((stream, Arc::clone(endpoint)))
        }
        (stream, Won::Second) => {
            reached(&upstream.endpoints.load(), &twin);
            Ok((stream, twin))
        }
    }
}

/// `buffer`: bytes that the kernel keeps each way; `None`: its own measure.
async fn dial(addr: SocketAddr, buffer: Option<usize>) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(bytes) = buffer.and_then(|bytes| u32::try_from(bytes).ok()) {
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
    }
    let stream = socket.connect(addr).await?;
    SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(stream)
}

/// An address of the same name in the other family: the one at the same place among its own, so that four and
/// four make four pairs.
fn twin(all: &[Arc<EndpointState>], endpoint: &EndpointState) -> Option<Arc<EndpointState>> {
    let before = all.iter().take_while(|other| other.id != endpoint.id);
    let place = before
        .filter(|other| other.is_beside(endpoint) && other.addr.is_ipv4() == endpoint.addr.is_ipv4())
        .count();
    let twins: Vec<_> = all.iter().filter(|other| other.is_healthy() && other.is_twin_of(endpoint)).collect();
    twins.get(place % twins.len().max(1)).map(|twin| Arc::clone(twin))
}

/// Is it never called, since another family of its name answers and its own was never reached?
pub(super) fn is_passed_over(all: &[Arc<EndpointState>], endpoint: &EndpointState) -> bool {
    let other = |other: &Arc<EndpointState>| other.is_reached() && other.is_twin_of(endpoint);
    endpoint.is_fallback() && !endpoint.is_reached() && all.iter().any(other)
}

/// Something has connected to `endpoint`.
pub(super) fn reached(all: &[Arc<EndpointState>], endpoint: &EndpointState) {
    if !endpoint.is_reached() {
        endpoint.set_reached();
        settle(all, endpoint);
    }
}

/// After `reached` was: where no address of the preferred family ever was, its own family is the preferred one from now
/// on (RFC 8305 section 4: what was used before comes first).
fn settle(all: &[Arc<EndpointState>], reached: &EndpointState) {
    if !all.iter().any(|other| other.is_reached() && other.is_twin_of(reached)) {
        for other in all.iter().filter(|other| other.is_beside(reached)) {
            other.set_fallback(other.is_twin_of(reached));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Won {
    First,
    Second,
}

/// The first that is there; `second` begins after [`DELAY`], or as soon as `first` has failed. The
/// other one is dropped.
async fn race<T>(
    first: impl Future<Output = io::Result<T>>,
    second: impl Future<Output = io::Result<T>>,
) -> io::Result<(T, Won)> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let failed = match tokio::time::timeout(DELAY, &mut first).await {
        Ok(Ok(made)) => return Ok((made, Won::First)),
        Ok(Err(error)) => error,
        Err(_) => {
            tokio::select! {
                done = &mut first => match done {
                    Ok(made) => return Ok((made, Won::First)),
                    Err(error) => error,
                },
                done = &mut second => return match done {
                    Ok(made) => Ok((made, Won::Second)),
                    Err(other) => match first.await {
                        Ok(made) => Ok((made, Won::First)),
                        Err(error) => Err(telling(error, other)),
                    },
                },
            }
        }
    };
    match second.await {
        Ok(made) => Ok((made, Won::Second)),
        Err(other) => Err(telling(failed, other)),
    }
}

/// Of two failures the first one's, unless it only says that no packet could leave.
fn telling(first: io::Error, second: io::Error) -> io::Error {
    let no_route = matches!(
        first.kind(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable | io::ErrorKind::HostUnreachable
    );
    if no_route { second } else { first }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::runtime::clock;

    async fn after(millis: u64, came: io::Result<&'static str>) -> io::Result<&'static str> {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        came
    }

    fn refused() -> io::Result<&'static str> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    fn no_route() -> io::Result<&'static str> {
        Err(io::ErrorKind::NetworkUnreachable.into())
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_family_begins_after_the_delay_and_wins_when_it_is_there_first() {
        let t0 = clock::instant();
        let won = race(pending(), after(20, Ok("v4"))).await.expect("one is there");
        assert_eq!(won, ("v4", Won::Second));
        assert_eq!(clock::instant() - t0, DELAY + Duration::from_millis(20));
        let won = race(after(260, Ok("v6")), after(20, Ok("v4"))).await.expect("both are there");
        assert_eq!(won, ("v6", Won::First), "the first one goes on meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_first_family_is_alone() {
        let never = async { panic!("nobody has asked for it") };
        assert_eq!(race(after(240, Ok("v6")), never).await.expect("there"), ("v6", Won::First));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_lets_the_other_family_begin_at_once() {
        let t0 = clock::instant();
        let won = race(after(5, refused()), after(5, Ok("v4"))).await.expect("there");
        assert_eq!((won, clock::instant() - t0), (("v4", Won::Second), Duration::from_millis(10)));
        let won = race(after(400, Ok("v6")), after(5, refused())).await.expect("there");
        assert_eq!(won, ("v6", Won::First), "a late first one still counts");
    }

    #[tokio::test(start_paused = true)]
    async fn when_both_fail_the_one_that_says_more_is_told() {
        let told = |kind: io::Error| kind.kind();
        let both = race(after(5, refused()), after(5, no_route())).await.map_err(told);
        assert_eq!(both, Err(io::ErrorKind::ConnectionRefused));
        let both = race(after(5, no_route()), after(5, refused())).await.map_err(told);
        assert_eq!(both, Err(io::ErrorKind::ConnectionRefused));
        let both = race(after(300, refused()), after(5, no_route())).await.map_err(told);
        assert_eq!(both, Err(io::ErrorKind::ConnectionRefused));
    }

    fn state(addr: &str, host: &str) -> Arc<EndpointState> {
        EndpointState::new(addr.parse().expect("an address"), host.to_owned(), clock::instant())
    }

    #[test]
    fn a_twin_is_of_the_same_name_and_port_and_of_the_other_family() {
        let all = [
            state("[2001:db8::1]:80", "a"),
            state("[2001:db8::2]:80", "a"),
            state("192.0.2.1:80", "a"),
            state("192.0.2.2:80", "a"),
            state("192.0.2.3:81", "a"),
            state("192.0.2.4:80", "b"),
        ];
        let of = |at: usize| twin(&all, &all[at]).map(|twin| twin.addr.to_string());
        assert_eq!(of(0).as_deref(), Some("192.0.2.1:80"));
        assert_eq!(of(1).as_deref(), Some("192.0.2.2:80"), "not all of them to one");
        assert_eq!(of(3).as_deref(), Some("[2001:db8::2]:80"));
        assert_eq!((of(4), of(5)), (None, None));
        all[2].set_healthy(false);
        assert_eq!(of(0).as_deref(), Some("192.0.2.2:80"), "one that fails its checks is no way out");
    }

    #[test]
    fn a_family_that_was_never_reached_gives_way_to_the_one_that_was() {
        let all = [state("[::1]:80", "a"), state("127.0.0.1:80", "a"), state("192.0.2.4:80", "b")];
        all[1].set_fallback(true);
        all[1].set_reached();
        settle(&all, &all[1]);
        assert_eq!(all.iter().map(|e| e.is_fallback()).collect::<Vec<_>>(), [true, false, false]);
        all[0].set_reached();
        settle(&all, &all[0]);
        assert!(all[0].is_fallback(), "both are known: the order of addresses decides at the next look-up");
    }
}
