//! What can be said to `tidings`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tidings_supervisor::{ListenAddress, ReadyWhen, ReloadStrategy, StopSignal};

/// Runs several copies of a program, and replaces them without a refused connection.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<Run>),
    Ps(Ps),
    Reload(Reload),
    Scale(Scale),
    Stop(Stop),
}

const RUN: &str = "\
Signals:
  SIGHUP           replaces all workers; each successor is ready before its elder ends
  SIGTERM, SIGINT  let all workers finish; one that comes more than a second later kills them

Exit codes:
  0  stopped, and all workers stopped in time
  1  could not start, or all slots failed: the workers died too often
  2  not understood
  3  stopped, and some workers had to be killed

Workers are given the sockets as systemd does (LISTEN_FDS, LISTEN_FDNAMES), the number of their
slot (WORKER_ID), and a place to say that they are ready (NOTIFY_SOCKET). On Linux they end with
`tidings run`, however it ends, unless they change their user themselves.

Examples:
  tidings run --workers 4 --listen 127.0.0.1:9999 -- ./my-server --fast
  tidings run --ready-after 2s --watch target/release/my-server -- target/release/my-server";

/// Keep several copies of a program running.
#[derive(Debug, Parser)]
#[command(after_help = RUN)]
pub(crate) struct Run {
    /// How many workers; as many as there are processors by default.
    #[arg(long, short, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<usize>,
    /// A socket that all workers share: `127.0.0.1:9999`, `unix:/path`, `name=[::1]:80`. Repeatable.
    #[arg(long, short, value_name = "ADDRESS")]
    pub(crate) listen: Vec<ListenAddress>,
    /// What `tidings ps`, `reload`, `scale` and `stop` know it by; the program's name by default.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,

    /// A worker can serve once it says so (`notified`, with `sd_notify`), `after:2s`, or once it
    /// `accepts:127.0.0.1:9000`.
    #[arg(long, value_name = "HOW", value_parser = ready, default_value = "notified")]
    #[arg(help_heading = "Ready")]
    pub(crate) ready_when: ReadyWhen,
    /// The same as `--ready-when after:TIME`.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "ready_when")]
    #[arg(help_heading = "Ready")]
    pub(crate) ready_after: Option<Duration>,
    /// Who is not ready by then counts as dead.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    #[arg(help_heading = "Ready")]
    pub(crate) ready_timeout: Duration,

    /// The signal by which a worker is told to end.
    #[arg(long, value_name = "SIGNAL", default_value_t)]
    #[arg(help_heading = "Ends and deaths")]
    pub(crate) stop_signal: StopSignal,
    /// How long a worker that was told to end may take; then it is killed.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    #[arg(help_heading = "Ends and deaths")]
    pub(crate) stop_timeout: Duration,
    /// The wait after a first death; it doubles with each further one.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "100ms")]
    #[arg(help_heading = "Ends and deaths")]
    pub(crate) backoff_min: Duration,
    /// No wait is longer.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    #[arg(help_heading = "Ends and deaths")]
    pub(crate) backoff_max: Duration,
    /// A worker that served for so long makes its slot forget the deaths before.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    #[arg(help_heading = "Ends and deaths")]
    pub(crate) backoff_reset: Duration,
    /// So many deaths within a time, and a slot starts no more workers until a reload.
    #[arg(long, value_name = "N/TIME", value_parser = crash_loop, default_value = "10/10m")]
    #[arg(help_heading = "Ends and deaths")]
    pub(crate) crash_loop: CrashLoop,
    /// A ready worker that gives no sign of life (WATCHDOG=1, with `sd_notify`) for so long is killed.
    #[arg(long, value_name = "TIME", value_parser = time)]
    #[arg(help_heading = "Ends and deaths")]
    pub(crate) watchdog: Option<Duration>,

    /// Workers become this user, by name or number, for good.
    #[arg(long, value_name = "USER", help_heading = "Workers")]
    pub(crate) user: Option<String>,
    /// And this group; the user's own by default.
    #[arg(
        long,
        value_name = "GROUP",
        requires = "user",
        help_heading = "Workers"
    )]
    pub(crate) group: Option<String>,
    /// A variable of the workers' environment: `NAME=VALUE`. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, help_heading = "Workers")]
    pub(crate) env: Vec<(String, String)>,
    /// Workers get no other variables than those of `--env`.
    #[arg(long, help_heading = "Workers")]
    pub(crate) env_clear: bool,
    /// The workers' working directory.
    #[arg(long, value_name = "PATH", help_heading = "Workers")]
    pub(crate) working_directory: Option<PathBuf>,

    /// Reloads of SIGHUP and --watch replace one worker after the other, not all at once.
    #[arg(long, help_heading = "Reloads")]
    pub(crate) rolling: bool,
    /// Reload when this file, or anything below this directory, changes. For development. Repeatable.
    #[arg(long, value_name = "PATH", help_heading = "Reloads")]
    pub(crate) watch: Vec<PathBuf>,

    /// `pretty`, as on a terminal; `plain`, as elsewhere; or `json`: an object a line, with the time
    /// (RFC 3339) in `timestamp`.
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true)]
    pub(crate) output: Option<Format>,

    /// The program, and its arguments. No shell sees them.
    #[arg(trailing_var_arg = true, required = true, value_name = "PROGRAM")]
    pub(crate) command: Vec<OsString>,
}

