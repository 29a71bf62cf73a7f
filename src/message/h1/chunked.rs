//! The chunked coding (RFC 9112 section 7.1), decoded in place.
//!
//! Pure: bytes in, the next step out. Extensions are read over, bounded; sizes are hexadecimal digits and nothing
//! else; every line ends with CRLF. Invariant: `consumed` of a step never exceeds the input.

use super::Malformed;

/// Bytes of extensions that one body may carry. Nobody uses them; long ones were used to exhaust servers.
const MOST_EXTENSION: u32 = 4 * 1024;
/// Bytes of the trailer section.
pub const MOST_TRAILER: usize = 8 * 1024;
/// Chunks up to so many bytes are moved beside the data before them; a longer one is worth a write of its own.
const MOVED: usize = 16 * 1024;

/// Where the decoder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// In the digits of a size; how many were read.
    Size(u8),
    /// In an extension, up to CR.
    Extension,
    /// LF after the size line.
    SizeLf,
    /// In the data of a chunk.
    Data,
    /// At the CR after the data of a chunk.
    DataCr,
    /// At the LF after that CR.
    DataLf,
    /// After the last chunk: trailer lines, up to an empty one.
    Trailer,
    /// The body is over.
    Over,
}

/// The decoder of one body.
#[derive(Clone, Debug)]
pub struct Chunked {
    at: ChunkState,
    /// Bytes of the current chunk yet to come (or the size being read).
    left: u64,
    extension: u32,
    /// The trailer section with its last empty line, as it came.
    trailer: Vec<u8>,
    /// What followed data that was given out.
    failed: Option<Malformed>,
}

/// What [`Chunked::run`] has made of the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Bytes of framing before the data.
    pub skip: usize,
    /// Bytes of data behind them, of all chunks of the run.
    pub data: usize,
    /// Bytes of input that are done with: those two, and what is left where data was moved away from.
    pub used: usize,
    /// After that the body is over.
    pub over: bool,
}

/// What the front of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkStep {
    /// So many bytes of framing; then more input is needed.
    More {
        /// Bytes of input that are done with.
        consumed: usize,
    },
    /// After `skip` bytes of framing come `len` bytes of data.
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of data, in this input.
        len: usize,
    },
    /// After so many bytes the body is over.
    End {
        /// Bytes of input that are done with.
        consumed: usize,
    },
}

impl Default for Chunked {
    fn default() -> Self {
        Self { at: ChunkState::Size(0), left: 0, extension: 0, trailer: Vec::new(), failed: None }
    }
}

impl Chunked {
    /// Takes as many chunks as are there and puts their data side by side: one of them after the other costs far more
    /// than their bytes. Waits for nothing; what is wrong behind data is told at the next call.
    pub fn run(&mut self, input: &mut [u8]) -> Result<Run, Malformed> {
        if let Some(malformed) = self.failed {
            return Err(malformed);
        }
        let mut run = Run { skip: 0, data: 0, used: 0, over: false };
        loop {
            match self.more(input, &mut run) {
                Ok(true) => {}
                Ok(false) => break,
                Err(malformed) if run.data > 0 => {
                    self.failed = Some(malformed);
                    run.used = input.len();
                    break;
                }
                Err(malformed) => return Err(malformed),
            }
        }
        if run.data == 0 {
            run.skip = run.used;
        }
        Ok(run)
    }

    /// Takes the next chunk, or what is there of it; false: the run ends here.
    fn more(&mut self, input: &mut [u8], run: &mut Run) -> Result<bool, Malformed> {
        // The line end of data that came in parts: behind it chunks may be there as a whole again.
        if let Some(end) = self.data_ends(input.get(run.used..).unwrap_or_default()) {
            self.at = ChunkState::Size(0);
            run.used += end;
        }
        let rest = input.get(run.used..).unwrap_or_default();
        if self.at == ChunkState::Size(0)
            && let Some((line, len)) = whole_chunk(rest)
        {
            if len > MOVED && run.data > 0 {
                return Ok(false);
            }
            run.take(input, line, len);
            run.used += 2;
            if len == 1 {
                run.take_ones(input);
            }
            return Ok(true);
        }
        match self.step(rest)? {
            ChunkStep::Data { skip, len } if len <= MOVED || run.data == 0 => {
                run.take(input, skip, len);
                self.took(len);
                return Ok(true);
            }
            ChunkStep::Data { skip, .. } => run.used += skip,
            ChunkStep::More { consumed } => run.used += consumed,
            ChunkStep::End { consumed } => {
                run.used += consumed;
                run.over = true;
            }
        }
        Ok(false)
    }

