//! A worker that takes the steps of its arguments in order, for the tests of the supervisor.
//!
//! ```sh
//! misbehaving print=hello ready ignore-sigterm serve
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

/// The number of requests in progress, and of connections before their first request.
static OPEN: AtomicUsize = AtomicUsize::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut steps = std::env::args().skip(1);
    while let Some(step) = steps.next() {
        let (name, value) = step.split_once('=').unwrap_or((&step, ""));
        match name {
            // Steps that decide whether to continue.
            "once" => {
                // Only the first worker here misbehaves.
                if File::create_new(value).is_err() {
                    return behave().await;
                }
            }
            "only" => {
                if std::env::var("WORKER_ID")? != value {
                    return behave().await;
                }
            }
            "supervise" => return supervise(Path::new(value), steps.collect()).await,
            _ => take(name, value).await?,
        }
    }
    Ok(())
}

/// Becomes ready, and exits on SIGTERM.
async fn behave() -> Outcome {
    tidings_supervisor::notify_ready()?;
    wait().await
}

async fn take(name: &str, value: &str) -> Outcome {
    match name {
        "ready" => tidings_supervisor::notify_ready()?,
        "stopping" => tidings_supervisor::notify_stopping()?,
        "send-watchdog" => send_watchdog(Duration::from_millis(value.parse()?)),
        "exit" => exit(value.parse()?),
        "kill" => kill_process(
            getpid(),
            Signal::from_named_raw(value.parse()?).ok_or("signal")?,
        )?,
        "hang" => pending().await,
        "ignore-sigterm" => ignore_sigterm()?,
        "wait" => wait().await?,
        "after" => sleep(Duration::from_millis(value.parse()?)).await,
        "endless" => send_watchdog(Duration::from_millis(1)),
        "child" => {
            start_child(Command::new(std::env::current_exe()?).args(["ignore-sigterm", "hang"]))?;
        }
        "stray" => {
            let mut stray = Command::new(std::env::current_exe()?);
            start_child(stray.args(["ignore-sigterm", "hang"]).process_group(0))?;
        }
        "print" => print(value)?,
        "eprint" => writeln!(stderr(), "{value}")?,
        "flood" => (0..value.parse()?).try_for_each(|line: u64| writeln!(stdout(), "{line}"))?,
        "long" => print(&"x".repeat(value.parse()?))?,
        "bytes" => stdout().write_all(b"\xff\xfe\n")?,
        "unended" => write!(stdout(), "{value}").and_then(|()| stdout().flush())?,
        "describe" => print(&describe()?.to_string())?,
        "regain" => print(&format!("{:?}", nix::unistd::setuid(0.into())))?,
        "listen" => listen_on_own_socket(value.parse()?)?,
        "serve" => serve().await?,
        _ => return Err(format!("unknown step `{name}`").into()),
    }
    Ok(())
}

fn print(text: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{text}")
}

async fn wait() -> Outcome {
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

fn ignore_sigterm() -> std::io::Result<()> {
    let mut sigterm = signal(SignalKind::terminate())?;
    tokio::spawn(async move { while sigterm.recv().await.is_some() {} });
    Ok(())
}

fn send_watchdog(interval: Duration) {
    tokio::spawn(async move {
        loop {
            // Without its supervisor this process is killed anyway.
            let _ = tidings_supervisor::notify_watchdog();
            sleep(interval).await;
        }
    });
}

fn start_child(command: &mut Command) -> std::io::Result<()> {
    print(&format!("child {}", command.spawn()?.id()))
}

/// Returns everything that this worker inherited.
fn describe() -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let mut descriptors = BTreeMap::new();
    for entry in read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number: i32 = entry.file_name().to_string_lossy().parse()?;
        descriptors.insert(number, read_link(entry.path()));
    }
    // The descriptor of the directory is closed by now, and those of the runtime have close-on-exec.
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

/// Returns whether the descriptor was inherited: those of this program have close-on-exec.
fn is_inherited(descriptor: i32) -> bool {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let info = read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags, 8).ok());
    flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
}

/// Listens on a socket of its own, also while the old worker does.
fn listen_on_own_socket(at: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(at)?;
    let socket = socket.listen(16)?;
    tokio::spawn(async move { while socket.accept().await.is_ok() {} });
    Ok(())
}

/// Responds to each line with the slot and the process id. After a line `slow`, it waits for another line
/// before. On SIGTERM it accepts no more connections, and completes the requests in progress.
async fn serve() -> Outcome {
    let socket = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
    let socket = socket.ok_or("no inherited socket")?;
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from_std(socket)?;
    let mut sigterm = signal(SignalKind::terminate())?;
    tidings_supervisor::notify_ready()?;
    loop {
        tokio::select! {
            accepted = socket.accept() => {
                tokio::spawn(respond(accepted?.0, Open::one()));
            }
            _ = sigterm.recv() => break,
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

async fn respond(mut connection: TcpStream, first: Open) -> std::io::Result<()> {
    let mut first = Some(first);
    let (reading, mut writing) = connection.split();
    let mut lines = BufReader::new(reading).lines();
    while let Some(line) = lines.next_line().await? {
        let _request = first.take().unwrap_or_else(Open::one);
        if line == "slow" {
            print("a slow request")?;
            lines.next_line().await?;
        }
        let slot = std::env::var("WORKER_ID").unwrap_or_default();
        let response = format!("{slot} {}\n", std::process::id());
        writing.write_all(response.as_bytes()).await?;
    }
    Ok(())
}

/// Runs a supervisor of workers that take the remaining steps, and prints its events. With `watchdog` and
/// milliseconds as the next step, it has a watchdog.
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
                let _ = print(&format!("worker {pid}"));
            }
            let _ = print(&format!("event: {event}"));
        })
        .start()
        .await?;
    workers.wait_until_ready().await;
    print("ready")?;
    workers.wait_until_stopped().await;
    Ok(())
}
