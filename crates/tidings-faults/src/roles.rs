//! What this program is when it runs itself: a worker, a supervisor that is going to be killed, or a
//! node that is going to be stopped for a while.

use std::future::pending;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, exit};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tidings_supervisor::{
    Supervisor, SupervisorEvent, notify_ready, notify_stopping, notify_watchdog,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;

/// The name by which a role is asked for, which nobody would give to the program otherwise.
const ROLE: &str = "play-the-role-of";

/// How often a worker gives a sign of life.
const SIGN: Duration = Duration::from_millis(100);

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Gets ready, and dies in the way that a signal asks for.
    Worker,
    /// Supervises such workers, and says who they are.
    Supervisor,
    /// Sends, subscribes and puts load on keys, and says what came of it.
    Node,
}

impl Role {
    /// What this process was asked to play, and with what.
    pub(crate) fn of_this_process() -> Option<(Self, Option<String>)> {
        let mut arguments = std::env::args().skip(1);
        if arguments.next()? != ROLE {
            return None;
        }
        let role = match &*arguments.next()? {
            "worker" => Self::Worker,
            "node" => Self::Node,
            _ => Self::Supervisor,
        };
        Some((role, arguments.next()))
    }

    pub(crate) fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::Worker => [ROLE, "worker"],
            Self::Supervisor => [ROLE, "supervisor"],
            Self::Node => [ROLE, "node"],
        }
    }

    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn play(self, with: Option<String>) -> Result<()> {
        match self {
            Self::Worker => work().await,
            Self::Supervisor => supervise(with.context("no directory was named")?.as_ref()).await,
            Self::Node => crate::rows::play_node(&with.context("no settings were given")?).await,
        }
    }
}

/// The ways to die that a worker has itself; others need nobody's help.
struct Orders {
    end: Signal,
    succeed: Signal,
    fail: Signal,
    leave: Signal,
    desert: Signal,
}

impl Orders {
    fn catch() -> Result<Self> {
        Ok(Self {
            end: signal(SignalKind::terminate())?,
            succeed: signal(SignalKind::user_defined1())?,
            fail: signal(SignalKind::user_defined2())?,
            leave: signal(SignalKind::hangup())?,
            desert: signal(SignalKind::interrupt())?,
        })
    }
}

async fn work() -> Result<()> {
    let mut orders = Orders::catch()?;
    if let Some(socket) = listenfd::ListenFd::from_env().take_tcp_listener(0)? {
        socket.set_nonblocking(true)?;
        tokio::spawn(serve(TcpListener::from_std(socket)?));
    }
    let mut signs = interval(SIGN);
    notify_ready()?;
    loop {
        tokio::select! {
            _ = signs.tick() => notify_watchdog()?,
            _ = orders.end.recv() => return Ok(()),
            _ = orders.succeed.recv() => exit(0),
            _ = orders.fail.recv() => exit(1),
            _ = orders.leave.recv() => {
                // And then it does not: neither by itself, nor when it is told to.
                notify_stopping()?;
                pending::<()>().await;
            }
            _ = orders.desert.recv() => {
                let child = Command::new("sleep").arg("1000").spawn()?;
                say(&format!("child {}", child.id()))?;
                exit(1);
            }
        }
    }
}

/// Answers every byte with another.
async fn serve(socket: TcpListener) {
    while let Ok((mut client, _)) = socket.accept().await {
        tokio::spawn(async move {
            while client.read_u8().await.is_ok() && client.write_u8(1).await.is_ok() {}
        });
    }
}

async fn supervise(runtime: &Path) -> Result<()> {
    let workers = Supervisor::new(std::env::current_exe()?)
        .args(Role::Worker.arguments())
        .workers(crate::rows::WORKERS)
        .runtime_dir(runtime)
        .on_event(|report| {
            if let SupervisorEvent::Ready { pid, .. } = report {
                // Nobody reads it any more: then it ends anyway.
                let _ = say(&pid.to_string());
            }
        })
        .start()
        .await?;
    workers.wait_until_stopped().await;
    Ok(())
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}
