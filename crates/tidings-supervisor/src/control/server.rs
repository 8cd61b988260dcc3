//! The server of the control socket.

use std::fmt::Display;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::protocol::{LINE_TIMEOUT, MAX_REQUEST, Rejection, Request, Response};
use crate::awake::timeout_awake;
use crate::error::{ReloadError, ScaleError};
use crate::fleet::ReloadStrategy;
use crate::runtime_dir::{RuntimeDir, restore};
use crate::socket_file::{SocketFile, check_interval, remove};
use crate::status::Stopped;
use crate::workers::WeakWorkers;

/// The number of connections that are served at once. Further ones wait.
pub(super) const MAX_ACTIVE: usize = 16;

/// The number of open connections, with those that wait for the end of a reload.
const MAX_CONNECTIONS: usize = 256;

/// The time in which waiting clients must receive the last response.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The delay after a failed accept, for example without free descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

type StoppedReceiver = watch::Receiver<Option<Stopped>>;

#[derive(Debug)]
pub(crate) struct ControlServer {
    stopped: watch::Sender<Option<Stopped>>,
    task: JoinHandle<()>,
}

pub(crate) fn serve(directory: Arc<RuntimeDir>, workers: WeakWorkers) -> io::Result<ControlServer> {
    let socket = ControlSocket::open(directory)?;
    let (stopped, receiver) = watch::channel(None);
    let task = tokio::spawn(accept(socket, workers, receiver));
    Ok(ControlServer { stopped, task })
}

impl ControlServer {
    /// Sends the result to all clients that wait for it, and ends.
    pub(crate) async fn stop(self, stopped: Stopped) {
        self.stopped.send_replace(Some(stopped));
        // An error is a panic, which was shown.
        let _ = self.task.await;
    }
}

/// The listening socket, which is opened again if its file is removed.
struct ControlSocket {
    listener: UnixListener,
    directory: Arc<RuntimeDir>,
    file: SocketFile,
    /// A failed attempt to open it again was logged.
    is_lost: bool,
}

impl ControlSocket {
    fn open(directory: Arc<RuntimeDir>) -> io::Result<Self> {
        let (listener, file) = bind(&directory.control_socket())?;
        Ok(Self {
            listener,
            directory,
            file,
            is_lost: false,
        })
    }

    async fn check(&mut self) {
        let path = self.directory.control_socket();
        if self.file.is_at(&path) {
            return;
        }
        let reopened = self.reopen(&path).await;
        let was_lost = std::mem::replace(&mut self.is_lost, reopened.is_err());
        let path = path.display();
        match reopened {
            Ok(()) => tracing::info!(%path, "the control socket was removed; it is open again"),
            Err(_) if was_lost => {}
            Err(error) => tracing::warn!(
                %path,
                %error,
                "the control socket was removed and cannot be opened again yet"
            ),
        }
    }

    async fn reopen(&mut self, path: &Path) -> io::Result<()> {
        restore(&self.directory).await?;
        remove(path)?;
        (self.listener, self.file) = bind(path)?;
        Ok(())
    }
}

fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = UnixListener::bind(path)?;
    // Other users that connect before this are rejected as well.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, SocketFile::at(path)?))
}

