//! A terminal: a program in it, keys, a size, and what is on its screen.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::eventually;

/// What a program has made of a screen.
pub struct Painted {
    lines: Vec<Vec<char>>,
    at: (usize, usize),
    /// It has asked for a colour.
    pub coloured: bool,
    /// Modes that are set, such as 1049: the other screen.
    pub modes: Vec<String>,
    /// The bytes of a sequence, or of a letter, that has not come in whole.
    partial: Vec<u8>,
}

impl Painted {
    fn new((columns, lines): (u16, u16)) -> Self {
        let lines = vec![vec![' '; columns.into()]; lines.into()];
        Self { lines, at: (0, 0), coloured: false, modes: Vec::new(), partial: Vec::new() }
    }

    fn resize(&mut self, (columns, lines): (u16, u16)) {
        self.lines = vec![vec![' '; columns.into()]; lines.into()];
    }

    pub fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    fn take(&mut self, byte: u8) {
        self.partial.push(byte);
        match self.partial.as_slice() {
            [0x1b] | [0x1b, b'['] => {}
            [0x1b, b'[', .., last] if (0x40..=0x7e).contains(last) => {
                let sequence = String::from_utf8_lossy(&self.partial[2..]).into_owned();
                self.partial.clear();
                self.obey(&sequence);
            }
            [0x1b, b'[', ..] => {}
            [0x1b, _] => self.partial.clear(),
            bytes => {
                let Ok(text) = std::str::from_utf8(bytes) else { return };
                let letter = text.chars().next().unwrap_or(' ');
                self.partial.clear();
                self.put(letter);
            }
        }
    }

    fn put(&mut self, letter: char) {
        match letter {
            '\r' => self.at.0 = 0,
            '\n' => self.at.1 += 1,
            letter => {
                if let Some(cell) = self.lines.get_mut(self.at.1).and_then(|line| line.get_mut(self.at.0)) {
                    *cell = letter;
                }
                self.at.0 += 1;
            }
        }
    }

    fn obey(&mut self, sequence: &str) {
        let (said, last) = sequence.split_at(sequence.len() - 1);
        let numbers: Vec<usize> = said.split(';').filter_map(|number| number.parse().ok()).collect();
        match last {
            "H" => {
                let one = |at: usize| numbers.get(at).copied().unwrap_or(1).max(1) - 1;
                self.at = (one(1), one(0));
            }
            "J" => self.lines.iter_mut().for_each(|line| line.fill(' ')),
            "m" => {
                self.coloured |= numbers.iter().any(|code| matches!(code, 30..=37 | 38 | 40..=48 | 90..=97))
            }
            "h" => self.modes.push(said.to_owned()),
            "l" => self.modes.retain(|mode| mode != said),
            _ => {}
        }
    }
}

/// A program at a terminal of its own.
pub struct Terminal {
    child: Child,
    ours: File,
    theirs: OwnedFd,
    pub painted: Arc<Mutex<Painted>>,
}

impl Terminal {
    /// Starts `strop` with these arguments and variables at a terminal of so many columns and lines.
    pub fn start(args: &[&str], env: &[(&str, &str)], size: (u16, u16)) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("opens");
        tcsetwinsize(&theirs, winsize(size)).expect("sized");
        let end = || Stdio::from(theirs.try_clone().expect("one more"));
        // The terminal is the program's own, so that a new size reaches it as a signal.
        // Whoever runs the tests may ignore these signals, which a terminal's shell does not.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT,QUIT,HUP", "setsid", "--ctty", env!("CARGO_BIN_EXE_strop")])
            .args(args);
        command.env_remove("NO_COLOR").env("TERM", "xterm-256color").envs(env.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("starts");
        let painted = Arc::new(Mutex::new(Painted::new(size)));
        let ours = File::from(ours);
        let (mut reading, into) = (ours.try_clone().expect("one more"), Arc::clone(&painted));
        std::thread::spawn(move || {
            let mut block = [0; 4_096];
            while let Ok(read @ 1..) = reading.read(&mut block) {
                let mut painted = into.lock().expect("not poisoned");
                block[..read].iter().for_each(|byte| painted.take(*byte));
            }
        });
        Self { child, ours, theirs, painted }
    }

    pub fn press(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits until the screen says so.
    pub fn shows(&self, text: &str) {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(text, || {
                last = self.text();
                last.contains(text)
            });
        }));
        assert!(found.is_ok(), "{text:?} is never shown; at last:\n{last}");
    }

    pub fn text(&self) -> String {
        self.painted.lock().expect("not poisoned").text()
    }

    pub fn resize(&mut self, size: (u16, u16)) {
        self.painted.lock().expect("not poisoned").resize(size);
        tcsetwinsize(&self.theirs, winsize(size)).expect("sized");
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Does it echo, and hand over whole lines, as a terminal does that nobody has changed?
    pub fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(&self.theirs).expect("modes").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Waits for the end; the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("it ends", || {
            let ended = self.child.try_wait().expect("asks");
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        code
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn winsize((ws_col, ws_row): (u16, u16)) -> Winsize {
    Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }
}
