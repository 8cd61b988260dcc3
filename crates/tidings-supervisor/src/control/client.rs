//! The client of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{LINE_TIMEOUT, MAX_RESPONSE, RESPONSE_TIMEOUT, Rejection, Request, Response};
use crate::fleet::{ReloadStrategy, Reloaded};
use crate::runtime_dir::{control_sockets, runtime_dirs};
use crate::shown::{Lines, Shown};
use crate::status::{Status, Stopped};

/// A running supervisor of this user that has [a name](crate::Supervisor::name), usually in another
/// process.
///
/// # Examples
///
/// ```no_run
/// use tidings_supervisor::{ReloadStrategy, RemoteSupervisor};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let web = RemoteSupervisor::find(Some("web")).await?;
/// let reloaded = web.reload(ReloadStrategy::AllAtOnce).await?;
/// println!("{} new workers after {:?}", reloaded.workers, reloaded.took);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RemoteSupervisor {
    name: String,
    socket: PathBuf,
}

/// An error of a request to another supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No supervisor of this user that has a name is running.
    #[error("no supervisor is running; searched {}", shown(searched))]
    NoneRunning {
        /// The [runtime directories](RemoteSupervisor::runtime_dirs).
        searched: Vec<PathBuf>,
    },
    /// Several supervisors are running, and no name was given.
    #[error("several supervisors are running: {}", .0.join(", "))]
    SeveralRunning(Vec<String>),
    /// No supervisor of this name is running.
    #[error("no supervisor named `{name}` is running; these are: {}", running.join(", "))]
    NotFound {
        /// The name that was searched.
        name: String,
        /// The names of those that are running.
        running: Vec<String>,
    },
    /// The supervisor received the request and did not fulfil it.
    #[error("{}", Lines(why))]
    Rejected {
        /// The kind of reason.
        kind: Rejection,
        /// The reason, as the supervisor says it.
        why: String,
    },
    /// The supervisor did not respond, or not completely.
    #[error("no response from supervisor `{name}`")]
    Unreachable {
        /// The name of the supervisor.
        name: String,
        /// The cause.
        source: io::Error,
    },
}

impl RemoteError {
    /// Returns whether the supervisor is stopping or has stopped.
    pub fn is_stopped(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof,
        };
        match self {
            Self::Rejected { kind, .. } => *kind == Rejection::Stopping,
            Self::Unreachable { source, .. } => matches!(
                source.kind(),
                BrokenPipe | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof
            ),
            _ => false,
        }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    let paths = paths.iter().map(|it| it.display().to_string());
    paths.collect::<Vec<_>>().join(", ")
}

impl RemoteSupervisor {
    /// Finds the supervisor of this name, or without a name the only one that is running.
    ///
    /// # Errors
    ///
    /// When none is running, none has this name, or several are running and no name was given.
    pub async fn find(name: Option<&str>) -> Result<Self, RemoteError> {
        Self::find_in_any(Self::runtime_dirs(), name).await
    }

    /// Does what [`find`](Self::find) does in another
    /// [runtime directory](crate::Supervisor::runtime_dir).
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub async fn find_in(
        runtime_dir: impl AsRef<Path>,
        name: Option<&str>,
    ) -> Result<Self, RemoteError> {
        Self::find_in_any(vec![runtime_dir.as_ref().to_owned()], name).await
    }

    async fn find_in_any(searched: Vec<PathBuf>, name: Option<&str>) -> Result<Self, RemoteError> {
        let mut all = Self::list_all(&searched).await;
        if all.is_empty() {
            return Err(RemoteError::NoneRunning { searched });
        }
        let names = |all: Vec<Self>| all.into_iter().map(|it| it.name).collect();
        match name {
            None if all.len() == 1 => Ok(all.remove(0)),
            None => Err(RemoteError::SeveralRunning(names(all))),
            Some(name) => match all.iter().position(|it| it.name == name) {
                Some(index) => Ok(all.remove(index)),
                None => Err(RemoteError::NotFound {
                    name: name.to_owned(),
                    running: names(all),
                }),
            },
        }
    }

    /// Returns all running supervisors of this user that have a name, in the order of their names.
    pub async fn list() -> Vec<Self> {
        Self::list_all(&Self::runtime_dirs()).await
    }

    /// Does what [`list`](Self::list) does in another
    /// [runtime directory](crate::Supervisor::runtime_dir).
    pub async fn list_in(runtime_dir: impl AsRef<Path>) -> Vec<Self> {
        Self::list_all(&[runtime_dir.as_ref().to_owned()]).await
    }

    async fn list_all(runtime_dirs: &[PathBuf]) -> Vec<Self> {
        let sockets = runtime_dirs.iter().flat_map(|it| control_sockets(it));
        let mut sockets: Vec<_> = sockets.collect();
        sockets.sort();
        let mut all = Vec::new();
        for (name, socket) in sockets {
            if is_listening(&socket).await {
                all.push(Self { name, socket });
            }
        }
        all
    }

    /// Returns the directories in which supervisors of this user are searched: that of
    /// `TIDINGS_RUNTIME_DIR` if it is set, else all that they use by default.
    pub fn runtime_dirs() -> Vec<PathBuf> {
        runtime_dirs()
    }

