//! The side of those who ask.

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{MAX_RESPONSE, PATIENCE, RESPONSE_TIMEOUT, Rejection, Request, Response};
use crate::fleet::{ReloadStrategy, Reloaded};
use crate::home::{controls, places};
use crate::shown::{Lines, Shown};
use crate::status::Status;
use crate::workers::Stopped;

/// A supervisor of this user that runs in another process, or in this one: each that was given
/// [a name](crate::Supervisor::name) can be asked.
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

/// Why another supervisor did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No supervisor of this user that has a name runs.
    #[error("no supervisor runs; looked in {}", shown(searched))]
    NoneRunning {
        /// The [places](RemoteSupervisor::runtime_dirs).
        searched: Vec<PathBuf>,
    },
    /// A name is needed to choose one.
    #[error("several supervisors run: {}", .0.join(", "))]
    SeveralRunning(Vec<String>),
    /// None of this name runs.
    #[error("no supervisor named `{name}` runs; these do: {}", running.join(", "))]
    NotFound {
        /// The name that was looked for.
        name: String,
        /// Those that run.
        running: Vec<String>,
    },
    /// It heard the wish, and did not fulfil it.
    #[error("{}", Lines(why))]
    Rejected {
        /// What kind of wish.
        kind: Rejection,
        /// What it says itself.
        why: String,
    },
    /// It could not be asked, or ended before it answered.
    #[error("the supervisor `{name}` gives no answer")]
    Unreachable {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl RemoteError {
    /// It ends, or has ended.
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

fn shown(places: &[PathBuf]) -> String {
    let places = places.iter().map(|it| it.display().to_string());
    places.collect::<Vec<_>>().join(", ")
}

impl RemoteSupervisor {
    /// The supervisor of this name; without a name, the only one that runs.
    ///
    /// # Errors
    ///
    /// When none runs, none of this name, or several and no name was given.
    pub async fn find(name: Option<&str>) -> Result<Self, RemoteError> {
        Self::find_of(Self::runtime_dirs(), name).await
    }

    /// Like [`find`](Self::find), in another
    /// [runtime directory](crate::Supervisor::runtime_dir) than that of this user.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub async fn find_in(
        runtime: impl AsRef<Path>,
        name: Option<&str>,
    ) -> Result<Self, RemoteError> {
        Self::find_of(vec![runtime.as_ref().to_owned()], name).await
    }

    async fn find_of(places: Vec<PathBuf>, name: Option<&str>) -> Result<Self, RemoteError> {
        let mut all = Self::list_of(&places).await;
        if all.is_empty() {
            return Err(RemoteError::NoneRunning { searched: places });
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

    /// All supervisors of this user that have a name and run, in the order of their names.
    pub async fn list() -> Vec<Self> {
        Self::list_of(&Self::runtime_dirs()).await
    }

    /// The directories in which supervisors of this user are looked for: that of
    /// `TIDINGS_RUNTIME_DIR` alone where it is set, else all in which they are with one environment or
    /// another.
    pub fn runtime_dirs() -> Vec<PathBuf> {
        places()
    }

    /// Like [`all`](Self::all), in another
    /// [runtime directory](crate::Supervisor::runtime_dir) than that of this user.
    pub async fn list_in(runtime: impl AsRef<Path>) -> Vec<Self> {
        Self::list_of(&[runtime.as_ref().to_owned()]).await
    }

    async fn list_of(places: &[PathBuf]) -> Vec<Self> {
        let mut controls: Vec<_> = places.iter().flat_map(|it| controls(it)).collect();
        controls.sort();
        let mut all = Vec::new();
        for (name, socket) in controls {
            if somebody_listens(&socket).await {
                all.push(Self { name, socket });
            }
        }
        all
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its workers as they are now.
    ///
    /// # Errors
    ///
    /// When it refuses, or is gone.
    pub async fn status(&self) -> Result<Status, RemoteError> {
        match self.ask(Request::Status).await?.first().await? {
            Response::Status(status) => Ok(status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Replaces all its workers, and waits for it, as [`Workers::reload`](crate::Workers::reload).
    ///
    /// # Errors
    ///
    /// When the reload fails, the supervisor refuses it, or is gone.
    pub async fn reload(&self, strategy: ReloadStrategy) -> Result<Reloaded, RemoteError> {
        self.start_reload(strategy).await?.wait().await
    }

    /// Like [`reload`](Self::reload), and tells at once whether the reload began or waits for another.
    ///
    /// # Errors
    ///
    /// When the supervisor refuses, or is gone.
    pub async fn start_reload(
        &self,
        strategy: ReloadStrategy,
    ) -> Result<RemoteReloadHandle, RemoteError> {
        let mut responses = self.ask(Request::Reload { strategy }).await?;
        let is_queued = match responses.first().await? {
            Response::Begun => false,
            Response::Queued => true,
            other => return Err(self.unexpected(&other)),
        };
        Ok(RemoteReloadHandle {
            is_queued,
            responses,
        })
    }

    /// From now on so many workers, as [`Workers::scale`](crate::Workers::scale); how many were there
    /// before?
    ///
    /// # Errors
    ///
    /// When it is not between 1 and 1,024, the supervisor refuses, or is gone.
    pub async fn scale(&self, workers: usize) -> Result<usize, RemoteError> {
        match self.ask(Request::Scale { workers }).await?.first().await? {
            Response::Scaled { from } => Ok(from),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Tells all its workers to end, and waits for the end, as
    /// [`Workers::stop`](crate::Workers::stop).
    ///
    /// # Errors
    ///
    /// When the supervisor refuses, or is gone before it said how it ended.
    pub async fn stop(&self) -> Result<Stopped, RemoteError> {
        self.end(false).await
    }

    /// Kills all its workers, and waits for the end, as [`Workers::kill`](crate::Workers::kill).
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub async fn kill(&self) -> Result<Stopped, RemoteError> {
        self.end(true).await
    }

    async fn end(&self, now: bool) -> Result<Stopped, RemoteError> {
        let mut responses = self.ask(Request::Stop { now }).await?;
        match responses.first().await? {
            Response::Begun => {}
            other => return Err(self.unexpected(&other)),
        }
        match responses.next().await? {
            Response::Stopped(stopped) => Ok(stopped),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn ask(&self, request: Request) -> Result<Responses, RemoteError> {
        let asked = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            check_peer(&stream)?;
            let mut line = serde_json::to_vec(&request)?;
            line.push(b'\n');
            // It may have answered without reading: that is to be seen, not that it cut us off.
            let _ = stream.write_all(&line).await;
            Ok(stream)
        };
        let stream = timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            let why = format!("it takes no request within {PATIENCE:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        });
        let stream = stream.map_err(|source| self.lost(source))?;
        Ok(Responses {
            from: self.clone(),
            stream: BufReader::new(stream),
        })
    }

    fn lost(&self, source: io::Error) -> RemoteError {
        let name = self.name.clone();
        RemoteError::Unreachable { name, source }
    }

    fn unexpected(&self, answer: &Response) -> RemoteError {
        let why = format!("it answered something else than it was asked: {answer:?}");
        self.lost(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// A reload of another supervisor that began, or waits for another. It goes on also when this is
/// dropped.
#[derive(Debug)]
pub struct RemoteReloadHandle {
    is_queued: bool,
    responses: Responses,
}

impl RemoteReloadHandle {
    /// Another reload runs, and this one begins after it.
    pub fn is_queued(&self) -> bool {
        self.is_queued
    }

    /// Waits for what becomes of it.
    ///
    /// # Errors
    ///
    /// When the reload fails, or the supervisor is gone.
    pub async fn wait(mut self) -> Result<Reloaded, RemoteError> {
        match self.responses.next().await? {
            Response::Reloaded(reloaded) => Ok(reloaded),
            other => Err(self.responses.from.unexpected(&other)),
        }
    }
}

#[derive(Debug)]
struct Responses {
    from: RemoteSupervisor,
    stream: BufReader<UnixStream>,
}

impl Responses {
    /// That it heard: who runs says so soon.
    async fn first(&mut self) -> Result<Response, RemoteError> {
        let from = self.from.clone();
        timeout(RESPONSE_TIMEOUT, self.next())
            .await
            .unwrap_or_else(|_| {
                let why = format!("it says nothing within {RESPONSE_TIMEOUT:?}");
                Err(from.lost(io::Error::new(io::ErrorKind::TimedOut, why)))
            })
    }

    /// The next one, however long it takes: a reload takes as long as its workers.
    async fn next(&mut self) -> Result<Response, RemoteError> {
        let answer = self.read().await.map_err(|source| self.from.lost(source))?;
        match answer {
            Response::Rejected { kind, why } => Err(RemoteError::Rejected { kind, why }),
            answer => Ok(answer),
        }
    }

    async fn read(&mut self) -> io::Result<Response> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(MAX_RESPONSE);
        bounded.read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_slice(&line).map_err(|error| {
            // It quotes what it cannot read.
            let why = Shown(error.to_string()).to_string();
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }
}

/// Nobody listens at what a killed supervisor left behind.
async fn somebody_listens(socket: &Path) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        // One that has too much to do is there as well.
        Err(error) => !matches!(error.kind(), ConnectionRefused | NotFound),
    }
}

/// In the temporary directory somebody else could have put a socket that says what they like.
fn check_peer(stream: &UnixStream) -> io::Result<()> {
    let (peer, own) = (stream.peer_cred()?.uid(), geteuid().as_raw());
    if peer == own || peer == 0 || own == 0 {
        return Ok(());
    }
    let why = format!("it belongs to the user {peer}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}
