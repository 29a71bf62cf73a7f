//! Bytes from one socket to another that never enter this process: `splice(2)` through a pipe, as HAProxy does it.
//!
//! A pipe is held only while it has bytes that the receiving socket has no room for; each thread keeps a few empty ones. Where
//! none is to be had (descriptors, the kernel's limit of pipes, another system) bytes are copied as ever.
//!
//! Invariants: a pipe that is kept is empty; bytes leave a pipe in the order in which they came; a pipe that is dropped with bytes
//! in it is closed, and they are gone.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// The shortest rest of a body for which a pipe pays: two system calls for what one read and one write would move.
pub const WORTH: u64 = 64 * 1024;
/// Bytes of a pipe, and with it what is taken at once: the receiver reads them while the next are on their way, and its socket is not
/// flooded. The kernel counts a pipe in pages and fills it with whole pieces of a segment; a limit in bytes would cut them, and double
/// their number. Of 16 to 1,024 KiB, 1 MiB bodies over loopback: 32 KiB carry the most, and no size costs the processor less.
const SIZE: usize = 32 * 1024;
/// Pipes that one thread has at most, in use or not: 64 descriptors.
const MOST: usize = 32;

thread_local! {
    static EMPTY: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
    static OUT: Cell<usize> = const { Cell::new(0) };
}

struct Ends {
    from: OwnedFd,
    to: OwnedFd,
}

/// A pipe with the bytes that are on their way through it.
pub struct Pipe {
    /// `None`: given back.
    ends: Option<Ends>,
    held: usize,
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Pipe {
    /// An empty one; `None`: there is none to be had now.
    pub fn take() -> Option<Self> {
        let kept = EMPTY.with_borrow_mut(Vec::pop);
        let ends = match kept {
            Some(ends) => ends,
            None if OUT.get() < MOST => Ends::new()?,
            None => return None,
        };
        OUT.set(OUT.get() + 1);
        Some(Self { ends: Some(ends), held: 0 })
    }

    /// Bytes that are in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves at most `most` bytes from `socket` into the pipe, which is empty: what would block is the socket then. 0: the peer has
    /// ended its side.
    pub(super) fn fill(&mut self, socket: impl AsFd, most: u64) -> io::Result<usize> {
        debug_assert!(self.held == 0, "would block means the socket only where the pipe is empty");
        let Some(ends) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(SIZE);
        let moved = splice(socket, None, &ends.to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?;
        self.held = moved;
        Ok(moved)
    }

    /// Moves bytes from the pipe, which has some, to `socket`; how many.
    pub(super) fn empty(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let moved = splice(&ends.from, None, socket, None, self.held, flags)?;
        self.held -= moved.min(self.held);
        Ok(moved)
    }
}

impl Ends {
    fn new() -> Option<Self> {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Where a user's pipes have reached the kernel's soft limit this one stays small, and works.
        let _ = fcntl_setpipe_size(&to, SIZE);
        Some(Self { from, to })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OUT.set(OUT.get().saturating_sub(1));
        if let Some(ends) = self.ends.take().filter(|_| self.held == 0) {
            EMPTY.with_borrow_mut(|kept| kept.push(ends));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_come_out_as_they_went_in_and_an_empty_pipe_is_used_again() {
        let ((mut client, from), (to, mut server)) = (pair(), pair());
        client.write_all(b"hello").unwrap();
        let mut pipe = Pipe::take().unwrap();
        assert_eq!((pipe.fill(&from, 3).unwrap(), pipe.held()), (3, 3));
        assert_eq!((pipe.empty(&to).unwrap(), pipe.held()), (3, 0));
        assert_eq!(pipe.fill(&from, 9).unwrap(), 2);
        pipe.empty(&to).unwrap();
        from.set_nonblocking(true).unwrap();
        assert_eq!(pipe.fill(&from, 9).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(client);
        while pipe.fill(&from, 9).is_err() {}
        assert_eq!(pipe.held(), 0, "the end of the stream");
        let mut read = [0; 5];
        server.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello");
        drop(pipe);
        assert_eq!((EMPTY.with_borrow(Vec::len), OUT.get()), (1, 0));
    }

    #[test]
    fn what_is_in_a_pipe_that_is_given_up_reaches_nobody_else() {
        let (mut client, from) = pair();
        client.write_all(b"secret").unwrap();
        let mut pipe = Pipe::take().unwrap();
        pipe.fill(&from, 6).unwrap();
        drop(pipe);
        assert_eq!((EMPTY.with_borrow(Vec::len), OUT.get()), (0, 0));
    }

    #[test]
    fn a_thread_has_so_many_at_most() {
        let pipes: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();
        assert_eq!(pipes.len(), MOST);
        drop(pipes);
        let again: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();
        assert_eq!(again.len(), MOST);
    }
}
