//! The identity of an entry: it tells one entry of the journal from another.

use std::fmt;
use std::str::FromStr;

use crate::event::numbers::Numbers;
use crate::keyspace::journal::{Content, Entry, Unreadable, fingerprint};

/// The execution of one command that added an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Frame {
        numbers: Numbers,
        attempt: u32,
    },
    /// The fingerprint of an entry without a sender.
    Foreign(u64),
}

impl Identity {
    /// The identity of an entry with these numbers.
    pub(crate) fn of(entry: &Entry, numbers: Option<Numbers>) -> Self {
        match (&entry.content, numbers) {
            (Content::Foreign(fingerprint), _) => Self::Foreign(*fingerprint),
            (Content::Frame { attempt, .. }, Some(numbers)) => Self::Frame {
                numbers,
                attempt: *attempt,
            },
            (Content::Frame { frame, attempt }, None) => {
                Self::Foreign(fingerprint([&**frame, &attempt.to_le_bytes()]))
            }
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { numbers, attempt } => {
                let Numbers {
                    sender,
                    first,
                    events,
                } = numbers;
                write!(f, "{sender}:{first}:{events}:{attempt}")
            }
            Self::Foreign(fingerprint) => write!(f, "#{fingerprint:x}"),
        }
    }
}

impl FromStr for Identity {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        if let Some(fingerprint) = text.strip_prefix('#') {
            let fingerprint = u64::from_str_radix(fingerprint, 16);
            return fingerprint.map(Self::Foreign).map_err(|_| Unreadable);
        }
        let parts: Vec<&str> = text.split(':').collect();
        let [sender, first, events, attempt] = parts[..] else {
            return Err(Unreadable);
        };
        let numbers = Numbers {
            sender: sender.parse().map_err(|_| Unreadable)?,
            first: first.parse().map_err(|_| Unreadable)?,
            events: events.parse().map_err(|_| Unreadable)?,
        };
        let attempt = attempt.parse().map_err(|_| Unreadable)?;
        Ok(Self::Frame { numbers, attempt })
    }
}
