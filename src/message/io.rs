//! The one stream type beneath the codecs: plain TCP, or anything boxed (TLS).

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::buf::Buf;
use super::splice::Pipe;

/// What a boxed stream must do.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A stream over TCP, which can be looked at beneath it.
pub trait Layered: Stream {
    /// What it runs over.
    fn tcp(&self) -> &TcpStream;
}

/// Who is asked whether anything has happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoReadiness {
    /// The reactor: no system call while it was told of nothing. What arrived this very moment it does not know yet.
    Reactor,
    /// The kernel: one system call.
    Kernel,
}

/// A stream of bytes both ways.
pub enum Io {
    /// Plain TCP, called without indirection: the hot path.
    Tcp(TcpStream),
    /// TLS of a client, and whatever else is a stream.
    Boxed(Box<dyn Stream>),
    /// TLS towards an upstream: its connections lie idle, and are looked at before they are used.
    Layered(Box<dyn Layered>),
    /// For handing a connection to another codec.
    Rewound(Box<Rewound>),
}

/// Bytes that were read ahead, then the stream.
pub struct Rewound {
    /// The bytes.
    pub ahead: Buf,
    /// The stream.
    pub io: Io,
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Boxed(_) => "Boxed",
            Self::Layered(_) => "Layered",
            Self::Rewound(..) => "Rewound",
        })
    }
}

impl Io {
    /// Makes closing reset the connection. Behind TLS the missing close_notify says the same.
    pub fn abort(&self) {
        match self {
            Self::Tcp(tcp) => {
                // Without it the close is orderly; the missing end of the message still shows where it is framed.
                let _ = tcp.set_zero_linger();
            }
            Self::Boxed(_) | Self::Layered(_) => {}
            Self::Rewound(rewound) => rewound.io.abort(),
        }
    }

    /// Is there anything to be read from the TCP connection beneath, be it its end or an error? `None`: there is none
    /// to look at. Nothing is read.
    pub fn stirs(&self, ask: IoReadiness) -> Option<bool> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Layered(stream) => stream.tcp(),
            Self::Boxed(_) | Self::Rewound(..) => return None,
        };
        let mut byte = [MaybeUninit::uninit()];
        let mut peek = || SockRef::from(tcp).peek(&mut byte);
        let seen = match ask {
            IoReadiness::Reactor => tcp.try_io(Interest::READABLE, peek),
            IoReadiness::Kernel => peek(),
        };
        Some(seen.map_or_else(|error| error.kind() != io::ErrorKind::WouldBlock, |_| true))
    }

    /// Reads into `buf` up to `limit` bytes in all. `Ok(0)`: the peer has ended its side (or `limit` is reached).
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut Buf,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(buf.space(limit));
        match Pin::new(self).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => {
                let read = room.filled().len();
                buf.commit(read);
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Moves bytes of plain TCP into an empty pipe; see [`Pipe::fill`].
    pub(super) fn poll_into(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        self.poll_tcp(|tcp| tcp.poll_read_ready(cx), Interest::READABLE, |tcp| pipe.fill(tcp, most))
    }

    /// Moves bytes from a pipe that has some to plain TCP; see [`Pipe::empty`].
    pub(super) fn poll_out_of(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        self.poll_tcp(|tcp| tcp.poll_write_ready(cx), Interest::WRITABLE, |tcp| pipe.empty(tcp))
    }

    /// Does something with plain TCP once it is ready for it.
    fn poll_tcp(
        &self,
        mut ready: impl FnMut(&TcpStream) -> Poll<io::Result<()>>,
        interest: Interest,
        mut act: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(tcp) = self else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        loop {
            ready!(ready(tcp))?;
            match tcp.try_io(interest, || act(tcp)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, room),
            Self::Boxed(stream) => Pin::new(stream).poll_read(cx, room),
            Self::Layered(stream) => Pin::new(stream).poll_read(cx, room),
            Self::Rewound(rewound) if rewound.ahead.is_empty() => {
                Pin::new(&mut rewound.io).poll_read(cx, room)
            }
            Self::Rewound(rewound) => {
                let ahead = &mut rewound.ahead;
                let n = ahead.len().min(room.remaining());
                room.put_slice(ahead.filled().get(..n).unwrap_or_default());
                ahead.consume(n);
                ahead.rest();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Boxed(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Layered(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Rewound(rewound) => Pin::new(&mut rewound.io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Self::Boxed(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Layered(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Rewound(rewound) => Pin::new(&mut rewound.io).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Boxed(stream) => Pin::new(stream).poll_flush(cx),
            Self::Layered(stream) => Pin::new(stream).poll_flush(cx),
            Self::Rewound(rewound) => Pin::new(&mut rewound.io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Boxed(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Layered(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Rewound(rewound) => Pin::new(&mut rewound.io).poll_shutdown(cx),
        }
    }
}