    /// Returns the name of the supervisor.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state of the supervisor and its workers.
    ///
    /// # Errors
    ///
    /// When the supervisor rejects the request or does not respond.
    pub async fn status(&self) -> Result<Status, RemoteError> {
        match self.send(Request::Status).await?.first().await? {
            Response::Status(status) => Ok(status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Replaces all workers, as [`Workers::reload`](crate::Workers::reload) does.
    ///
    /// # Errors
    ///
    /// When the reload fails, or the supervisor rejects the request or does not respond.
    pub async fn reload(&self, strategy: ReloadStrategy) -> Result<Reloaded, RemoteError> {
        self.start_reload(strategy).await?.wait().await
    }

    /// Requests a reload as [`reload`](Self::reload) does, without waiting for the result.
    ///
    /// # Errors
    ///
    /// When the supervisor rejects the request or does not respond.
    pub async fn start_reload(
        &self,
        strategy: ReloadStrategy,
    ) -> Result<RemoteReloadHandle, RemoteError> {
        let mut responses = self.send(Request::Reload { strategy }).await?;
        let is_queued = match responses.first().await? {
            Response::Started => false,
            Response::Queued => true,
            other => return Err(self.unexpected(&other)),
        };
        Ok(RemoteReloadHandle {
            is_queued,
            responses,
        })
    }

    /// Changes the number of workers, and returns the number before, as
    /// [`Workers::scale`](crate::Workers::scale) does.
    ///
    /// # Errors
    ///
    /// When the number is not between 1 and 1,024, or the supervisor rejects the request or does not
    /// respond.
    pub async fn scale(&self, workers: usize) -> Result<usize, RemoteError> {
        match self.send(Request::Scale { workers }).await?.first().await? {
            Response::Scaled { from } => Ok(from),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Stops the supervisor, as [`Workers::stop`](crate::Workers::stop) does.
    ///
    /// # Errors
    ///
    /// When the supervisor rejects the request, or does not respond until it has stopped.
    pub async fn stop(&self) -> Result<Stopped, RemoteError> {
        self.request_stop(false).await
    }

    /// Kills all workers, as [`Workers::kill`](crate::Workers::kill) does.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub async fn kill(&self) -> Result<Stopped, RemoteError> {
        self.request_stop(true).await
    }

    async fn request_stop(&self, now: bool) -> Result<Stopped, RemoteError> {
        let mut responses = self.send(Request::Stop { now }).await?;
        match responses.first().await? {
            Response::Started => {}
            other => return Err(self.unexpected(&other)),
        }
        match responses.next().await? {
            Response::Stopped(stopped) => Ok(stopped),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn send(&self, request: Request) -> Result<Responses, RemoteError> {
        let sent = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            check_peer(&stream)?;
            let mut line = serde_json::to_vec(&request)?;
            line.push(b'\n');
            // The server may respond and close the connection without reading the request. Its response
            // says more than this error.
            let _ = stream.write_all(&line).await;
            Ok(stream)
        };
        let stream = timeout(LINE_TIMEOUT, sent).await.unwrap_or_else(|_| {
            let why = format!("it accepts no request within {LINE_TIMEOUT:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        });
        let stream = stream.map_err(|source| self.unreachable(source))?;
        Ok(Responses {
            supervisor: self.clone(),
            stream: BufReader::new(stream),
        })
    }

    fn unreachable(&self, source: io::Error) -> RemoteError {
        let name = self.name.clone();
        RemoteError::Unreachable { name, source }
    }

    fn unexpected(&self, response: &Response) -> RemoteError {
        let why = format!("its response does not fit the request: {response:?}");
        self.unreachable(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// A requested reload of another supervisor. Dropping it does not cancel the reload.
#[derive(Debug)]
pub struct RemoteReloadHandle {
    is_queued: bool,
    responses: Responses,
}

impl RemoteReloadHandle {
    /// Returns whether the reload was queued behind a running one.
    pub fn is_queued(&self) -> bool {
        self.is_queued
    }

    /// Waits for the result of the reload.
    ///
    /// # Errors
    ///
    /// When the reload fails, or the connection to the supervisor is lost.
    pub async fn wait(mut self) -> Result<Reloaded, RemoteError> {
        match self.responses.next().await? {
            Response::Reloaded(reloaded) => Ok(reloaded),
            other => Err(self.responses.supervisor.unexpected(&other)),
        }
    }
}

#[derive(Debug)]
struct Responses {
    supervisor: RemoteSupervisor,
    stream: BufReader<UnixStream>,
}

impl Responses {
    /// Waits for the first response, which every running supervisor sends soon.
    async fn first(&mut self) -> Result<Response, RemoteError> {
        let supervisor = self.supervisor.clone();
        let first = timeout(RESPONSE_TIMEOUT, self.next()).await;
        first.unwrap_or_else(|_| {
            let why = format!("it sends nothing within {RESPONSE_TIMEOUT:?}");
            let source = io::Error::new(io::ErrorKind::TimedOut, why);
            Err(supervisor.unreachable(source))
        })
    }

    /// Waits for the next response without a timeout: a reload takes as long as its workers.
    async fn next(&mut self) -> Result<Response, RemoteError> {
        let response = self.read().await;
        match response.map_err(|source| self.supervisor.unreachable(source))? {
            Response::Rejected { kind, why } => Err(RemoteError::Rejected { kind, why }),
            response => Ok(response),
        }
    }

    async fn read(&mut self) -> io::Result<Response> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_RESPONSE);
        limited.read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_slice(&line).map_err(|error| {
            // The error quotes the line.
            let why = Shown(error.to_string()).to_string();
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }
}

/// Returns whether a process listens on the socket, which a killed supervisor may have left.
async fn is_listening(socket: &Path) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        // Other errors, for example of an overloaded one, say that it exists.
        Err(error) => !matches!(error.kind(), ConnectionRefused | NotFound),
    }
}

/// Checks that the socket was not made by another user, as could be in the temporary directory.
fn check_peer(stream: &UnixStream) -> io::Result<()> {
    let (peer, own) = (stream.peer_cred()?.uid(), geteuid().as_raw());
    if peer == own || peer == 0 || own == 0 {
        return Ok(());
    }
    let why = format!("the socket belongs to the user {peer}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}
