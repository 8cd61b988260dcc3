//! The program `tidings`, which runs and replaces workers.

mod args;
mod commands;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;
use tidings_supervisor::{RemoteError, StartError};

use self::args::{Args, Command};
use self::terminal::Style;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let done = match command {
        Command::Run(run) => commands::run::run(&run).await,
        Command::Ps(ps) => commands::ps::ps(&ps).await,
        Command::Reload(reload) => commands::reload::reload(&reload).await,
        Command::Scale(scale) => commands::scale::scale(&scale).await,
        Command::Stop(stop) => commands::stop::stop(&stop).await,
    };
    done.unwrap_or_else(|error| {
        print_error(&error);
        ExitCode::FAILURE
    })
}

/// Prints the error with its causes, and help if there is any.
fn print_error(error: &anyhow::Error) {
    terminal::print_labeled(
        Style::Error,
        "error",
        &terminal::escape_lines(format_args!("{error:#}")),
    );
    if let Some(help) = help(error) {
        terminal::print_labeled(Style::Success, "help", &help);
    }
}

/// Returns what the user can do about the error.
pub(crate) fn help(error: &anyhow::Error) -> Option<String> {
    let start = error.downcast_ref::<StartError>().and_then(|it| match it {
        StartError::NameTaken { name } => Some(format!(
            "choose another name with `--name`, or stop the other supervisor with `tidings stop {name}`"
        )),
        StartError::User { .. } => Some("run the command as root".to_owned()),
        StartError::RuntimeDir { .. } => {
            Some("set TIDINGS_RUNTIME_DIR to a directory that you own".to_owned())
        }
        _ => None,
    });
    start.or_else(|| match error.downcast_ref::<RemoteError>()? {
        RemoteError::NoneRunning { .. } => {
            Some("start one with `tidings run -- PROGRAM`".to_owned())
        }
        RemoteError::SeveralRunning(_) => {
            Some("add the name of the supervisor to the command".to_owned())
        }
        RemoteError::NotFound { .. } => Some("list all supervisors with `tidings ps`".to_owned()),
        _ => None,
    })
}
