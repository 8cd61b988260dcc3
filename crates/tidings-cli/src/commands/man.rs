//! `tidings man`: writes the manual pages, one per command.

use std::fs;

use anyhow::Context as _;

use crate::app::App;
use crate::args::{self, Man};
use crate::exit::Exit;
use crate::terminal::escape;

pub(crate) fn man(app: &App, args: &Man) -> anyhow::Result<Exit> {
    let shown = escape(args.directory.display());
    let failed = || format!("cannot write the manual pages into {shown}");
    fs::create_dir_all(&args.directory).with_context(failed)?;
    clap_mangen::generate_to(args::command(), &args.directory).with_context(failed)?;
    app.remark(format_args!("the manual pages are in {shown}"));
    Ok(Exit::Done)
}
