//! When a certificate is valid: the one part of X.509 that is read here, by hand.
//!
//! Walks the outer fields of a certificate (RFC 5280 section 4.1) to its validity; whoever verifies certificates is rustls. What is
//! not understood is not observable, never "valid".

use std::time::{Duration, SystemTime};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One element of DER: its tag, what is in it, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((tag, inside, rest))
}

fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, inside, rest)| (inside, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that RFC 5280 section 4.1.2.5 allows.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    let (year, rest) = text.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    let year: i64 = year.parse().ok()?;
    let year = match tag {
        UTC_TIME if year < 50 => 2_000 + year,
        UTC_TIME => 1_900 + year,
        GENERALIZED_TIME => year,
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let (month, day, hour, minute, second) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    // What is before 1970 is as old as that.
    let read: jiff::Timestamp = text.parse().ok()?;
    let seconds = u64::try_from(read.as_second()).unwrap_or_default();
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// From when and until when.
pub(super) fn of(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (whole, _) = sequence(certificate)?;
    let (signed, _) = sequence(whole)?;
    let after_version = match element(signed)? {
        (VERSION, _, rest) => rest,
        _ => signed,
    };
    // Its number, the algorithm, who issued it.
    let rest = (0..3).try_fold(after_version, |rest, _| element(rest).map(|(_, _, rest)| rest))?;
    let (validity, _) = sequence(rest)?;
    let (from_tag, from, rest) = element(validity)?;
    let (until_tag, until, _) = element(rest)?;
    Some((time(from_tag, from)?, time(until_tag, until)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_validity_of_a_certificate_is_read() {
        for (year, until) in [(2_031, 1_924_992_000), (2_080, 3_471_292_800)] {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
            params.not_before = rcgen::date_time_ymd(2_026, 11, 1);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().expect("a key");
            let der = params.self_signed(&key).expect("signs");
            let (from, read) = of(der.der()).expect("reads");
            assert_eq!(from, SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_491_200));
            let seconds = read.duration_since(SystemTime::UNIX_EPOCH).expect("after it").as_secs();
            assert_eq!(seconds, until, "{year}");
            for cut in 0..der.der().len().min(200) {
                assert_eq!(of(&der.der()[..cut]), None, "cut at {cut}");
            }
        }
    }

    #[test]
    fn times_are_those_of_the_standard() {
        let at = |tag, text: &str| {
            let time = time(tag, text.as_bytes())?;
            Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
        };
        assert_eq!(at(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(at(UTC_TIME, "490101000000Z"), at(GENERALIZED_TIME, "20490101000000Z"));
        assert_eq!(at(UTC_TIME, "500101000000Z"), Some(0), "1950");
        for bad in ["", "Z", "7001010000Z", "701301000000Z", "700101000000", "70010100000xZ", "-00101000000Z"]
        {
            assert_eq!(at(UTC_TIME, bad), None, "{bad:?}");
        }
    }
}
