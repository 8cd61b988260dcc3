//! The side of the supervisor.

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

use super::protocol::{MAX_REQUEST, PATIENCE, Rejection, Request, Response};
use crate::awake::timeout_awake;
use crate::error::{ReloadError, ScaleError};
use crate::fleet::ReloadStrategy;
use crate::home::{Home, Place, looks, make_room, restore};
use crate::workers::{Stopped, WeakWorkers};

/// So many are served at once, and the next waits.
pub(super) const PLACES: usize = 16;

/// So many are there at once, with those that wait for the end of a reload.
const CONNECTIONS: usize = 256;

/// How long those who wait for the end may take to hear of it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long nobody is served when the system refuses, as without descriptors.
const PAUSE: Duration = Duration::from_millis(100);

type End = watch::Receiver<Option<Stopped>>;

/// Ends with this.
#[derive(Debug)]
pub(crate) struct Serving {
    end: watch::Sender<Option<Stopped>>,
    task: JoinHandle<()>,
}

pub(crate) fn serve(home: Arc<Home>, workers: WeakWorkers) -> io::Result<Serving> {
    let socket = ControlSocket::open(home)?;
    let (end, ended) = watch::channel(None);
    let task = tokio::spawn(accept(socket, workers, ended));
    Ok(Serving { end, task })
}

/// Made again where somebody removed it.
struct ControlSocket {
    listener: UnixListener,
    home: Arc<Home>,
    place: Place,
    /// It cannot be made again, which was logged.
    is_lost: bool,
}

impl ControlSocket {
    fn open(home: Arc<Home>) -> io::Result<Self> {
        let (listener, place) = bind(&home.control())?;
        let is_lost = false;
        Ok(Self {
            listener,
            home,
            place,
            is_lost,
        })
    }

    async fn look(&mut self) {
        let path = self.home.control();
        if self.place.is_at(&path) {
            return;
        }
        match self.reopen(&path).await {
            Ok(()) => {
                self.is_lost = false;
                tracing::info!(path = %path.display(), "the control socket was removed, and is made again");
            }
            Err(error) => {
                let was_lost = std::mem::replace(&mut self.is_lost, true);
                if !was_lost {
                    tracing::warn!(path = %path.display(), %error, "the control socket was removed, and cannot be made again yet");
                }
            }
        }
    }

    async fn reopen(&mut self, path: &Path) -> io::Result<()> {
        restore(&self.home).await?;
        make_room(path)?;
        (self.listener, self.place) = bind(path)?;
        Ok(())
    }
}

fn bind(path: &Path) -> io::Result<(UnixListener, Place)> {
    let listener = UnixListener::bind(path)?;
    // Whoever connects before this is refused all the same.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, Place::of(path)?))
}

impl Serving {
    /// Tells those who wait for it, before the process is gone.
    pub(crate) async fn end(self, stopped: Stopped) {
        self.end.send_replace(Some(stopped));
        // It ends by itself: a failure is a panic, which was shown.
        let _ = self.task.await;
    }
}

async fn accept(mut socket: ControlSocket, workers: WeakWorkers, mut end: End) {
    let places = Arc::new(Semaphore::new(PLACES));
    let mut connections = JoinSet::new();
    let mut looks = looks();
    loop {
        let next = async {
            while connections.len() >= CONNECTIONS {
                connections.join_next().await;
            }
            let place = Arc::clone(&places).acquire_owned().await;
            (place, socket.listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = looks.tick() => {
                socket.look().await;
                continue;
            }
            _ = end.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let connection = Connection {
                    stream: BufReader::new(stream),
                    workers: workers.clone(),
                    end: end.clone(),
                    place: place.ok(),
                };
                // That a client goes away is its own affair.
                connections.spawn(async move { drop(connection.serve().await) });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection to the control socket");
                sleep(PAUSE).await;
            }
        }
    }
    drop(socket);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout_awake(LAST_WORDS, all).await;
}

