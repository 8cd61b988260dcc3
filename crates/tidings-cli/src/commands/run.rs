//! `tidings run`: runs a supervisor in the foreground.

mod messages;
mod output;
mod watch;
mod writer;

use std::path::Path;
use std::thread;

use anyhow::Context as _;
use tidings_supervisor::{
    Backoff, ReadyWhen, Signals, StartError, Stopped, Supervisor, SupervisorEvent, Workers,
};
use tokio::signal::unix::{SignalKind, signal};

use self::messages::Message;
use self::output::Output;
use self::watch::Watch;
use crate::app::App;
use crate::args::{Format, Run, strategy};
use crate::commands::exit_of;
use crate::exit::{self, Exit};

/// The number of default names for supervisors of the same program.
const DEFAULT_NAMES: usize = 100;

pub(crate) async fn run(app: &App, run: &Run) -> anyhow::Result<Exit> {
    let format = run.output.or(app.is_json().then_some(Format::Json));
    let output = Output::start(format, number_of_workers(run), app.global.quiet)
        .context("cannot start the thread that writes the output")?;
    output.log(app.global.verbose);
    let result = supervise(run, &output).await;
    match &result {
        Ok(stopped) => output.message(&Message::Stopped(*stopped)),
        Err(error) if output.is_json() => output.message(&Message::error(error)),
        Err(_) => {}
    }
    output.flush();
    match result {
        Err(error) if output.is_json() => Ok(exit::exit_of(&error)),
        result => result.map(exit_of),
    }
}

async fn supervise(run: &Run, output: &Output) -> anyhow::Result<Stopped> {
    let on_change = strategy(run.rolling);
    let signals = Signals::catch()?;
    if output.is_pretty() {
        explain_interrupt(output.clone())?;
    }
    let watches = run.watch.iter().map(|path| Watch::new(path));
    let watches = watches.collect::<anyhow::Result<Vec<_>>>()?;
    let workers = start(run, output).await?;
    let status = workers
        .status()
        .await
        .context("the supervisor stopped immediately")?;
    output.message(&Message::running(&status, workers.addresses()));
    for mut watch in watches {
        let (workers, output) = (workers.clone(), output.clone());
        tokio::spawn(async move {
            loop {
                let path = watch.changed().await;
                output.message(&Message::Changed { path });
                // The supervisor reports the result as an event.
                drop(workers.start_reload(on_change).await);
            }
        });
    }
    Ok(signals.handle(&workers, on_change).await)
}

/// Explains after the first Ctrl-C that a second one kills the workers.
fn explain_interrupt(output: Output) -> anyhow::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        interrupts.recv().await;
        output.message(&Message::Interrupted);
    });
    Ok(())
}

/// Starts the supervisor. The default name is the program's, with a number if it is taken.
async fn start(run: &Run, output: &Output) -> Result<Workers, StartError> {
    if let Some(name) = &run.name {
        return supervisor(run, output).name(name).start().await;
    }
    let wanted = default_name(Path::new(&run.command[0]));
    let started = supervisor(run, output).name(&wanted).start().await;
    let Err(StartError::NameTaken { .. }) = started else {
        return started;
    };
    for number in 2..DEFAULT_NAMES {
        let name = format!("{wanted}-{number}");
        match supervisor(run, output).name(&name).start().await {
            Err(StartError::NameTaken { .. }) => {}
            started => {
                if started.is_ok() {
                    output.message(&Message::NameTaken { wanted, name });
                }
                return started;
            }
        }
    }
    Err(StartError::NameTaken { name: wanted })
}

fn number_of_workers(run: &Run) -> usize {
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    run.workers.unwrap_or_else(processors)
}

/// Returns the file name of the program, with `_` for characters that names cannot have.
fn default_name(program: &Path) -> String {
    let file = program.file_name().unwrap_or_default().to_string_lossy();
    let allowed = |it: char| match it {
        it if it.is_ascii_alphanumeric() || "._-".contains(it) => it,
        _ => '_',
    };
    // A name has at most 64 characters: leave room for a number.
    let name = file.trim_start_matches('.').chars().map(allowed).take(60);
    let name = name.collect::<String>();
    if name.is_empty() {
        "workers".to_owned()
    } else {
        name
    }
}

fn supervisor(run: &Run, output: &Output) -> Supervisor {
    let backoff = Backoff::default()
        .min_delay(run.backoff_min)
        .max_delay(run.backoff_max)
        .reset_after(run.backoff_reset);
    let (lines, events) = (output.clone(), output.clone());
    let ready = run.ready_after.map_or(run.ready_when, ReadyWhen::After);
    let mut supervisor = Supervisor::new(&run.command[0])
        .args(&run.command[1..])
        .workers(number_of_workers(run))
        .ready_when(ready)
        .ready_timeout(run.ready_timeout)
        .stop_signal(run.stop_signal)
        .stop_timeout(run.stop_timeout)
        .backoff(backoff)
        .crash_loop(run.crash_loop.deaths, run.crash_loop.within)
        .on_line(move |line| lines.line(line))
        .on_event(move |event| {
            events.event(event);
            if matches!(event, SupervisorEvent::NotReady { .. }) && ready == ReadyWhen::Notified {
                events.not_ready();
            }
        });
    if let Some(watchdog) = run.watchdog {
        supervisor = supervisor.watchdog(watchdog);
    }
    if let Some(user) = &run.user {
        supervisor = supervisor.user(user);
    }
    if let Some(group) = &run.group {
        supervisor = supervisor.group(group);
    }
    if let Some(directory) = &run.working_directory {
        supervisor = supervisor.current_dir(directory);
    }
    if run.env_clear {
        supervisor = supervisor.env_clear();
    }
    let with_variable = |it: Supervisor, (name, value): &(String, String)| it.env(name, value);
    supervisor = run.env.iter().fold(supervisor, with_variable);
    run.listen
        .iter()
        .cloned()
        .fold(supervisor, Supervisor::listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_name_is_that_of_the_program() {
        for (program, name) in [
            ("target/release/my-server", "my-server"),
            ("./run it.sh", "run_it.sh"),
            (".hidden", "hidden"),
            ("..", "workers"),
        ] {
            assert_eq!(default_name(Path::new(program)), name);
        }
    }
}
