//! Chunked bodies: whatever the reads were, the same comes out, and it is what the plain reading says.

use strop::message::h1::chunked::{ChunkStep, Chunked, MOST_TRAILER};
use strop::message::h1::parse;

use crate::naive::{self, Chunks};

/// The decoder's own limit, which it keeps to itself.
const MOST_EXTENSION: usize = 4 * 1024;

pub fn pieces(data: &[u8]) {
    let [seed, input @ ..] = data else { return };
    let expected = expected(input);
    let at_once = decode(input, |_| usize::MAX);
    assert_eq!(at_once, expected, "read at once");
    let mut state = u32::from(*seed) + 1;
    let random = decode(input, |most| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % most.clamp(1, 13)
    });
    assert_eq!(random, expected, "read in pieces");
    assert_eq!(decode(input, |_| 1), expected, "read byte by byte");
    assert_eq!(runs(input, usize::MAX), expected, "in runs, read at once");
    assert_eq!(runs(input, 1 + usize::from(*seed % 29)), expected, "in runs, read in pieces");
}

/// The plain reading; a trailer section that is no list of fields is bad as well.
fn expected(input: &[u8]) -> Chunks {
    match naive::chunks(input, MOST_EXTENSION, MOST_TRAILER) {
        Chunks::Whole { trailer, .. } if !naive::is_section(&trailer) => Chunks::Bad,
        other => other,
    }
}

/// Decodes as the reader of a body does, in runs, with reads of `piece` bytes.
fn runs(input: &[u8], piece: usize) -> Chunks {
    let mut decoder = Chunked::default();
    let (mut data, mut there, mut used, mut end) = (Vec::new(), Vec::new(), 0, 0);
    loop {
        let Ok(run) = decoder.run(&mut there) else { return Chunks::Bad };
        assert!(run.skip + run.data <= run.used && run.used <= there.len(), "data lies within the input");
        data.extend_from_slice(&there[run.skip..run.skip + run.data]);
        used += run.used;
        there.drain(..run.used);
        if run.over {
            let trailer = decoder.trailer().to_vec();
            let good = parse::trailers(&trailer).is_ok();
            return if good { Chunks::Whole { data, trailer, used } } else { Chunks::Bad };
        }
        if run.data == 0 {
            assert!(there.is_empty(), "what asks for more has used what was there");
            if end == input.len() {
                return Chunks::Cut;
            }
            let from = end;
            end = end.saturating_add(piece).min(input.len());
            there.extend_from_slice(&input[from..end]);
        }
    }
}

/// Decodes step by step, with reads, and uses of data, as large as `size` says.
fn decode(input: &[u8], mut size: impl FnMut(usize) -> usize) -> Chunks {
    let mut decoder = Chunked::default();
    let mut data = Vec::new();
    let (mut at, mut end) = (0, 0);
    loop {
        let there = &input[at..end];
        match decoder.step(there) {
            Err(_) => return Chunks::Bad,
            Ok(ChunkStep::More { consumed }) => {
                assert_eq!(consumed, there.len(), "what asks for more has used what was there");
                at += consumed;
                if end == input.len() {
                    return Chunks::Cut;
                }
                end = end.saturating_add(size(input.len() - end)).min(input.len());
            }
            Ok(ChunkStep::Data { skip, len }) => {
                assert!(len > 0 && skip + len <= there.len(), "data lies within the input");
                let taken = size(len).min(len);
                data.extend_from_slice(&there[skip..skip + taken]);
                decoder.took(taken);
                at += skip + taken;
            }
            Ok(ChunkStep::End { consumed }) => {
                assert!(consumed <= there.len());
                let trailer = decoder.trailer().to_vec();
                let used = at + consumed;
                assert_eq!(decoder.step(&input[used..]), Ok(ChunkStep::End { consumed: 0 }), "it stays over");
                let good = parse::trailers(&trailer).is_ok();
                return if good { Chunks::Whole { data, trailer, used } } else { Chunks::Bad };
            }
        }
    }
}
