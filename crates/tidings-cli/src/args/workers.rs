//! The arguments of the commands that run workers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tidings_supervisor::{ListenAddress, ReadyWhen, ReloadStrategy, StopSignal};

use crate::args::{time, time_above_zero};

const RUN: &str = "\
Signals:
  SIGHUP           replaces all workers; an old worker stops when the new one is ready
  SIGTERM, SIGINT  stops all workers gracefully; a second signal, after 1 s or more, kills them

Exit codes:
  0  stopped, and all workers stopped in time
  1  could not start, or all slots failed because their workers died too often
  2  invalid arguments
  3  stopped, and some workers had to be killed

Workers inherit the sockets as with systemd (LISTEN_FDS, LISTEN_FDNAMES), and get the number of
their slot (WORKER_ID) and a socket to report that they are ready (NOTIFY_SOCKET). On Linux they
are killed when `tidings run` ends, unless they change their user themselves.

Examples:
  tidings run --workers 4 --listen 127.0.0.1:9999 -- ./my-server --fast
  tidings run --ready-after 2s --watch target/release/my-server -- target/release/my-server";

/// Keep several copies of a program running.
#[derive(Debug, Parser)]
#[command(after_help = RUN)]
pub(crate) struct Run {
    /// Number of workers; by default, the number of processors.
    #[arg(long, short, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<usize>,
    /// Socket that all workers share: `127.0.0.1:9999`, `unix:/path`, `name=[::1]:80`. Repeatable.
    #[arg(long, short, value_name = "ADDRESS")]
    pub(crate) listen: Vec<ListenAddress>,
    /// Name for `tidings ps`, `reload`, `scale` and `stop`; by default, the name of the program.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,

    /// Condition of readiness: `notified` (the worker calls `sd_notify`), `after:2s`, or
    /// `accepts:127.0.0.1:9000` (it accepts connections).
    #[arg(long, value_name = "CONDITION", value_parser = ready_when, default_value = "notified")]
    #[arg(help_heading = "Readiness")]
    pub(crate) ready_when: ReadyWhen,
    /// Short for `--ready-when after:TIME`.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "ready_when")]
    #[arg(help_heading = "Readiness")]
    pub(crate) ready_after: Option<Duration>,
    /// Time in which a worker must be ready; after that it counts as dead.
    #[arg(long, value_name = "TIME", value_parser = time_above_zero, default_value = "30s")]
    #[arg(help_heading = "Readiness")]
    pub(crate) ready_timeout: Duration,

    /// Signal that tells a worker to stop.
    #[arg(long, value_name = "SIGNAL", default_value_t)]
    #[arg(help_heading = "Stops and restarts")]
    pub(crate) stop_signal: StopSignal,
    /// Time in which a worker must stop; after that it is killed.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    #[arg(help_heading = "Stops and restarts")]
    pub(crate) stop_timeout: Duration,
    /// Delay of the first restart; it doubles with each further one.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "100ms")]
    #[arg(help_heading = "Stops and restarts")]
    pub(crate) backoff_min: Duration,
    /// Maximum delay of a restart.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    #[arg(help_heading = "Stops and restarts")]
    pub(crate) backoff_max: Duration,
    /// Time of readiness after which a slot restarts with the first delay again.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    #[arg(help_heading = "Stops and restarts")]
    pub(crate) backoff_reset: Duration,
    /// Number of deaths within a time after which a slot starts no more workers until a reload.
    #[arg(long, value_name = "N/TIME", value_parser = crash_loop, default_value = "10/10m")]
    #[arg(help_heading = "Stops and restarts")]
    pub(crate) crash_loop: CrashLoop,
    /// Kill a ready worker that does not send WATCHDOG=1 (with `sd_notify`) at least this often.
    #[arg(long, value_name = "TIME", value_parser = time_above_zero)]
    #[arg(help_heading = "Stops and restarts")]
    pub(crate) watchdog: Option<Duration>,

    /// User of the workers, by name or id. They cannot switch back.
    #[arg(long, value_name = "USER", help_heading = "Workers")]
    pub(crate) user: Option<String>,
    /// Group of the workers; by default, the primary group of the user.
    #[arg(
        long,
        value_name = "GROUP",
        requires = "user",
        help_heading = "Workers"
    )]
    pub(crate) group: Option<String>,
    /// Environment variable of the workers. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, help_heading = "Workers")]
    pub(crate) env: Vec<(String, String)>,
    /// Do not pass the environment to the workers, except for `--env`.
    #[arg(long, help_heading = "Workers")]
    pub(crate) env_clear: bool,
    /// Working directory of the workers.
    #[arg(long, value_name = "PATH", help_heading = "Workers")]
    pub(crate) working_directory: Option<PathBuf>,

    /// On SIGHUP and --watch, replace one worker after the other instead of all at once.
    #[arg(long, help_heading = "Reloads")]
    pub(crate) rolling: bool,
    /// Reload when this file or directory changes, for development. Repeatable.
    #[arg(long, value_name = "PATH", help_heading = "Reloads")]
    pub(crate) watch: Vec<PathBuf>,

    /// Output format: `pretty` (default on a terminal), `plain` (default elsewhere), or `json`, with
    /// one object per line.
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<Format>,

    /// Program and its arguments. They are not passed through a shell.
    #[arg(trailing_var_arg = true, required = true, value_name = "PROGRAM")]
    pub(crate) command: Vec<OsString>,
}

// No docs on the values: clap would show the long help, which is twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Pretty,
    Plain,
    Json,
}

const PS: &str = "\
Exits with code 1 if a supervisor does not respond. With --json, times are in seconds.

Examples:
  tidings ps
  tidings ps web --json";

