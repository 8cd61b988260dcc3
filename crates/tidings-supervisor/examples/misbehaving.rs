//! A worker that does what its arguments say, one after the other, and whatever else may go wrong in
//! one: the tests of the supervisor run it.
//!
//! ```sh
//! misbehaving say=hello ready deaf serve
//! ```

use std::collections::BTreeMap;
use std::fs::{File, read_dir, read_link, read_to_string};
use std::future::pending;
use std::io::{Write as _, stderr, stdout};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, exit};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use tidings_supervisor::{Supervisor, SupervisorEvent};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Requests that are not answered yet, and connections that have not asked anything.
static OPEN: AtomicUsize = AtomicUsize::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut steps = std::env::args().skip(1);
    while let Some(step) = steps.next() {
        let (name, value) = step.split_once('=').unwrap_or((&step, ""));
        match name {
            // Those that decide whether to go on.
            "once" => {
                // The first one to come here misbehaves, all others are as one wishes.
                if File::create_new(value).is_err() {
                    return wish().await;
                }
            }
            "only" => {
                if std::env::var("WORKER_ID")? != value {
                    return wish().await;
                }
            }
            "supervise" => return supervise(Path::new(value), steps.collect()).await,
            _ => take(name, value).await?,
        }
    }
    Ok(())
}

/// Gets ready, and ends when it is told to.
async fn wish() -> Outcome {
    tidings_supervisor::notify_ready()?;
    wait().await
}

async fn take(name: &str, value: &str) -> Outcome {
    match name {
        "ready" => tidings_supervisor::notify_ready()?,
        "stopping" => tidings_supervisor::notify_stopping()?,
        "lively" => stay_alive(Duration::from_millis(value.parse()?)),
        "exit" => exit(value.parse()?),
        "kill" => kill_process(
            getpid(),
            Signal::from_named_raw(value.parse()?).ok_or("signal")?,
        )?,
        "hang" => pending().await,
        "deaf" => ignore_being_told_to_end()?,
        "wait" => wait().await?,
        "after" => sleep(Duration::from_millis(value.parse()?)).await,
        "endless" => stay_alive(Duration::from_millis(1)),
        "child" => start_child(Command::new(std::env::current_exe()?).args(["deaf", "hang"]))?,
        "stray" => {
            let mut stray = Command::new(std::env::current_exe()?);
            start_child(stray.args(["deaf", "hang"]).process_group(0))?;
        }
        "say" => say(value)?,
        "complain" => writeln!(stderr(), "{value}")?,
        "flood" => (0..value.parse()?).try_for_each(|line: u64| writeln!(stdout(), "{line}"))?,
        "long" => say(&"x".repeat(value.parse()?))?,
        "bytes" => stdout().write_all(b"\xff\xfe\n")?,
        "unended" => write!(stdout(), "{value}").and_then(|()| stdout().flush())?,
        "describe" => say(&describe()?.to_string())?,
        "regain" => say(&format!("{:?}", nix::unistd::setuid(0.into())))?,
        "listen" => listen_as_it_will(value.parse()?)?,
        "serve" => serve().await?,
        _ => return Err(format!("what is `{name}`?").into()),
    }
    Ok(())
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{text}")
}

