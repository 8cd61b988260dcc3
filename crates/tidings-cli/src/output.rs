//! Writing to standard output and standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use serde::Serialize;

use crate::exit::{OutputClosed, Problem};
use crate::terminal::escaped_json;

/// The version of the JSON that commands print. It changes only if a field changes its meaning.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct Versioned<'a, T> {
    v: u8,
    #[serde(flatten)]
    result: &'a T,
}

/// Prints the result of a command as one line of JSON.
pub(crate) fn json(object: &impl Serialize) -> anyhow::Result<()> {
    result(versioned(object)?)
}

/// Returns an object as one line of JSON, with the version of its form.
pub(crate) fn versioned(result: &impl Serialize) -> serde_json::Result<String> {
    escaped_json(&Versioned { v: VERSION, result }, false)
}

/// Prints the result of a command. The command is done whether or not its reader has gone, so a closed
/// pipe is ignored.
pub(crate) fn result(text: impl Display) -> anyhow::Result<()> {
    match write(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(not_written(&error).into()),
        _ => Ok(()),
    }
}

/// Prints one line of a stream. The stream ends when its reader has gone.
pub(crate) fn stream(line: impl Display) -> anyhow::Result<()> {
    checked(write(line))
}

/// Returns the error of a stream.
pub(crate) fn checked(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        Err(error) => Err(not_written(&error).into()),
    }
}

/// Prints a line to standard error.
pub(crate) fn remark(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

fn write(text: impl Display) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

fn not_written(error: &io::Error) -> Problem {
    Problem::failed(format!("cannot write to standard output: {error}"))
}
