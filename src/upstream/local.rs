//! Which system errors lie on this side of a connection?

use std::io;

use rustix::io::Errno;

use crate::reliability::verdict::Inconclusive;

/// What `error`, of connecting or sending, says of this process or its machine; `None`: it may be the peer's doing.
///
/// Out of descriptors (EMFILE, ENFILE), memory (ENOMEM, ENOBUFS) or ports (EADDRINUSE, EAGAIN); no route or no
/// address of the family (ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT); forbidden by a rule of this machine
/// (EPERM, EACCES). See connect(2).
pub fn cause(error: &io::Error) -> Option<Inconclusive> {
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::ADDRINUSE | Errno::AGAIN => {
            Some(Inconclusive::Shortage)
        }
        Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::PERM | Errno::ACCESS => {
            Some(Inconclusive::NoRoute)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_not_the_peers_doing() {
        let of = |errno: Errno| cause(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert_eq!(of(Errno::MFILE), Some(Inconclusive::Shortage));
        assert_eq!(of(Errno::NETUNREACH), Some(Inconclusive::NoRoute));
        for peers in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::TIMEDOUT] {
            assert_eq!(of(peers), None);
        }
        assert_eq!(cause(&io::ErrorKind::TimedOut.into()), None);
    }
}
