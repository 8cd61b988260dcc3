//! The program `tidings`.

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
        show(&error);
        ExitCode::FAILURE
    })
}

/// The error with its causes in one line, and in another what can be done about it.
fn show(error: &anyhow::Error) {
    terminal::complain(
        Style::Alarm,
        "error",
        &terminal::harmless_lines(format_args!("{error:#}")),
    );
    if let Some(cure) = cure(error) {
        terminal::complain(Style::Good, "help", &cure);
    }
}

pub(crate) fn cure(error: &anyhow::Error) -> Option<String> {
    let start = error.downcast_ref::<StartError>().and_then(|it| match it {
        StartError::NameTaken { name } => Some(format!(
            "give another one with `--name`, or end that one with `tidings stop {name}`"
        )),
        StartError::User { .. } => Some("run this as root".to_owned()),
        StartError::RuntimeDir { .. } => {
            Some("set TIDINGS_RUNTIME_DIR to a directory of your own".to_owned())
        }
        _ => None,
    });
    start.or_else(|| match error.downcast_ref::<RemoteError>()? {
        RemoteError::NoneRunning { .. } => {
            Some("start one with `tidings run -- PROGRAM`".to_owned())
        }
        RemoteError::SeveralRunning(_) => Some("say which one: give its name".to_owned()),
        RemoteError::NotFound { .. } => Some("`tidings ps` shows all".to_owned()),
        _ => None,
    })
}
