//! The position of an event in a journal.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The place of an event in the [journal](crate::Journal) of its namespace: the id of its entry in
/// the Redis stream, as `milliseconds-number`. Events of one frame have the same position.
///
/// [`Receipt::position`](crate::Receipt::position) and
/// [`Context::position`](crate::Context::position) return it. Later entries have greater positions,
/// unless Redis lost entries in between: then a position can be given again.
///
/// ```
/// use tidings::JournalPosition;
///
/// let position: JournalPosition = "1760000000000-3".parse()?;
/// assert!(position > JournalPosition::START);
/// assert_eq!(position.to_string(), "1760000000000-3");
/// # Ok::<_, tidings::ParseJournalPositionError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalPosition {
    /// Milliseconds since 1970 by Redis's clock.
    pub(crate) ms: u64,
    pub(crate) number: u64,
}

/// The origin of events that were read from a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Journaled {
    pub(crate) position: JournalPosition,
    /// True if the entry was in the journal before this bus began to read it.
    pub(crate) is_replayed: bool,
}

/// The text is not a [`JournalPosition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the position of a journal, such as `1760000000000-3`")]
#[non_exhaustive]
pub struct ParseJournalPositionError;

impl JournalPosition {
    /// The position before the first entry of a journal.
    pub const START: Self = Self { ms: 0, number: 0 };

    /// The least position after this one.
    pub(crate) fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self::at(self.ms.saturating_add(1)),
        }
    }

    /// The greatest position before this one.
    pub(crate) fn previous(self) -> Self {
        match (self.ms.checked_sub(1), self.number.checked_sub(1)) {
            (_, Some(number)) => Self { number, ..self },
            (Some(ms), None) => Self {
                ms,
                number: u64::MAX,
            },
            (None, None) => Self::START,
        }
    }

    /// The position before the entries of this millisecond.
    pub(crate) const fn at(ms: u64) -> Self {
        Self { ms, number: 0 }
    }
}

impl fmt::Display for JournalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

impl FromStr for JournalPosition {
    type Err = ParseJournalPositionError;

    fn from_str(text: &str) -> Result<Self, ParseJournalPositionError> {
        let (ms, number) = text.split_once('-').ok_or(ParseJournalPositionError)?;
        let parsed = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| digits.parse().ok()).flatten();
            number.ok_or(ParseJournalPositionError)
        };
        Ok(Self {
            ms: parsed(ms)?,
            number: parsed(number)?,
        })
    }
}

impl Serialize for JournalPosition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_parsed_only_in_the_form_in_which_redis_writes_it() {
        let position: JournalPosition = "18446744073709551615-7".parse().unwrap();
        assert_eq!(position.to_string(), "18446744073709551615-7");
        for other in [
            "",
            "1",
            "-",
            "1-",
            "+1-2",
            "1-2-3",
            "1-x",
            "18446744073709551616-0",
        ] {
            assert!(other.parse::<JournalPosition>().is_err(), "{other}");
        }
    }

    #[test]
    fn nothing_is_between_a_position_and_the_next() {
        let last_of = |ms| JournalPosition {
            ms,
            number: u64::MAX,
        };
        assert_eq!(last_of(4).next(), JournalPosition::at(5));
        assert_eq!(JournalPosition::at(5).previous(), last_of(4));
        assert_eq!(JournalPosition::START.previous(), JournalPosition::START);
        let next = JournalPosition::at(5).next();
        assert_eq!(next.previous(), JournalPosition::at(5));
        assert_eq!(next.to_string(), "5-1");
    }
}