    /// The next step. After [`ChunkStep::Data`] call [`Self::took`] as data is used up.
    pub fn step(&mut self, input: &[u8]) -> Result<ChunkStep, Malformed> {
        let mut consumed = 0;
        while let Some(&byte) = input.get(consumed) {
            match self.at {
                ChunkState::Data => {
                    let there = (input.len() - consumed) as u64;
                    return Ok(ChunkStep::Data { skip: consumed, len: there.min(self.left) as usize });
                }
                ChunkState::Over => break,
                ChunkState::Trailer => {
                    consumed += 1;
                    self.trailer_byte(byte)?;
                }
                ChunkState::Size(_)
                | ChunkState::Extension
                | ChunkState::SizeLf
                | ChunkState::DataCr
                | ChunkState::DataLf => {
                    consumed += 1;
                    self.framing_byte(byte)?;
                }
            }
        }
        Ok(if self.at == ChunkState::Over {
            ChunkStep::End { consumed }
        } else {
            ChunkStep::More { consumed }
        })
    }

    /// `n` bytes of the current chunk's data were used up.
    pub fn took(&mut self, n: usize) {
        debug_assert!(self.at == ChunkState::Data && n as u64 <= self.left);
        self.left -= (n as u64).min(self.left);
        if self.left == 0 {
            self.at = ChunkState::DataCr;
        }
    }

    /// The trailer section as it came, with its last empty line.
    pub fn trailer(&self) -> &[u8] {
        &self.trailer
    }

    /// The bytes of the line end behind data, when it is next and whole.
    fn data_ends(&self, input: &[u8]) -> Option<usize> {
        match (self.at, input) {
            (ChunkState::DataCr, [b'\r', b'\n', ..]) => Some(2),
            (ChunkState::DataLf, [b'\n', ..]) => Some(1),
            _ => None,
        }
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), Malformed> {
        self.at = match (self.at, byte) {
            (ChunkState::Size(digits), _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = (byte as char).to_digit(16).ok_or(Malformed::Chunk)?;
                self.left = self.left << 4 | u64::from(digit);
                ChunkState::Size(digits + 1)
            }
            (ChunkState::Size(1..), b';') => ChunkState::Extension,
            (ChunkState::Size(1..) | ChunkState::Extension, b'\r') => ChunkState::SizeLf,
            (ChunkState::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension += 1;
                if self.extension > MOST_EXTENSION {
                    return Err(Malformed::Chunk);
                }
                ChunkState::Extension
            }
            (ChunkState::SizeLf, b'\n') if self.left == 0 => ChunkState::Trailer,
            (ChunkState::SizeLf, b'\n') if self.left <= i64::MAX as u64 => ChunkState::Data,
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => ChunkState::Size(0),
            _ => return Err(Malformed::Chunk),
        };
        Ok(())
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<(), Malformed> {
        self.trailer.push(byte);
        if byte == b'\n' && !self.trailer.ends_with(b"\r\n") {
            return Err(Malformed::Trailer);
        }
        if self.trailer == b"\r\n" || self.trailer.ends_with(b"\r\n\r\n") {
            self.at = ChunkState::Over;
        }
        if self.trailer.len() > MOST_TRAILER { Err(Malformed::Trailer) } else { Ok(()) }
    }
}

impl Run {
    /// All chunks of one byte that come next, each here as a whole: what a writer that flushes each character sends.
    fn take_ones(&mut self, input: &mut [u8]) {
        let mut to = self.skip + self.data;
        let mut used = self.used;
        while let Some([b'1', b'\r', b'\n', byte, b'\r', b'\n']) = input.get(used..used + 6) {
            let byte = *byte;
            let Some(place) = input.get_mut(to) else { break };
            *place = byte;
            to += 1;
            used += 6;
        }
        self.data = to - self.skip;
        self.used = used;
    }

