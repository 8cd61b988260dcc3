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

use self::app::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = args::parse();
    let app = App::new(args.global);
    let done = commands::run_command(&app, args.command).await;
    done.unwrap_or_else(|error| exit::report(&error)).into()
}
