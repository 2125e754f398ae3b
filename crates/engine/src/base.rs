//! The two small values that everything else is written in: a point in time and an object's uid.

use std::fmt;

/// A point in time, in milliseconds since the Unix epoch. The engine has no clock: the caller passes one in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// The point `seconds` after the Unix epoch, as Kubernetes' own timestamps have it.
    pub const fn from_seconds(seconds: i64) -> Self {
        Time(seconds.saturating_mul(1000))
    }

    /// This point moved by a number of milliseconds, never past the ends of the scale.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Time(self.0.saturating_add(millis))
    }

    /// The second that this point is in, as Kubernetes' own timestamps have it.
    #[must_use]
    pub const fn second(self) -> Self {
        Time::from_seconds(self.seconds())
    }

    /// Whole seconds since the Unix epoch.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The milliseconds from `earlier` to this point.
    pub const fn millis_since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The uid of an API object: a UUID, kept in 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u128);

impl Uid {
    /// Reads the canonical text of a UUID (8-4-4-4-12 lower-case hexadecimal digits), the only form that an API
    /// server gives out; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        let mut bits: u128 = 0;
        for (position, byte) in text.bytes().enumerate() {
            match (position, byte) {
                (8 | 13 | 18 | 23, b'-') => {}
                (8 | 13 | 18 | 23, _) => return None,
                (_, b'0'..=b'9') => bits = bits << 4 | u128::from(byte - b'0'),
                (_, b'a'..=b'f') => bits = bits << 4 | u128::from(byte - b'a' + 10),
                _ => return None,
            }
        }
        Some(Uid(bits))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            bits >> 80 & 0xffff,
            bits >> 64 & 0xffff,
            bits >> 48 & 0xffff,
            bits & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_read_and_written_as_the_same_text() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(Uid::parse(text).unwrap().to_string(), text);
        for bad in
            ["", "0f8fad5b", "0F8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b0d9cb-469f-a165-70867728950e"]
        {
            assert_eq!(Uid::parse(bad), None, "{bad:?}");
        }
    }
}
