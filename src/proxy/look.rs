//! A bounded look into the body of an answer, as far as it is there with the head. Nothing is taken out of it, and nobody waits.

use std::future::poll_fn;
use std::io::Read as _;
use std::task::Poll;

use flate2::bufread::GzDecoder;

use super::forward::Answer;
use crate::message::head::begins_with;
use crate::reliability::verdict::JudgePolicy;

/// Bytes that are looked at, before and after gzip is undone.
const MOST: usize = 16 * 1024;

/// The status by which an answer counts: its own, or 429 where its JSON says that it is a rate limit.
pub(super) async fn status(judge: &JudgePolicy, answer: &mut Answer) -> u16 {
    let status = answer.head.status;
    let field = |name: &str| answer.head.store.field(name).unwrap_or_default();
    let is_json = begins_with(field("content-type"), b"application/json");
    let coding = field("content-encoding");
    let (plain, zipped) = (coding.is_empty(), coding.eq_ignore_ascii_case(b"gzip"));
    if !is_json || !(plain || zipped) {
        return status;
    }
    poll_fn(|cx| {
        let there = match answer.body.poll_data(cx) {
            Poll::Ready(Ok(there)) => there.min(MOST),
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        let body = answer.body.data().get(..there).unwrap_or_default();
        let limited =
            if zipped { judge.is_limit(status, &unzipped(body)) } else { judge.is_limit(status, body) };
        Poll::Ready(if limited { 429 } else { status })
    })
    .await
}

/// As much as can be had of it.
fn unzipped(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // What is there may end anywhere: what comes before the error is the beginning of the text.
    let _ = GzDecoder::new(body).take(MOST as u64).read_to_end(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text).expect("writes to a Vec");
        gzip.finish().expect("ends")
    }

    #[test]
    fn a_zipped_body_is_read_as_far_as_it_is_there_and_no_further_than_the_bound() {
        assert_eq!(unzipped(&zipped(b"{\"a\": 1}")), b"{\"a\": 1}");
        let long = zipped(&vec![b'x'; 1 << 20]);
        assert_eq!(unzipped(&long).len(), MOST, "{} bytes become a mebibyte", long.len());
        let noise: Vec<u8> = (0..4_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let all = zipped(&noise);
        let part = unzipped(&all[..all.len() / 2]);
        assert!(!part.is_empty() && noise.starts_with(&part), "{} bytes", part.len());
        assert_eq!(unzipped(b"no gzip"), b"");
    }
}
