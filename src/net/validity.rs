//! When a certificate is valid. Whoever verifies certificates is rustls; what cannot be read is not observable, never "valid".

use std::time::{Duration, SystemTime};

use x509_parser::time::ASN1Time;

/// From when and until when (RFC 5280 section 4.1.2.5).
pub(super) fn of(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = read.validity();
    Some((time(validity.not_before), time(validity.not_after)))
}

/// What is before 1970 is as old as that.
fn time(at: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at.timestamp()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_validity_of_a_certificate_is_read() {
        for (year, until) in [(1_950, 0), (2_031, 1_924_992_000), (2_080, 3_471_292_800)] {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
            params.not_before = rcgen::date_time_ymd(2_026, 11, 1);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().expect("a key");
            let der = params.self_signed(&key).expect("signs");
            let (from, read) = of(der.der()).expect("reads");
            assert_eq!(from, SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_491_200));
            let seconds = read.duration_since(SystemTime::UNIX_EPOCH).expect("not before it").as_secs();
            assert_eq!(seconds, until, "{year}");
            for cut in 0..der.der().len() {
                assert_eq!(of(&der.der()[..cut]), None, "cut at {cut}");
            }
        }
    }
}
