//! When a certificate expires: the one thing of it that the operator is warned about.

use time::{Date, Month, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of an X.509 certificate in DER (RFC 5280 §4.1); none when it cannot be read, which refuses nothing.
pub(super) fn expiry(der: &[u8]) -> Option<OffsetDateTime> {
    let (certificate, _) = of_kind(der, SEQUENCE)?;
    let (mut fields, _) = of_kind(certificate, SEQUENCE)?;
    if let Some((_, rest)) = of_kind(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer, validity.
    let (_, rest) = of_kind(fields, INTEGER)?;
    let (_, rest) = of_kind(rest, SEQUENCE)?;
    let (_, rest) = of_kind(rest, SEQUENCE)?;
    let (validity, _) = of_kind(rest, SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (kind, text, _) = element(rest)?;
    moment(kind, text)
}

/// The kind and the content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

fn of_kind(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(kind, ..)| *kind == wanted).map(|(_, content, rest)| (content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn moment(kind: u8, text: &[u8]) -> Option<OffsetDateTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (kind, text.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        (GENERALIZED_TIME, 14) => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(two(0)?).ok()?, two(2)?).ok()?;
    Some(date.with_time(Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?).assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn expiry_is_read_in_both_forms() {
        for year in [2031, 2049, 2050, 2199] {
            let date = expiry(&made(year)).unwrap().date();
            assert_eq!((date.year(), date.month(), date.day()), (year, Month::February, 3));
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_never_more_than_unknown() {
        let whole = made(2031);
        for length in 0..whole.len().min(400) {
            assert_eq!(expiry(&whole[..length]), None);
        }
        for at in 0..200 {
            for byte in [0x00, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _unknown_or_not = expiry(&changed);
            }
        }
    }
}
