//! From when until when an X.509 certificate is valid: just as much of its DER as it takes to get there. Pure.

use crate::clock::UtcTime;

/// The time in which a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: UtcTime,
    pub(super) until: UtcTime,
}

impl Validity {
    /// Reads it; none when this is no certificate.
    pub(super) fn read(certificate: &[u8]) -> Option<Self> {
        let (tbs, _) = expect(certificate, SEQUENCE)?;
        let (mut rest, _) = expect(tbs, SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            rest = element(rest)?.2;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            rest = element(rest)?.2;
        }
        let (validity, _) = expect(rest, SEQUENCE)?;
        let (tag, from, rest) = element(validity)?;
        let from = time(tag, from)?;
        let (tag, until, _) = element(rest)?;
        Some(Self { from, until: time(tag, until)? })
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Tag, content and what follows of the first element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let digits = usize::from(first & 0x7f);
        if !(1..=4).contains(&digits) || rest.len() < digits {
            return None;
        }
        length = rest[..digits].iter().fold(0, |n, b| n << 8 | usize::from(*b));
        rest = &rest[digits..];
    }
    (length <= rest.len()).then(|| (tag, &rest[..length], &rest[length..]))
}

fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

fn time(tag: u8, text: &[u8]) -> Option<UtcTime> {
    let text = std::str::from_utf8(text).ok().filter(|t| t.is_ascii())?;
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 13) => {
            let short: u16 = text[..2].parse().ok()?;
            (if short >= 50 { 1900 + short } else { 2000 + short }, &text[2..])
        }
        (GENERALIZED_TIME, 15) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |n: usize| &rest[2 * n..2 * n + 2];
    UtcTime::parse(&format!("{year:04}-{}-{}T{}:{}:{}Z", part(0), part(1), part(2), part(3), part(4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_are_those_that_were_put_in() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["broker.example".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2060, 1, 2); // beyond 2050 the form is another
        let certificate = params.self_signed(&key).unwrap();
        let validity = Validity::read(certificate.der()).unwrap();
        assert_eq!(validity.from.to_string(), "2024-02-29T00:00:00.000Z");
        assert_eq!(validity.until.to_string(), "2060-01-02T00:00:00.000Z");
        let der = certificate.der();
        for end in 0..der.len() {
            assert!(Validity::read(&der[..end]).is_none(), "cut at {end}");
        }
    }
}
