//! Values of date and address conditions.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Reads a point in time: ISO 8601 (the W3C profile: year, month, day, or with time and zone) or seconds of UNIX time.
/// A time without a zone is UTC.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let utc = |at: DateTime| at.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
    let number = |s: &str| s.parse::<i16>().ok();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if digits && text.len() != 4 {
        return Timestamp::from_second(text.parse().ok()?).ok();
    }
    if digits {
        return utc(Date::new(number(text)?, 1, 1).ok()?.into());
    }
    if let (7, Some((year, month))) = (text.len(), text.split_once('-')) {
        let month = i8::try_from(number(month)?).ok()?;
        return utc(Date::new(number(year)?, month, 1).ok()?.into());
    }
    utc(text.parse::<DateTime>().ok()?)
}

/// Reads an address block; a single address is a block of one.
pub(super) fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(network) => Some(network),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_documented_form() {
        let start_of_2026 = Timestamp::from_second(1_767_225_600).ok();
        for text in [
            "2026",
            "2026-01",
            "2026-01-01",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00+01:00",
            "2026-01-01T00:00:00.000Z",
            "2026-01-01T00:00:00",
            "1767225600",
        ] {
            assert_eq!(instant(text), start_of_2026, "{text}");
        }
        for text in ["", "soon", "2026-13-01", "2026-1", "-1", "99999999999999999999", "1e3"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
