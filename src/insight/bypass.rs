//! Connections of this network namespace that pass the egress by: those to the ports of vendors that are not this process' own.
//!
//! An application whose client ignores `HTTPS_PROXY` calls its vendor directly, and nothing of it is measured or guarded. The
//! kernel lists the connections of a network namespace, which is a pod's, in `/proc/net/tcp` and `tcp6`; a socket of this
//! process is told from others by its inode, which stands behind a descriptor of `/proc/self/fd`.
//!
//! Invariant: a connection of this process is never taken for another's. It may be opened or closed between two reads, so only
//! what was listed before the descriptors and is still listed after them counts: it was open all the while.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Bytes of each list that are read, so that a machine with very many connections costs no more: 20,000 lines of 150.
const MOST: u64 = 3_000_000;

/// A connection of another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Direct {
    /// To whom; an IPv4 address in IPv6 form is one of IPv4.
    pub remote: SocketAddr,
    /// The address and port of its own end.
    pub local: SocketAddr,
    /// Of its socket: never used again while it is open.
    pub inode: u64,
}

/// What one look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Connections of other processes to the watched ports.
    pub direct: BTreeSet<Direct>,
    /// A list was longer than what is read of it.
    pub cut: bool,
}

/// Looks at the connections there are.
#[derive(Clone, Debug)]
pub struct ConnectionSampler {
    proc: PathBuf,
}

impl Default for ConnectionSampler {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc/self") }
    }
}

impl ConnectionSampler {
    /// Connections to these ports that other processes have or are about to have. Reads files: not for a task that must go on.
    pub fn look(&self, ports: &[u16]) -> io::Result<Connections> {
        let mut seen = self.listed(ports)?;
        if seen.direct.is_empty() {
            return Ok(seen);
        }
        let own = inodes(&self.proc.join("fd"))?;
        seen.direct.retain(|one| !own.contains(&one.inode));
        if !seen.direct.is_empty() {
            let after = self.listed(ports)?;
            seen.direct.retain(|one| after.direct.contains(one));
            seen.cut |= after.cut;
        }
        Ok(seen)
    }

    fn listed(&self, ports: &[u16]) -> io::Result<Connections> {
        let mut seen = Connections::default();
        let net = self.proc.join("net");
        read(File::open(net.join("tcp"))?, ports, &mut seen)?;
        match File::open(net.join("tcp6")) {
            Ok(file) => read(file, ports, &mut seen)?,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(seen)
    }
}

fn read(file: File, ports: &[u16], seen: &mut Connections) -> io::Result<()> {
    let mut lines = BufReader::new(file.take(MOST));
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        seen.direct.extend(direct(&line).filter(|one| ports.contains(&one.remote.port())));
        line.clear();
    }
    seen.cut |= lines.into_inner().limit() == 0;
    Ok(())
}

/// Of a line that lists a connection somebody has (ESTABLISHED, CLOSE_WAIT) or is about to have (SYN_SENT). What nobody holds
/// any more has the inode 0.
fn direct(line: &str) -> Option<Direct> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    let inode = words.nth(5)?.parse().ok().filter(|inode| *inode > 0)?;
    matches!(state, "01" | "02" | "08").then_some(())?;
    Some(Direct { remote: address(remote)?, local: address(local)?, inode })
}