    /// `len` bytes of data that come after `skip` bytes of framing.
    fn take(&mut self, input: &mut [u8], skip: usize, len: usize) {
        let from = self.used + skip;
        let to = self.skip + self.data;
        match (self.data, len) {
            (0, _) => self.skip = from,
            (_, 1) => {
                if let Some(byte) = input.get(from).copied()
                    && let Some(place) = input.get_mut(to)
                {
                    *place = byte;
                }
            }
            (_, _) => input.copy_within(from..from + len, to),
        }
        self.data += len;
        self.used = from + len;
    }
}

/// What a byte is worth as a hexadecimal digit; 16: it is none.
const DIGITS: [u8; 256] = {
    let mut table = [16; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            digit @ b'A'..=b'F' => digit - b'A' + 10,
            _ => 16,
        };
        byte += 1;
    }
    table
};

/// A chunk that is here as a whole, up to its last line end, without an extension and of at most four digits: the bytes
/// of its size line and those of its data.
fn whole_chunk(input: &[u8]) -> Option<(usize, usize)> {
    let (mut len, mut digits) = (0, 0);
    while digits < 4
        && let Some(digit) = input.get(digits).map(|byte| DIGITS[usize::from(*byte)])
        && digit < 16
    {
        len = len << 4 | usize::from(digit);
        digits += 1;
    }
    let [b'\r', b'\n', data @ ..] = input.get(digits..)? else { return None };
    let whole = matches!(data.get(len..)?, [b'\r', b'\n', ..]);
    (whole && len > 0).then_some((digits + 2, len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes `input` in pieces of `piece` bytes.
    fn decode(input: &[u8], piece: usize) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
        let mut decoder = Chunked::default();
        let mut data = Vec::new();
        let mut at = 0;
        for end in (piece..input.len() + piece).step_by(piece) {
            let end = end.min(input.len());
            loop {
                match decoder.step(&input[at..end])? {
                    ChunkStep::More { consumed } => {
                        at += consumed;
                        break;
                    }
                    ChunkStep::Data { skip, len } => {
                        data.extend_from_slice(&input[at + skip..at + skip + len]);
                        decoder.took(len);
                        at += skip + len;
                    }
                    ChunkStep::End { consumed } => return Ok(Some((data, at + consumed))),
                }
            }
        }
        Ok(None)
    }

    /// Data, and bytes of input that it took.
    type Decoded = (Vec<u8>, usize);

    /// Decodes `input` as a body's reader does, in runs, with reads of `piece` bytes.
    fn in_runs(input: &[u8], piece: usize) -> Result<Option<Decoded>, (Malformed, Vec<u8>)> {
        let mut decoder = Chunked::default();
        let (mut data, mut there, mut used) = (Vec::new(), Vec::new(), 0);
        let mut reads = input.chunks(piece);
        loop {
            let run = decoder.run(&mut there).map_err(|malformed| (malformed, data.clone()))?;
            assert!(run.skip + run.data <= run.used && run.used <= there.len(), "{run:?}");
            data.extend_from_slice(&there[run.skip..run.skip + run.data]);
            used += run.used;
            there.drain(..run.used);
            if run.over {
                return Ok(Some((data, used)));
            }
            if run.data == 0 {
                let Some(more) = reads.next() else { return Ok(None) };
                assert!(there.is_empty(), "what asks for more has used what was there");
                there.extend_from_slice(more);
            }
        }
    }

    #[test]
    fn all_chunks_that_are_there_are_one_run() {
        let mut input = b"1\r\na\r\n1;x=y\r\nb\r\n01\r\nc\r\n3\r\ndef\r\n5\r\ngh".to_vec();
        let mut decoder = Chunked::default();
        let run = decoder.run(&mut input).unwrap();
        assert_eq!(&input[run.skip..run.skip + run.data], b"abcdefgh");
        assert_eq!((run.used, run.over), (input.len(), false));
        let mut rest = b"ijk\r\n0\r\n\r\nNEXT".to_vec();
        let run = decoder.run(&mut rest).unwrap();
        assert_eq!((&rest[run.skip..run.skip + run.data], run.over), (&b"ijk"[..], true));
        assert_eq!(&rest[run.used..], b"NEXT");
    }

    #[test]
    fn a_long_chunk_is_not_moved_beside_a_short_one() {
        let long = vec![b'x'; MOVED + 1];
        let mut input = format!("1\r\na\r\n{:x}\r\n", long.len()).into_bytes();
        input.extend_from_slice(&long);
        let mut decoder = Chunked::default();
        let run = decoder.run(&mut input).unwrap();
        assert_eq!((run.data, run.over), (1, false));
        let mut rest = input.split_off(run.used);
        let run = decoder.run(&mut rest).unwrap();
        assert_eq!(&rest[run.skip..run.skip + run.data], long);
    }

    #[test]
    fn what_is_wrong_behind_data_is_told_after_it() {
        for input in
            [&b"1\r\na\r\n1\r\nb\r\nnonsense"[..], b"2\r\nab\r\n0\r\nA b\nC\r\n\r\n", b"2\r\nabX\r\n"]
        {
            for piece in [1, 3, input.len()] {
                let (_, data) = in_runs(input, piece).expect_err("it is wrong");
                assert_eq!(data, b"ab", "{:?} by {piece}", String::from_utf8_lossy(input));
            }
        }
    }

    #[test]
    fn chunks_come_out_whole_whatever_the_reads_were() {
        let input = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nNEXT";
        for piece in 1..input.len() {
            let (data, used) = decode(input, piece).unwrap().unwrap();
            assert_eq!(data, b"hello world");
            assert_eq!(&input[used..], b"NEXT");
        }
    }

    #[test]
    fn doubtful_chunk_lines_are_refused() {
        let bad: [&[u8]; 16] = [
            b"\r\n",
            b"+5\r\nhello\r\n",
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\rhello",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n",
            b"5;a\n\r\n",
            b"g\r\n",
            b"10000000000000000\r\n",
            b"ffffffffffffffff\r\nx",
            b"0\r\nA: b\nC: d\r\n\r\n",
            b"5;\x00\r\nhello\r\n",
        ];
        for input in bad {
            assert!(decode(input, input.len()).is_err(), "{:?}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_refused() {
        let mut extension = b"1;".to_vec();
        extension.resize(6_000, b'x');
        assert_eq!(decode(&extension, 512), Err(Malformed::Chunk));
        let mut trailer = b"0\r\nA: ".to_vec();
        trailer.resize(10_000, b'x');
        assert_eq!(decode(&trailer, 512), Err(Malformed::Trailer));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), piece in 1_usize..64) {
            let mut input = Vec::new();
            for part in &parts {
                input.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                input.extend_from_slice(part);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\n");
            let (data, used) = decode(&input, piece).unwrap().unwrap();
            prop_assert_eq!(data, parts.concat());
            prop_assert_eq!(used, input.len());
        }

        #[test]
        fn runs_are_the_steps_together(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), 0_u8..4), 0..20),
            garbage in prop::collection::vec(any::<u8>(), 0..20),
            piece in 1_usize..200,
        ) {
            let mut input = Vec::new();
            for (part, form) in &parts {
                let line = match form {
                    0 => format!("{:x}\r\n", part.len()),
                    1 => format!("{:X};a=b\r\n", part.len()),
                    2 => format!("{:06x}\r\n", part.len()),
                    _ => format!("{:02x}\r\n", part.len()),
                };
                input.extend_from_slice(line.as_bytes());
                input.extend_from_slice(part);
                input.extend_from_slice(b"\r\n");
            }
            let good = input.len();
            input.extend_from_slice(b"0\r\nX-Sum: 1\r\n\r\nNEXT");
            prop_assert_eq!(in_runs(&input, piece).ok(), decode(&input, piece).ok());
            input.truncate(good);
            input.extend_from_slice(&garbage);
            let (runs, steps) = (in_runs(&input, piece), decode(&input, piece));
            prop_assert_eq!(runs.as_ref().map_err(|(why, _)| *why), steps.as_ref().map_err(|why| *why));
        }

        #[test]
        fn no_bytes_break_it(input in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..20) {
            let whole = decode(&input, input.len().max(1));
            let pieces = decode(&input, piece);
            prop_assert_eq!(whole.is_err(), pieces.is_err());
        }
    }
}