struct Connection {
    stream: BufReader<UnixStream>,
    workers: WeakWorkers,
    end: End,
    /// Given back before a long wait, in which others are to be served.
    place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        let peer = self.stream.get_ref().peer_cred()?;
        if !may_ask(peer.uid(), geteuid().as_raw()) {
            let (uid, pid) = (peer.uid(), peer.pid());
            tracing::warn!(uid, pid, "another user was refused at the control socket");
            let why = "the supervisor belongs to another user";
            return self.refuse(Rejection::PermissionDenied, why).await;
        }
        let mut end = self.end.clone();
        let request = tokio::select! {
            request = timeout(PATIENCE, self.request()) => request,
            _ = end.changed() => return Ok(()),
        };
        match request {
            Ok(Ok(Some(request))) => self.fulfil(request).await,
            // It only looked whether somebody is here.
            Ok(Ok(None)) => Ok(()),
            Ok(Err(error)) => {
                self.refuse(Rejection::InvalidRequest, &error.to_string())
                    .await
            }
            Err(_) => {
                let why = format!("no request came within {PATIENCE:?}");
                self.refuse(Rejection::InvalidRequest, &why).await
            }
        }
    }

    async fn request(&mut self) -> io::Result<Option<Request>> {
        let mut line = Vec::new();
        // One byte more, to tell a line that is too long from one that is not.
        let mut bounded = (&mut self.stream).take(MAX_REQUEST + 1);
        bounded.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() as u64 > MAX_REQUEST {
            let why = format!("the request is longer than {MAX_REQUEST} bytes");
            return Err(io::Error::other(why));
        }
        let request = serde_json::from_slice(&line);
        request.map(Some).map_err(|error| {
            let why = format!("the request is none that this version knows: {error}");
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
            Some(status) => self.answer(&Response::Status(status)).await,
            None => self.refuse_ending().await,
        }
    }

    async fn reload(&mut self, strategy: ReloadStrategy) -> io::Result<()> {
        let Some(workers) = self.workers.upgrade() else {
            return self.refuse_ending().await;
        };
        let begun = workers.start_reload(strategy).await;
        // Whoever waits for a reload does not keep the workers alive.
        drop(workers);
        let outcome = match begun {
            Ok(reloading) => {
                let is_queued = reloading.is_queued();
                let placed = if is_queued {
                    Response::Queued
                } else {
                    Response::Begun
                };
                self.answer(&placed).await?;
                self.place.take();
                reloading.await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(reloaded) => self.answer(&Response::Reloaded(reloaded)).await,
            Err(ReloadError::Stopping) => self.refuse_ending().await,
            Err(error) => {
                self.refuse(Rejection::ReloadFailed, &error.to_string())
                    .await
            }
        }
    }

    async fn scale(&mut self, to: usize) -> io::Result<()> {
        let scaled = match self.workers.upgrade() {
            Some(workers) => workers.scale(to).await,
            None => Err(ScaleError::Stopping),
        };
        match scaled {
            Ok(from) => self.answer(&Response::Scaled { from }).await,
            Err(ScaleError::Stopping) => self.refuse_ending().await,
            Err(error) => {
                self.refuse(Rejection::InvalidWorkerCount, &error.to_string())
                    .await
            }
        }
    }

    async fn stop(&mut self, now: bool) -> io::Result<()> {
        let Some(workers) = self.workers.upgrade() else {
            return self.refuse_ending().await;
        };
        let told = self.answer(&Response::Begun).await;
        self.place.take();
        let stopping = async {
            if now {
                workers.kill().await
            } else {
                workers.stop().await
            }
        };
        let mut end = self.end.clone();
        let ended = async {
            match end.wait_for(Option::is_some).await {
                Ok(stopped) => *stopped,
                Err(_) => None,
            }
        };
        // The workers' own end is told after ours: all who are told here are told before it.
        let stopped = tokio::select! {
            stopped = stopping => stopped,
            Some(stopped) = ended => stopped,
        };
        told?;
        self.answer(&Response::Stopped(stopped)).await
    }

    async fn refuse_ending(&mut self) -> io::Result<()> {
        let why = ReloadError::Stopping.to_string();
        self.refuse(Rejection::Stopping, &why).await
    }

    async fn refuse(&mut self, kind: Rejection, why: &str) -> io::Result<()> {
        let why = why.to_owned();
        self.answer(&Response::Rejected { kind, why }).await
    }

    async fn answer(&mut self, answer: &Response) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        timeout(PATIENCE, self.stream.write_all(&line)).await?
    }
}

/// Whether a process of the user `peer` may ask something of a supervisor of the user `own`.
pub(super) fn may_ask(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}