async fn wait() -> Outcome {
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

fn ignore_being_told_to_end() -> std::io::Result<()> {
    let mut told = signal(SignalKind::terminate())?;
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    Ok(())
}

fn stay_alive(interval: Duration) {
    tokio::spawn(async move {
        loop {
            // With the supervisor this process ends, too.
            let _ = tidings_supervisor::notify_watchdog();
            sleep(interval).await;
        }
    });
}

fn start_child(command: &mut Command) -> std::io::Result<()> {
    say(&format!("child {}", command.spawn()?.id()))
}

/// All that a worker was given.
fn describe() -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let mut descriptors = BTreeMap::new();
    for entry in read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number: i32 = entry.file_name().to_string_lossy().parse()?;
        descriptors.insert(number, read_link(entry.path()));
    }
    // Its own look at the directory is gone by now, and what the runtime opened for itself is marked.
    let descriptors: BTreeMap<_, _> = descriptors
        .into_iter()
        .filter_map(|(number, link)| Some((number, link.ok()?)))
        .filter(|(number, _)| is_inherited(*number))
        .collect();
    let status = read_to_string("/proc/self/status")?;
    let status: BTreeMap<_, _> = status
        .lines()
        .filter_map(|it| it.split_once(":\t"))
        .collect();
    Ok(json!({
        "pid": std::process::id(),
        "supervisor": std::os::unix::process::parent_id(),
        "group": rustix::process::getpgrp().as_raw_nonzero(),
        "arguments": std::env::args().collect::<Vec<_>>(),
        "environment": std::env::vars().collect::<BTreeMap<_, _>>(),
        "directory": std::env::current_dir()?,
        "descriptors": descriptors,
        "status": status,
    }))
}

/// What this program opens itself is closed at an exec; what it was given is not.
fn is_inherited(descriptor: i32) -> bool {
    const CLOSED_AT_EXEC: u32 = 0o2_000_000;
    let info = read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags, 8).ok());
    flags.is_some_and(|flags| flags & CLOSED_AT_EXEC == 0)
}

/// Without the supervisor's sockets, and beside its elder.
fn listen_as_it_will(at: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(at)?;
    let socket = socket.listen(16)?;
    tokio::spawn(async move { while socket.accept().await.is_ok() {} });
    Ok(())
}

/// Answers each line with its slot and its process; two lines make a request that begins with `slow`.
/// When it is told to end it accepts nobody any more, and answers those that it has.
async fn serve() -> Outcome {
    let socket = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
    let socket = socket.ok_or("no socket was passed down")?;
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from_std(socket)?;
    let mut told = signal(SignalKind::terminate())?;
    tidings_supervisor::notify_ready()?;
    loop {
        tokio::select! {
            accepted = socket.accept() => {
                tokio::spawn(answer(accepted?.0, Open::one()));
            }
            _ = told.recv() => break,
        }
    }
    drop(socket);
    while OPEN.load(Relaxed) > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

struct Open;

impl Open {
    fn one() -> Self {
        OPEN.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

async fn answer(mut connection: TcpStream, first: Open) -> std::io::Result<()> {
    let mut first = Some(first);
    let (reading, mut writing) = connection.split();
    let mut lines = BufReader::new(reading).lines();
    while let Some(line) = lines.next_line().await? {
        let _request = first.take().unwrap_or_else(Open::one);
        if line == "slow" {
            say("a slow request")?;
            lines.next_line().await?;
        }
        let slot = std::env::var("WORKER_ID").unwrap_or_default();
        let answer = format!("{slot} {}\n", std::process::id());
        writing.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Runs workers that do the rest, and says what is reported of them; goes on until it is killed. With
/// `watchdog` and milliseconds before the rest, workers have to give signs of life.
async fn supervise(runtime: &Path, mut steps: Vec<String>) -> Outcome {
    let mut supervisor = Supervisor::new(std::env::current_exe()?);
    if let Some(within) = steps.first().and_then(|it| it.strip_prefix("watchdog=")) {
        supervisor = supervisor.watchdog(Duration::from_millis(within.parse()?));
        steps.remove(0);
    }
    let workers = supervisor
        .args(steps)
        .workers(4)
        .runtime_dir(runtime)
        .on_event(|event| {
            if let SupervisorEvent::Started { pid, .. } = event {
                let _ = say(&format!("worker {pid}"));
            }
            let _ = say(&format!("event: {event}"));
        })
        .start()
        .await?;
    workers.wait_until_ready().await;
    say("ready")?;
    workers.wait_until_stopped().await;
    Ok(())
}
