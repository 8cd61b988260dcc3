//! `tidings completions`: prints the completions for a shell.

use clap_complete::generate;

use crate::args::{self, Completions};
use crate::exit::Exit;
use crate::output;

pub(crate) fn completions(args: &Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    generate(args.shell, &mut args::command(), "tidings", &mut script);
    let script = String::from_utf8(script)?;
    output::result(script.trim_end())?;
    Ok(Exit::Done)
}
