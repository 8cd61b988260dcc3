//! The program `tidings`: shows and sends the events of a fleet, and runs its workers.

mod app;
mod args;
mod commands;
mod confirm;
mod connect;
mod contract;
mod declared;
mod exit;
mod inspect;
mod interrupt;
mod outcome;
mod output;
mod payload;
mod recipient;
mod screen;
mod settings;
mod terminal;
mod time;
mod writer;

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::runtime::Builder;

use self::app::App;
use self::args::Command;
use self::exit::Exit;

fn main() -> ExitCode {
    let args = args::parse();
    let app = App::new(args.global);
    let done = run(&app, args.command);
    done.unwrap_or_else(|error| exit::report(&error)).into()
}

fn run(app: &App, command: Command) -> anyhow::Result<Exit> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let done = runtime.block_on(commands::run_command(app, command));
    // The look-up of a name or the read of a file may take longer than the command: do not wait for it.
    runtime.shutdown_background();
    done
}
