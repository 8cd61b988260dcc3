//! Starts a server, and finds the reason if it does not start.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Pid;
use tidings::codec::Escaped;
use tokio::time::timeout;

use crate::address::Address;
use crate::builder::RedisBuilder;
use crate::process::{PROGRAM_NOT_FOUND, Process};
use crate::version::Version;
use crate::wait::poll;

const STARTS_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(
        "`redis-server` is not installed, or not on the PATH\n\
         \x20 in the tidings repository:  cargo xtask test  installs it\n\
         \x20 on Debian and Ubuntu:       apt-get install redis-server\n\
         \x20 on Fedora:                  dnf install redis\n\
         \x20 on macOS:                   brew install redis"
    )]
    NotInstalled,
    #[error("port {0} is in use")]
    PortTaken(u16),
    #[error("redis-server exited at once ({status}); the end of its log:\n{log}")]
    Ended { status: ExitStatus, log: String },
    #[error("redis-server did not answer within {STARTS_WITHIN:?}; the end of its log:\n{log}")]
    Silent { log: String },
    #[error("cannot run redis-server: {0}")]
    Io(#[from] io::Error),
}

/// Starts a server on `port` and returns once it answers.
///
/// An existing configuration is kept: Redis may have rewritten it, as the sentinels make it do, and
/// would find it so after a crash.
pub(crate) async fn start(
    builder: &RedisBuilder,
    directory: &Path,
    port: u16,
) -> Result<Process, StartError> {
    let path = directory.join("redis.conf");
    if path.exists() {
        return start_configured(builder, directory, port).await;
    }
    let program = builder.server();
    let known = Version::known(&program);
    let write = |version| fs::write(&path, builder.configuration(directory, port, version));
    write(known.unwrap_or_default())?;
    let started = start_configured(builder, directory, port).await;
    // A program that prints its version takes as long as one that starts a server, so it is asked only
    // if it did not start: an old one rejects a setting.
    let has_ended = matches!(started, Err(StartError::Ended { .. }));
    if !has_ended || known.is_some() {
        return started;
    }
    let version = Version::of(&program);
    if version >= Version::default() {
        return started;
    }
    write(version)?;
    start_configured(builder, directory, port).await
}

/// Starts a server with the configuration in its directory.
async fn start_configured(
    builder: &RedisBuilder,
    directory: &Path,
    port: u16,
) -> Result<Process, StartError> {
    let program = builder.server();
    let configuration = directory.join("redis.conf");
    let log = directory.join("log");
    let mut process = Process::start(
        &program,
        directory,
        &configuration,
        builder.options(),
        File::create(&log)?,
    )?;
    let pid = process.pid();
    let address = Address::new(port, builder.password.clone());

    let mut ended = None;
    let ready = timeout(
        STARTS_WITHIN,
        poll(async || {
            ended = process.exit_status().transpose();
            ended.is_some() || answers_as(pid, &address, &program).await
        }),
    )
    .await;

    let end_of_log = || last_lines(&fs::read_to_string(&log).unwrap_or_default(), 20);
    match ended.transpose()? {
        None if ready.is_ok() => Ok(process),
        None => Err(StartError::Silent { log: end_of_log() }),
        Some(status) => Err(why_it_ended(status, end_of_log(), port)),
    }
}

/// Returns whether our server answers, and not an earlier one on this port. Keeps its version.
async fn answers_as(pid: Pid, address: &Address, program: &Path) -> bool {
    let process_id = format!("process_id:{}\r\n", pid.as_raw_nonzero());
    let answer = address.ask(&["INFO", "server"]).await;
    let server = answer.and_then(|answer| Ok(redis::from_redis_value::<String>(answer)?));
    let Some(server) = server.ok().filter(|it| it.contains(&process_id)) else {
        return false;
    };
    Version::learn(program, &server);
    true
}

fn why_it_ended(status: ExitStatus, log: String, port: u16) -> StartError {
    if status.code() == Some(PROGRAM_NOT_FOUND) {
        StartError::NotInstalled
    } else if log.contains("Address already in use") {
        StartError::PortTaken(port)
    } else {
        StartError::Ended { status, log }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().map(|line| Escaped(line).to_string()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn a_taken_port_is_told_from_a_broken_server() {
        let taken = "# Could not create server TCP listening socket: bind: Address already in use";
        let broken = "*** FATAL CONFIG FILE ERROR ***";

        let taken = why_it_ended(exited(1), taken.into(), 12_000);
        let broken = why_it_ended(exited(1), broken.into(), 12_000);

        assert!(matches!(taken, StartError::PortTaken(12_000)));
        assert!(broken.to_string().contains("FATAL CONFIG FILE ERROR"));
    }

    #[test]
    fn the_end_of_a_log_is_quoted_escaped() {
        let log = "one\ntwo \u{1b}[2J\u{202e}\nthree";
        assert_eq!(last_lines(log, 2), "two \\u{1b}[2J\\u{202e}\nthree");
    }

    #[test]
    fn the_log_of_a_server_that_exited_is_quoted_for_any_version() {
        for words in [
            "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\n>>> 'no-such-setting 1'\nBad directive",
            "# Unresolved Configuration(s) Detected:\n# >>> 'no-such-setting 1'",
            "in the words of a version to come",
            "",
        ] {
            let ended = why_it_ended(exited(1), words.into(), 12_000);
            assert!(ended.to_string().ends_with(words), "{ended}");
        }
    }

    #[test]
    fn the_end_of_a_log_is_its_last_lines() {
        assert_eq!(last_lines("one\ntwo\nthree\n", 2), "two\nthree");
        assert_eq!(last_lines("one\n", 2), "one");
        assert_eq!(last_lines("", 2), "");
    }
}
