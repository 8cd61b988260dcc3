//! The end of a certificate's validity, read from its DER.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The tag of the version, which certificates of version 1 do not have.
const VERSION: u8 = 0xa0;

/// Returns the time after which a certificate is not valid any more.
pub(super) fn end(der: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (signed, _) = element(certificate, SEQUENCE)?;
    let rest = match signed.first()? {
        &VERSION => after(signed)?,
        _ => signed,
    };
    // The serial number, the algorithm and the issuer are before it.
    let rest = after(after(after(rest)?)?)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let end = after(validity)?;
    let (text, _) = element(end, *end.first()?)?;
    time(*end.first()?, std::str::from_utf8(text).ok()?)
}

/// Returns the contents of the first element, which has this tag, and what is after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let digits = usize::from(first & 0x7f);
        // More do not fit a connection.
        if digits > 4 {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(digits)?;
        length = bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    (found == tag).then(|| rest.split_at_checked(length))?
}

/// Returns what is after the first element.
fn after(der: &[u8]) -> Option<&[u8]> {
    element(der, *der.first()?).map(|(_, after)| after)
}

/// Parses `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &str) -> Option<SystemTime> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            // As RFC 5280 has it.
            let century = if year < 50 { 2000 } else { 1900 };
            (century + year, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let days = days_before(year, part(0)?, part(2)?)?;
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + seconds))
}

/// Returns the days from 1970 to a date, by the proleptic Gregorian calendar.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // A year that begins in March has its leap day at its end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    let of_months = (month * 153 + 2) / 5;
    // 719,468 days are before 1970.
    (of_years + of_months + day - 1).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(time: Option<SystemTime>) -> Option<u64> {
        Some(time?.duration_since(UNIX_EPOCH).ok()?.as_secs())
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        let utc = time(UTC_TIME, "260228235959Z");
        assert_eq!(seconds(utc), Some(1_772_323_199));
        let generalized = time(GENERALIZED_TIME, "20000229000000Z");
        assert_eq!(seconds(generalized), Some(951_782_400));
        assert_eq!(seconds(time(GENERALIZED_TIME, "19700101000000Z")), Some(0));
        for wrong in ["", "26", "261301000000Z", "2602\u{e4}\u{e4}000000Z"] {
            assert_eq!(time(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_is_the_second_time_of_the_validity() {
        let wrap = |tag: u8, parts: &[&[u8]]| {
            let contents = parts.concat();
            let mut der = vec![tag, 0x81, u8::try_from(contents.len()).unwrap()];
            der.extend(contents);
            der
        };
        let begin = wrap(UTC_TIME, &[b"200101000000Z"]);
        let end_of = wrap(UTC_TIME, &[b"260228235959Z"]);
        let validity = wrap(SEQUENCE, &[&begin, &end_of]);
        let (number, nothing) = (wrap(0x02, &[&[7]]), wrap(SEQUENCE, &[]));
        let version = wrap(VERSION, &[&number]);
        for before in [&version[..], &[]] {
            let signed = wrap(SEQUENCE, &[before, &number, &nothing, &nothing, &validity]);
            let der = wrap(SEQUENCE, &[&signed, &nothing]);
            assert_eq!(seconds(end(&der)), Some(1_772_323_199));
            for length in 0..der.len() {
                assert_eq!(end(&der[..length]), None);
            }
        }
    }
}
