//! The child processes of the worker rows: a worker, and a supervisor that is going to be killed.

use std::future::pending;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, exit};
use std::time::Duration;

use anyhow::Result;
use tidings_supervisor::{
    Supervisor, SupervisorEvent, notify_ready, notify_stopping, notify_watchdog,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;

use crate::role::{Role, WORKERS};

/// The interval of a worker's watchdog notifications.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// The signals that select how a worker ends. KILL, ABRT and STOP need no handler.
struct DeathSignals {
    stop: Signal,
    exit_0: Signal,
    exit_1: Signal,
    hang: Signal,
    leave_child: Signal,
}

impl DeathSignals {
    fn catch() -> Result<Self> {
        Ok(Self {
            stop: signal(SignalKind::terminate())?,
            exit_0: signal(SignalKind::user_defined1())?,
            exit_1: signal(SignalKind::user_defined2())?,
            hang: signal(SignalKind::hangup())?,
            leave_child: signal(SignalKind::interrupt())?,
        })
    }
}

pub(crate) async fn work() -> Result<()> {
    let mut signals = DeathSignals::catch()?;
    if let Some(socket) = listenfd::ListenFd::from_env().take_tcp_listener(0)? {
        socket.set_nonblocking(true)?;
        tokio::spawn(serve(TcpListener::from_std(socket)?));
    }
    let mut heartbeat = interval(HEARTBEAT);
    notify_ready()?;
    loop {
        tokio::select! {
            _ = heartbeat.tick() => notify_watchdog()?,
            _ = signals.stop.recv() => return Ok(()),
            _ = signals.exit_0.recv() => exit(0),
            _ = signals.exit_1.recv() => exit(1),
            _ = signals.hang.recv() => {
                // Announces its end, and ends neither by itself nor on SIGTERM.
                notify_stopping()?;
                pending::<()>().await;
            }
            _ = signals.leave_child.recv() => {
                let child = Command::new("sleep").arg("1000").spawn()?;
                print_line(&format!("child {}", child.id()))?;
                exit(1);
            }
        }
    }
}

/// Answers each byte with a byte.
async fn serve(socket: TcpListener) {
    while let Ok((mut client, _)) = socket.accept().await {
        tokio::spawn(async move {
            while client.read_u8().await.is_ok() && client.write_u8(1).await.is_ok() {}
        });
    }
}

pub(crate) async fn supervise(runtime: &Path) -> Result<()> {
    let workers = Supervisor::new(std::env::current_exe()?)
        .args(Role::Worker.arguments())
        .workers(WORKERS)
        .runtime_dir(runtime)
        .on_event(|report| {
            if let SupervisorEvent::Ready { pid, .. } = report {
                // The reader may be gone; this process ends then anyway.
                let _ = print_line(&pid.to_string());
            }
        })
        .start()
        .await?;
    workers.wait_until_stopped().await;
    Ok(())
}

fn print_line(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}