/// Show the workers of all supervisors of this user.
#[derive(Debug, Parser)]
#[command(after_help = PS)]
pub(crate) struct Ps {
    /// Name of the supervisor; by default, all.
    pub(crate) name: Option<String>,
}

const RELOAD: &str = "\
Exits with code 1 if the reload fails. The old workers then keep running.

Examples:
  tidings reload
  tidings reload web --rolling";

/// Replace all workers without a refused connection, and wait until it is done.
#[derive(Debug, Parser)]
#[command(after_help = RELOAD)]
pub(crate) struct Reload {
    /// Name of the supervisor; needed if several run.
    pub(crate) name: Option<String>,
    /// Replace one worker after the other instead of all at once.
    #[arg(long)]
    pub(crate) rolling: bool,
}

const SCALE: &str = "\
Examples:
  tidings scale 6
  tidings scale web 6";

/// Change the number of workers.
#[derive(Debug, Parser)]
#[command(allow_missing_positional = true, after_help = SCALE)]
pub(crate) struct Scale {
    /// Name of the supervisor; needed if several run.
    pub(crate) name: Option<String>,
    /// New number of workers.
    #[arg(required = true, value_parser = scale_to)]
    pub(crate) workers: usize,
}

const STOP: &str = "\
Exits with code 3 if workers had to be killed.

Examples:
  tidings stop
  tidings stop web --now";

/// Stop all workers gracefully, then the supervisor.
#[derive(Debug, Parser)]
#[command(after_help = STOP)]
pub(crate) struct Stop {
    /// Name of the supervisor; needed if several run.
    pub(crate) name: Option<String>,
    /// Kill all workers immediately.
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashLoop {
    pub(crate) deaths: usize,
    pub(crate) within: Duration,
}

pub(crate) fn strategy(is_rolling: bool) -> ReloadStrategy {
    if is_rolling {
        ReloadStrategy::Rolling
    } else {
        ReloadStrategy::AllAtOnce
    }
}

fn workers(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| "not a number".to_owned())?;
    match count {
        1..=1024 => Ok(count),
        _ => Err("expected 1 to 1024".to_owned()),
    }
}

/// Parses the number of workers. A name in its place gets an error that shows the order.
fn scale_to(text: &str) -> Result<usize, String> {
    if text.parse::<i64>().is_err() && name(text).is_ok() {
        return Err(format!(
            "missing number of workers: write `tidings scale {text} 6`"
        ));
    }
    workers(text)
}

/// Checks a name by the supervisor's rules, to report it as an invalid argument.
fn name(text: &str) -> Result<String, String> {
    let is_allowed = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    let is_valid = !text.starts_with('.') && text.bytes().all(is_allowed);
    if is_valid && (1..=64).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 64 letters, digits, `.`, `_` or `-`, not starting with `.`".to_owned())
}

fn ready_when(text: &str) -> Result<ReadyWhen, String> {
    match text.split_once(':') {
        None if text == "notified" => Ok(ReadyWhen::Notified),
        Some(("after", after)) => time(after).map(ReadyWhen::After),
        Some(("accepts", at)) => match at.parse() {
            Ok(at) => Ok(ReadyWhen::Accepts(at)),
            Err(_) => Err(format!("`{at}` is not an IP address with a port")),
        },
        _ => Err("expected `notified`, `after:2s` or `accepts:127.0.0.1:9000`".to_owned()),
    }
}

fn crash_loop(text: &str) -> Result<CrashLoop, String> {
    let error = || "expected a number of deaths and a time, such as `10/10m`".to_owned();
    let (deaths, within) = text.split_once('/').ok_or_else(error)?;
    let deaths = deaths.parse().ok().filter(|deaths| *deaths > 0);
    Ok(CrashLoop {
        deaths: deaths.ok_or_else(error)?,
        within: time(within)?,
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected `NAME=VALUE`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_is_a_number_of_deaths_within_a_time() {
        let within = Duration::from_mins(1);
        assert_eq!(crash_loop("3/1m"), Ok(CrashLoop { deaths: 3, within }));
        assert!(crash_loop("0/1m").is_err() && crash_loop("3").is_err());
    }

    #[test]
    fn there_are_three_conditions_of_readiness() {
        assert_eq!(ready_when("notified"), Ok(ReadyWhen::Notified));
        assert_eq!(
            ready_when("after:1s"),
            Ok(ReadyWhen::After(Duration::from_secs(1)))
        );
        let at = "[::1]:80".parse().unwrap();
        assert_eq!(ready_when("accepts:[::1]:80"), Ok(ReadyWhen::Accepts(at)));
        assert!(ready_when("after").is_err() && ready_when("accepts:80").is_err());
    }

    #[test]
    fn arguments_after_the_program_are_passed_to_it() {
        let run = |arguments: &[&str]| Run::try_parse_from([&["run"], arguments].concat());
        for arguments in [
            ["--workers", "2", "--", "server", "--workers", "-x", "--"].as_slice(),
            &["--workers", "2", "server", "--workers", "-x", "--"],
        ] {
            let run = run(arguments).unwrap();
            assert_eq!(run.workers, Some(2));
            assert_eq!(run.command, ["server", "--workers", "-x", "--"]);
        }
        assert!(run(&["--worker", "2", "server"]).is_err());
        assert!(run(&["--", "--odd", "-x"]).is_ok());
    }

    #[test]
    fn the_name_of_the_supervisor_to_scale_is_optional() {
        let scale = |arguments: &[&str]| Scale::try_parse_from([&["scale"], arguments].concat());
        assert_eq!(scale(&["6"]).unwrap().workers, 6);
        let named = scale(&["web", "6"]).unwrap();
        assert_eq!((named.name.as_deref(), named.workers), (Some("web"), 6));
        assert!(scale(&[]).is_err() && scale(&["web"]).is_err());
    }
}