async fn accept(mut socket: ControlSocket, workers: WeakWorkers, mut stopped: StoppedReceiver) {
    let permits = Arc::new(Semaphore::new(MAX_ACTIVE));
    let mut connections = JoinSet::new();
    let mut checks = check_interval();
    loop {
        let next = async {
            while connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, socket.listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            _ = checks.tick() => {
                socket.check().await;
                continue;
            }
            _ = stopped.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let connection = Connection {
                    stream: BufReader::new(stream),
                    workers: workers.clone(),
                    stopped: stopped.clone(),
                    permit: permit.ok(),
                };
                // An error means that the client is gone.
                connections.spawn(async move { drop(connection.serve().await) });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the control socket");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(socket);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout_awake(STOP_TIMEOUT, all).await;
}

struct Connection {
    stream: BufReader<UnixStream>,
    workers: WeakWorkers,
    stopped: StoppedReceiver,
    /// Released before a long wait, so that other connections are served.
    permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        let peer = self.stream.get_ref().peer_cred()?;
        if !is_allowed(peer.uid(), geteuid().as_raw()) {
            let (uid, pid) = (peer.uid(), peer.pid());
            tracing::warn!(
                uid,
                pid,
                "rejected a request of another user on the control socket"
            );
            let why = "the supervisor belongs to another user";
            return self.reject(Rejection::PermissionDenied, why).await;
        }
        let mut stopped = self.stopped.clone();
        let request = tokio::select! {
            request = timeout(LINE_TIMEOUT, self.request()) => request,
            _ = stopped.changed() => return Ok(()),
        };
        match request {
            Ok(Ok(Some(request))) => self.fulfil(request).await,
            // The client only checks that the supervisor is running.
            Ok(Ok(None)) => Ok(()),
            Ok(Err(error)) => self.reject(Rejection::InvalidRequest, error).await,
            Err(_) => {
                let why = format!("no request within {LINE_TIMEOUT:?}");
                self.reject(Rejection::InvalidRequest, why).await
            }
        }
    }

    /// Reads the request, or returns `None` if the client closed the connection.
    async fn request(&mut self) -> io::Result<Option<Request>> {
        let mut line = Vec::new();
        // One byte more than allowed, to notice longer lines.
        let mut limited = (&mut self.stream).take(MAX_REQUEST + 1);
        limited.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() as u64 > MAX_REQUEST {
            let why = format!("the request is longer than {MAX_REQUEST} bytes");
            return Err(io::Error::other(why));
        }
        let request = serde_json::from_slice(&line);
        request.map(Some).map_err(|error| {
            let why = format!("cannot decode the request, perhaps of another version: {error}");
            io::Error::other(why)
        })
    }

    async fn fulfil(&mut self, request: Request) -> io::Result<()> {
        match request {
            Request::Status => self.status().await,
            Request::Reload { strategy } => self.reload(strategy).await,
            Request::Scale { workers } => self.scale(workers).await,
            Request::Stop { now } => self.stop(now).await,
        }
    }

    async fn status(&mut self) -> io::Result<()> {
        let status = match self.workers.upgrade() {
            Some(workers) => workers.status().await,
            None => None,
        };
        match status {
            Some(status) => self.respond(&Response::Status(status)).await,
            None => self.reject_stopping().await,
        }
    }

    async fn reload(&mut self, strategy: ReloadStrategy) -> io::Result<()> {
        let Some(workers) = self.workers.upgrade() else {
            return self.reject_stopping().await;
        };
        let started = workers.start_reload(strategy).await;
        // A client that waits for a reload does not keep the workers alive.
        drop(workers);
        let result = match started {
            Ok(reload) => {
                let start = if reload.is_queued() {
                    Response::Queued
                } else {
                    Response::Started
                };
                self.respond(&start).await?;
                self.permit.take();
                reload.await
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(reloaded) => self.respond(&Response::Reloaded(reloaded)).await,
            Err(ReloadError::Stopping) => self.reject_stopping().await,
            Err(error) => self.reject(Rejection::ReloadFailed, error).await,
        }
    }

    async fn scale(&mut self, to: usize) -> io::Result<()> {
        let scaled = match self.workers.upgrade() {
            Some(workers) => workers.scale(to).await,
            None => Err(ScaleError::Stopping),
        };
        match scaled {
            Ok(from) => self.respond(&Response::Scaled { from }).await,
            Err(ScaleError::Stopping) => self.reject_stopping().await,
            Err(error) => self.reject(Rejection::InvalidWorkerCount, error).await,
        }
    }

    async fn stop(&mut self, now: bool) -> io::Result<()> {
        let Some(workers) = self.workers.upgrade() else {
            return self.reject_stopping().await;
        };
        let responded = self.respond(&Response::Started).await;
        self.permit.take();
        let stopping = async {
            if now {
                workers.kill().await
            } else {
                workers.stop().await
            }
        };
        let mut receiver = self.stopped.clone();
        let published = async {
            match receiver.wait_for(Option::is_some).await {
                Ok(stopped) => *stopped,
                Err(_) => None,
            }
        };
        // The server is stopped before handles resolve, so that all clients are told before the program
        // goes on.
        let stopped = tokio::select! {
            stopped = stopping => stopped,
            Some(stopped) = published => stopped,
        };
        responded?;
        self.respond(&Response::Stopped(stopped)).await
    }

    async fn reject_stopping(&mut self) -> io::Result<()> {
        self.reject(Rejection::Stopping, ReloadError::Stopping)
            .await
    }

    async fn reject(&mut self, kind: Rejection, why: impl Display) -> io::Result<()> {
        let why = why.to_string();
        self.respond(&Response::Rejected { kind, why }).await
    }

    async fn respond(&mut self, response: &Response) -> io::Result<()> {
        let mut line = serde_json::to_vec(response)?;
        line.push(b'\n');
        timeout(LINE_TIMEOUT, self.stream.write_all(&line)).await?
    }
}

/// Returns whether the user `peer` may control a supervisor of the user `own`.
pub(super) fn is_allowed(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}
