//! The signal that tells a worker to stop.

use std::fmt;
use std::str::FromStr;

use rustix::process::Signal;

/// The signal that tells a worker to stop. Some programs stop gracefully only on another one than
/// SIGTERM.
///
/// # Examples
///
/// ```
/// use tidings_supervisor::{StopSignal, Supervisor};
///
/// let nginx = Supervisor::new("nginx").stop_signal(StopSignal::Quit);
/// assert_eq!("SIGQUIT".parse(), Ok(StopSignal::Quit));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Terminate,
    /// SIGQUIT.
    Quit,
    /// SIGINT.
    Interrupt,
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

const ALL: [StopSignal; 6] = [
    StopSignal::Terminate,
    StopSignal::Quit,
    StopSignal::Interrupt,
    StopSignal::Hangup,
    StopSignal::User1,
    StopSignal::User2,
];

impl StopSignal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Quit => "SIGQUIT",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
        }
    }
}

impl From<StopSignal> for Signal {
    fn from(signal: StopSignal) -> Self {
        match signal {
            StopSignal::Terminate => Self::TERM,
            StopSignal::Quit => Self::QUIT,
            StopSignal::Interrupt => Self::INT,
            StopSignal::Hangup => Self::HUP,
            StopSignal::User1 => Self::USR1,
            StopSignal::User2 => Self::USR2,
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StopSignal {
    type Err = ParseStopSignalError;

    /// Parses a name with or without `SIG`, in any case.
    fn from_str(text: &str) -> Result<Self, ParseStopSignalError> {
        let upper = text.to_ascii_uppercase();
        let name = format!("SIG{}", upper.strip_prefix("SIG").unwrap_or(&upper));
        let mut all = ALL.into_iter();
        let found = all.find(|signal| signal.name() == name);
        found.ok_or_else(|| ParseStopSignalError(text.to_owned()))
    }
}

/// An error that says that a text is no [`StopSignal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown stop signal `{0}`: use SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1 or SIGUSR2")]
pub struct ParseStopSignalError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_parsed_from_its_name() {
        for signal in ALL {
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
        assert_eq!("quit".parse(), Ok(StopSignal::Quit));
        assert!("SIGKILL".parse::<StopSignal>().is_err());
    }
}
