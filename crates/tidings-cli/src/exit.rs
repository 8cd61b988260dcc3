//! Exit codes, and how errors are printed.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use tidings::{
    ConnectError, CounterError, HeaderError, JournalError, RequestError, SendError, StartError,
    StoreError, Unconfirmed,
};
use tidings_codec::NameError;
use tidings_supervisor::RemoteError;

use crate::terminal::{self, Style, escape_lines};

/// The result of a command, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It failed, and nothing happened.
    Failed = 1,
    /// The arguments or the settings are not valid.
    Usage = 2,
    /// It is done in part: a member or a worker failed, did not respond or had to be killed; `doctor`
    /// found an error, `schema check` a break, `schema lint` a remark.
    Incomplete = 3,
    /// The result is unknown: it may have been sent, counted or changed.
    Unknown = 4,
    /// No member, value or key has this name, id or role, or no member handles the event.
    Nobody = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error of the command line itself, with what to do about it.
#[derive(Debug)]
pub(crate) struct Problem {
    exit: Exit,
    text: String,
    help: Option<String>,
}

impl Problem {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
            help: None,
        }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Problem {}

/// The reader of standard output has gone, as with `| head`. A stream ends quietly.
#[derive(Debug)]
pub(crate) struct OutputClosed;

impl fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl Error for OutputClosed {}

/// Prints an error with its causes, and help if there is any. Returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    if error.is::<OutputClosed>() {
        return Exit::Done;
    }
    let text = escape_lines(format_args!("{error:#}"));
    terminal::print_labeled(Style::Error, "error", &text);
    if let Some(help) = help(error) {
        terminal::print_labeled(Style::Success, "help", &escape_lines(help));
    }
    exit_of(error)
}

pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    if error.chain().any(is_name) {
        return Exit::Usage;
    }
    error
        .chain()
        .find_map(exit_of_cause)
        .unwrap_or(Exit::Failed)
}

/// Returns whether the cause is a name or a header that is not valid.
fn is_name(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<NameError>()
        || cause.is::<HeaderError>()
        || matches!(cause.downcast_ref(), Some(SendError::Reserved { .. }))
}

fn exit_of_cause(cause: &(dyn Error + 'static)) -> Option<Exit> {
    let unknown = |is_unknown| {
        if is_unknown {
            Exit::Unknown
        } else {
            Exit::Failed
        }
    };
    if let Some(problem) = cause.downcast_ref::<Problem>() {
        return Some(problem.exit);
    }
    if let Some(RequestError::Send(error)) = cause.downcast_ref() {
        return exit_of_cause(error);
    }
    if let Some(error) = cause.downcast_ref::<SendError>() {
        let is_nobody = matches!(error, SendError::Nobody { .. });
        return Some(if is_nobody {
            Exit::Nobody
        } else {
            unknown(error.is_unknown())
        });
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return Some(unknown(error.is_unknown()));
    }
    if let Some(error) = cause.downcast_ref::<CounterError>() {
        return Some(unknown(error.is_unknown()));
    }
    if let Some(JournalError::Unconfirmed { why, .. }) = cause.downcast_ref() {
        return Some(unknown(matches!(why, Unconfirmed::Unknown(_))));
    }
    if let Some(tidings_supervisor::StartError::ReservedVariable(_)) = cause.downcast_ref() {
        return Some(Exit::Usage);
    }
    if let Some(RemoteError::Unreachable { source, .. }) = cause.downcast_ref() {
        use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        // Of the connection: no request was sent.
        let kinds = [ConnectionRefused, NotFound, PermissionDenied];
        return Some(unknown(!kinds.contains(&source.kind())));
    }
    match cause.downcast_ref()? {
        StartError::Url { .. } | StartError::Namespace { .. } => Some(Exit::Usage),
        StartError::Refused {
            source: ConnectError::NoJournal,
            ..
        } => Some(Exit::Nobody),
        _ => None,
    }
}

fn help(error: &anyhow::Error) -> Option<String> {
    let mut causes = error.chain();
    if let Some(problem) = causes.find_map(|cause| cause.downcast_ref::<Problem>()) {
        return problem.help.clone();
    }
    match error.downcast_ref::<StartError>() {
        Some(StartError::Refused {
            source: ConnectError::NoJournal,
            ..
        }) => Some(
            "a journal begins when a process starts with one; `tidings context show` shows the \
             namespace"
                .to_owned(),
        ),
        Some(
            StartError::Unreachable { .. } | StartError::Refused { .. } | StartError::Url { .. },
        ) => Some(
            "`tidings context show` shows where the address comes from; --url gives another one"
                .to_owned(),
        ),
        _ => crate::commands::supervisor_help(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_an_error_says_whether_something_may_have_happened() {
        let nobody = SendError::Nobody {
            event: "tick".to_owned(),
            to: "the role `api`".to_owned(),
        };
        let unknown = || SendError::Unknown {
            event: "tick".to_owned(),
            why: tidings::SendFailure::Lost,
        };
        assert_eq!(exit_of(&anyhow::Error::new(nobody)), Exit::Nobody);
        assert_eq!(exit_of(&anyhow::Error::new(unknown())), Exit::Unknown);
        assert_eq!(
            exit_of(&anyhow::Error::new(unknown()).context("cannot send")),
            Exit::Unknown
        );
        assert_eq!(
            exit_of(&anyhow::Error::new(RequestError::Send(unknown()))),
            Exit::Unknown
        );
        assert_eq!(exit_of(&anyhow::anyhow!("other")), Exit::Failed);
        assert_eq!(exit_of(&Problem::usage("x").into()), Exit::Usage);
    }
}