// Help for each value would make all help twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Pretty,
    Plain,
    Json,
}

/// Show the workers of all supervisors of this user.
#[derive(Debug, Parser)]
pub(crate) struct Ps {
    /// Only this supervisor.
    pub(crate) name: Option<String>,
    /// As JSON, with times in seconds.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Replace all workers without a refused connection, and wait for it.
#[derive(Debug, Parser)]
#[command(after_help = "Exit code 1 when the reload fails: the old workers keep running then.")]
pub(crate) struct Reload {
    /// Whose; not needed while only one runs.
    pub(crate) name: Option<String>,
    /// One worker after the other, not all at once.
    #[arg(long)]
    pub(crate) rolling: bool,
}

/// Change the number of workers.
#[derive(Debug, Parser)]
#[command(allow_missing_positional = true)]
pub(crate) struct Scale {
    /// Whose; not needed while only one runs.
    pub(crate) name: Option<String>,
    /// How many workers there should be.
    #[arg(required = true, value_parser = how_many)]
    pub(crate) workers: usize,
}

/// Let all workers finish, and end the supervisor.
#[derive(Debug, Parser)]
#[command(after_help = "Exit code 3 when some workers had to be killed.")]
pub(crate) struct Stop {
    /// Whose; not needed while only one runs.
    pub(crate) name: Option<String>,
    /// Kill all workers at once.
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
    let count = text.parse().map_err(|_| "no number".to_owned())?;
    match count {
        1..=1024 => Ok(count),
        _ => Err("there can be 1 to 1024".to_owned()),
    }
}

/// Of a fleet whose name may have been meant.
fn how_many(text: &str) -> Result<usize, String> {
    if text.parse::<i64>().is_err() && name(text).is_ok() {
        return Err(format!("how many? `tidings scale {text} 6`"));
    }
    workers(text)
}

/// As the supervisor wants it, which would say so only after the start.
fn name(text: &str) -> Result<String, String> {
    let is_of_name = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    let is_name = !text.starts_with('.') && text.bytes().all(is_of_name);
    if is_name && (1..=64).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("1 to 64 letters, digits, `.`, `_` or `-`, not beginning with `.`".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text);
    time.map_err(|_| "a time is a number with its unit, like `500ms`, `10s` or `2m`".to_owned())
}

fn ready(text: &str) -> Result<ReadyWhen, String> {
    match text.split_once(':') {
        None if text == "notified" => Ok(ReadyWhen::Notified),
        Some(("after", after)) => time(after).map(ReadyWhen::After),
        Some(("accepts", at)) => match at.parse() {
            Ok(at) => Ok(ReadyWhen::Accepts(at)),
            Err(_) => Err(format!("`{at}` is no IP address and port")),
        },
        _ => Err("`notified`, `after:2s` or `accepts:127.0.0.1:9000`".to_owned()),
    }
}

fn crash_loop(text: &str) -> Result<CrashLoop, String> {
    let error = || "so many deaths within a time, like `10/10m`".to_owned();
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
        _ => Err("a variable is given as `NAME=VALUE`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn what_can_be_said_fits_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        assert!(time("10").is_err() && time("-1s").is_err() && time("soon").is_err());
    }

    #[test]
    fn a_crash_loop_is_so_many_deaths_in_a_time() {
        let within = Duration::from_mins(1);
        assert_eq!(crash_loop("3/1m"), Ok(CrashLoop { deaths: 3, within }));
        assert!(crash_loop("0/1m").is_err() && crash_loop("3").is_err());
    }

    #[test]
    fn a_worker_is_ready_in_one_of_three_ways() {
        assert_eq!(ready("notified"), Ok(ReadyWhen::Notified));
        assert_eq!(
            ready("after:1s"),
            Ok(ReadyWhen::After(Duration::from_secs(1)))
        );
        let at = "[::1]:80".parse().unwrap();
        assert_eq!(ready("accepts:[::1]:80"), Ok(ReadyWhen::Accepts(at)));
        assert!(ready("after").is_err() && ready("accepts:80").is_err());
    }

    #[test]
    fn what_comes_after_the_program_is_its_own() {
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
    fn the_name_of_a_fleet_to_scale_may_be_left_out() {
        let scale = |arguments: &[&str]| Scale::try_parse_from([&["scale"], arguments].concat());
        assert_eq!(scale(&["6"]).unwrap().workers, 6);
        let named = scale(&["web", "6"]).unwrap();
        assert_eq!((named.name.as_deref(), named.workers), (Some("web"), 6));
        assert!(scale(&[]).is_err() && scale(&["web"]).is_err());
    }
}
