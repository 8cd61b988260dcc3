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

/// All variants in their order, with their signal and its name.
const ALL: [(StopSignal, Signal, &str); 6] = [
    (StopSignal::Terminate, Signal::TERM, "SIGTERM"),
    (StopSignal::Quit, Signal::QUIT, "SIGQUIT"),
    (StopSignal::Interrupt, Signal::INT, "SIGINT"),
    (StopSignal::Hangup, Signal::HUP, "SIGHUP"),
    (StopSignal::User1, Signal::USR1, "SIGUSR1"),
    (StopSignal::User2, Signal::USR2, "SIGUSR2"),
];

impl From<StopSignal> for Signal {
    fn from(signal: StopSignal) -> Self {
        ALL[signal as usize].1
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ALL[*self as usize].2)
    }
}

impl FromStr for StopSignal {
    type Err = ParseStopSignalError;

    /// Parses a name with or without `SIG`, in any case.
    fn from_str(text: &str) -> Result<Self, ParseStopSignalError> {
        let upper = text.to_ascii_uppercase();
        let name = format!("SIG{}", upper.strip_prefix("SIG").unwrap_or(&upper));
        let found = ALL.into_iter().find(|(_, _, it)| *it == name);
        found
            .map(|(signal, _, _)| signal)
            .ok_or_else(|| ParseStopSignalError(text.to_owned()))
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
        for (signal, _, name) in ALL {
            assert_eq!(signal.to_string(), name);
            assert_eq!(name.parse(), Ok(signal));
        }
        assert_eq!("quit".parse(), Ok(StopSignal::Quit));
        assert!("SIGKILL".parse::<StopSignal>().is_err());
    }
}
