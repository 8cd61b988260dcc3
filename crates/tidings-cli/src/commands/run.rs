//! `tidings run`

mod scribe;
mod voice;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use tidings_supervisor::{
    Backoff, ReadyWhen, Signals, StartError, Stopped, Supervisor, SupervisorEvent, Workers,
};
use tokio::signal::unix::{SignalKind, signal};

use self::voice::{Note, Voice};
use self::watch::Watch;
use crate::args::{Run, strategy};
use crate::commands::exit_code;

/// So many fleets of the same program get names of their own by themselves.
const NAMES: usize = 100;

pub(crate) async fn run(run: &Run) -> anyhow::Result<ExitCode> {
    let voice = Voice::of(run.output, number_of_workers(run)).context("no thread to write")?;
    voice.hear_warnings();
    let ran = keep_running(run, &voice).await;
    match &ran {
        Ok(stopped) => voice.note(&Note::from(*stopped)),
        Err(error) if voice.is_json() => voice.note(&Note::error(error)),
        Err(_) => {}
    }
    voice.finish();
    match ran {
        Err(_) if voice.is_json() => Ok(ExitCode::FAILURE),
        ran => ran.map(exit_code),
    }
}

async fn keep_running(run: &Run, voice: &Voice) -> anyhow::Result<Stopped> {
    let on_change = strategy(run.rolling);
    let signals = Signals::catch()?;
    if voice.is_pretty() {
        tell_of_a_second_interrupt(voice.clone())?;
    }
    let watches = run.watch.iter().map(|path| Watch::over(path));
    let watches = watches.collect::<anyhow::Result<Vec<_>>>()?;
    let workers = start(run, voice).await?;
    let status = workers.status().await.context("it ended at once")?;
    voice.note(&Note::running(&status, workers.addresses()));
    for mut watch in watches {
        let (workers, voice) = (workers.clone(), voice.clone());
        tokio::spawn(async move {
            loop {
                let path = watch.change().await;
                voice.note(&Note::Changed { path });
                // What becomes of it is reported.
                drop(workers.start_reload(on_change).await);
            }
        });
    }
    Ok(signals.handle(&workers, on_change).await)
}

/// Whoever pressed Ctrl-C and sees nothing end does not know that it helps to press it again.
fn tell_of_a_second_interrupt(voice: Voice) -> anyhow::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        interrupts.recv().await;
        voice.note(&Note::Interrupted);
    });
    Ok(())
}

/// Takes a name of the program's own, or the first of those that come after it.
async fn start(run: &Run, voice: &Voice) -> Result<Workers, StartError> {
    if let Some(name) = &run.name {
        return supervisor(run, voice).name(name).start().await;
    }
    let wanted = default_name(Path::new(&run.command[0]));
    let started = supervisor(run, voice).name(&wanted).start().await;
    let Err(StartError::NameTaken { .. }) = started else {
        return started;
    };
    for number in 2..NAMES {
        let name = format!("{wanted}-{number}");
        match supervisor(run, voice).name(&name).start().await {
            Err(StartError::NameTaken { .. }) => {}
            started => {
                if started.is_ok() {
                    voice.note(&Note::NameTaken { wanted, name });
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

/// The program's file name, of which a name has no more than 64 letters, digits, `.`, `_` and `-`.
fn default_name(program: &Path) -> String {
    let file = program.file_name().unwrap_or_default().to_string_lossy();
    let letter = |it: char| match it {
        it if it.is_ascii_alphanumeric() || "._-".contains(it) => it,
        _ => '_',
    };
    // Room for a number.
    let name = file.trim_start_matches('.').chars().map(letter).take(60);
    let name = name.collect::<String>();
    if name.is_empty() {
        "workers".to_owned()
    } else {
        name
    }
}

fn supervisor(run: &Run, voice: &Voice) -> Supervisor {
    let backoff = Backoff::default()
        .min_delay(run.backoff_min)
        .max_delay(run.backoff_max)
        .reset_after(run.backoff_reset);
    let (lines, reports) = (voice.clone(), voice.clone());
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
        .on_event(move |report| {
            reports.report(report);
            if matches!(report, SupervisorEvent::NotReady { .. }) && ready == ReadyWhen::Notified {
                reports.cure();
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
    let with_environment = |all: Supervisor, (name, value): &(String, String)| all.env(name, value);
    supervisor = run.env.iter().fold(supervisor, with_environment);
    run.listen
        .iter()
        .cloned()
        .fold(supervisor, Supervisor::listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_called_as_its_program() {
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