/// `0100007F:01BB`: each four bytes of an address as one number of this machine, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => word(0)?.into(),
        32 => {
            let mut bytes = [0; 16];
            for (nth, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(nth * 8)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Of all sockets that this process has open.
fn inodes(descriptors: &Path) -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(descriptors)? {
        // One that was closed since is no socket of ours any more.
        let Ok(link) = std::fs::read_link(entry?.path()) else { continue };
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        found.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    /// As the kernel writes it on a little-endian machine.
    fn line(local: &str, remote: &str, state: &str, inode: u64) -> String {
        format!(
            "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0 20 4 30 10 -1\n"
        )
    }

    fn told(seen: &Connections) -> Vec<String> {
        seen.direct.iter().map(|one| one.remote.to_string()).collect()
    }

    fn sampler(tcp: &str, tcp6: Option<&str>, own: &[u64]) -> (tempfile::TempDir, ConnectionSampler) {
        let dir = tempfile::tempdir().expect("a directory");
        let (net, fd) = (dir.path().join("net"), dir.path().join("fd"));
        [&net, &fd].into_iter().for_each(|dir| std::fs::create_dir(dir).expect("made"));
        std::fs::write(net.join("tcp"), format!("{HEAD}{tcp}")).expect("writes");
        if let Some(tcp6) = tcp6 {
            std::fs::write(net.join("tcp6"), format!("{HEAD}{tcp6}")).expect("writes");
        }
        symlink("/dev/null", fd.join("0")).expect("links");
        for (nth, inode) in own.iter().enumerate() {
            symlink(format!("socket:[{inode}]"), fd.join((nth + 1).to_string())).expect("links");
        }
        let proc = dir.path().to_owned();
        (dir, ConnectionSampler { proc })
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn connections_of_others_to_the_ports_are_found_in_both_lists() {
        let here = "0100000A:C350";
        let tcp = [
            line(here, "08080808:01BB", "01", 1),
            line(here, "09080808:01BB", "02", 2),
            line(here, "0A080808:01BB", "08", 3),
            line(here, "0B080808:01BB", "06", 0), // TIME_WAIT: nobody's any more
            line(here, "0C080808:0050", "01", 5),
            line("0100000A:01BB", "0D080808:C350", "01", 6), // we are the server
            line(here, "0E080808:01BB", "01", 7),            // our own
            line("00000000:01BB", "00000000:0000", "0A", 8), // LISTEN
        ];
        let v6 = "0000000000000000FFFF00000100000A:C350";
        let tcp6 = [
            line(v6, "0000000000000000FFFF000014080808:01BB", "01", 9),
            line(v6, "B80D0120000000000000000001000000:01BB", "01", 10),
            line(v6, "B80D0120000000000000000002000000:01BB", "01", 11), // our own
        ];
        let (_dir, sampler) = sampler(&tcp.concat(), Some(&tcp6.concat()), &[7, 11]);
        let seen = sampler.look(&[443]).expect("reads");
        let wanted = ["8.8.8.8:443", "8.8.8.9:443", "8.8.8.10:443", "8.8.8.20:443", "[2001:db8::1]:443"];
        assert_eq!(told(&seen), wanted);
        assert!(!seen.cut);
        assert_eq!(told(&sampler.look(&[80]).expect("reads")), ["8.8.8.12:80"]);
    }

    #[test]
    fn a_kernel_without_ipv6_has_one_list_and_one_without_lists_cannot_be_looked_at() {
        let (dir, sampler) = sampler("", None, &[]);
        assert_eq!(sampler.look(&[443]).expect("reads"), Connections::default());
        std::fs::remove_file(dir.path().join("net/tcp")).expect("removes");
        assert_eq!(sampler.look(&[443]).expect_err("gone").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn of_a_list_without_end_no_more_is_read_than_the_bound_and_that_is_said() {
        let one = line("0100000A:C350", "08080808:01BB", "01", 1);
        let (_dir, sampler) = sampler(&one.repeat(MOST as usize / one.len() + 1), None, &[]);
        let seen = sampler.look(&[443]).expect("reads");
        assert!(seen.cut && seen.direct.len() <= 1, "{seen:?}");
    }

    #[test]
    fn lines_that_are_none_are_no_connections() {
        for text in ["", HEAD, "0: 0100007F:1F90", "0: zz:01BB 0100007F:01BB 01 a b c d e 5", "\u{fc}"] {
            assert_eq!(direct(text), None, "{text}");
        }
    }

    /// The real lists of this machine: a connection of this very process is its own, whichever end it is.
    #[test]
    fn a_connection_of_this_process_is_not_taken_for_anothers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let to = listener.local_addr().expect("bound");
        let _near = std::net::TcpStream::connect(to).expect("connects");
        let sampler = ConnectionSampler::default();
        let listed = sampler.listed(&[to.port()]).expect("this machine shows its connections");
        assert!(listed.direct.iter().any(|one| one.remote == to), "it is listed: {listed:?}");
        assert!(sampler.look(&[to.port()]).expect("reads").direct.is_empty());
    }
}
