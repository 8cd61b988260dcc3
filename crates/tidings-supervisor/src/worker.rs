//! One process, from its start to its end. One task owns it: only that signals and reaps it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::exit::Exit;
use crate::fleet::{Ended, Key};
use crate::home::Home;
use crate::identity::Identity;
use crate::notify::{Ear, Word};
use crate::output::{LastLines, Output, Source, Stream};
use crate::ready::{Ready, accepts};
use crate::spawn::Spawner;
use crate::stop_signal::StopSignal;

/// How long what a worker wrote is read after its end, when somebody else holds its pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What happened to a worker.
#[derive(Debug)]
pub(crate) enum News {
    Started(u32),
    Said(Word),
    Ended(Ended),
}

/// What is to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Terminate,
    Kill,
}

/// What all workers need of their supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) spawner: Spawner,
    pub(crate) home: Arc<Home>,
    pub(crate) identity: Option<Identity>,
    pub(crate) output: Output,
    pub(crate) ready: Ready,
    pub(crate) stop_signal: StopSignal,
    pub(crate) news: mpsc::Sender<(Key, News)>,
}

/// Runs one worker. Whatever happens, its end is told, and last.
pub(crate) async fn run(
    key: Key,
    slot: usize,
    wishes: mpsc::Receiver<Wish>,
    surroundings: Surroundings,
) {
    let last = LastLines::default();
    let worker = Worker {
        key,
        slot,
        wishes,
        last: last.clone(),
        surroundings: &surroundings,
    };
    let exit = match worker.live().await {
        Ok(exit) => exit,
        Err(error) => Exit::NotStarted(error.to_string()),
    };
    let last_lines = last.take();
    let ended = News::Ended(Ended { exit, last_lines });
    // Nobody listens only when the supervisor is gone.
    let _ = surroundings.news.send((key, ended)).await;
}

struct Worker<'a> {
    key: Key,
    slot: usize,
    wishes: mpsc::Receiver<Wish>,
    last: LastLines,
    surroundings: &'a Surroundings,
}

impl Worker<'_> {
    async fn live(mut self) -> io::Result<Exit> {
        let mut ear = Ear::open(self.surroundings.home.ear(), self.surroundings.identity)?;
        let mut death = Death::watch()?;
        let spawner = &self.surroundings.spawner;
        let mut process = spawner.spawn(self.slot, ear.path()).await?;
        let mut readers = self.read(&mut process);
        self.tell(News::Started(process.child.id())).await;
        self.watch(&mut ear, &mut death, &mut process).await;
        for word in ear.rest() {
            self.tell(News::Said(word)).await;
        }
        let exit = process.bury()?;
        let all_read = async { while readers.join_next().await.is_some() {} };
        let _ = timeout(LAST_WORDS, all_read).await;
        Ok(exit)
    }

    /// Until the process is dead.
    async fn watch(&mut self, ear: &mut Ear, death: &mut Death, process: &mut Process) {
        let group = process.child.id();
        let port = self.surroundings.ready.port();
        let accepts = async {
            match port {
                Some(at) => accepts(at, group).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(accepts);
        let mut is_accepting = false;
        loop {
            tokio::select! {
                () = death.of(process) => return,
                Some(wish) = self.wishes.recv() => match wish {
                    Wish::Terminate => process.send(self.surroundings.stop_signal.into()),
                    Wish::Kill => process.kill(),
                },
                Ok(words) = ear.hear() => for word in words {
                    // With another way to know, that is not it.
                    if word != Word::Ready || self.surroundings.ready == Ready::Notified {
                        self.tell(News::Said(word)).await;
                    }
                },
                () = &mut accepts, if !is_accepting => {
                    is_accepting = true;
                    self.tell(News::Said(Word::Ready)).await;
                }
            }
        }
    }

    fn read(&self, process: &mut Process) -> JoinSet<io::Result<()>> {
        let child = &mut process.child;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let pipes = [(Stream::Stdout, stdout), (Stream::Stderr, stderr)];
        let mut readers = JoinSet::new();
        for (stream, pipe) in pipes {
            let source = Source {
                slot: self.slot,
                pid: child.id(),
                last: self.last.clone(),
                output: self.surroundings.output.clone(),
            };
            if let Some(pipe) = pipe {
                readers.spawn(source.pass_on(stream, pipe));
            }
        }
        readers
    }

    async fn tell(&self, news: News) {
        let _ = self.surroundings.news.send((self.key, news)).await;
    }
}

/// A child that is ours to reap: until then its number, and its group's, belong to nobody else.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// None once it is reaped.
    pid: Option<Pid>,
    /// Reaches this process and no other, also if somebody else in our program reaped it.
    #[cfg(target_os = "linux")]
    pidfd: Option<OwnedFd>,
}

impl Process {
    pub(crate) fn new(child: Child) -> Self {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Self {
            child,
            pid,
            #[cfg(target_os = "linux")]
            pidfd: pid.and_then(|pid| {
                let flags = rustix::process::PidfdFlags::empty();
                // Before Linux 5.3 there are none; then its number has to do.
                rustix::process::pidfd_open(pid, flags).ok()
            }),
        }
    }

    fn kill(&self) {
        self.send(Signal::KILL);
        self.kill_group();
    }

    /// It may be dead already: then that is no error.
    fn send(&self, signal: Signal) {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            let _ = rustix::process::pidfd_send_signal(pidfd, signal);
            return;
        }
        if let Some(pid) = self.pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// All that it started and that did not leave the group.
    fn kill_group(&self) {
        if let Some(pid) = self.pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Dead, and not reaped.
    fn is_dead(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Some(pid) = self.pid else { return true };
        // An error: somebody else in our program reaped it.
        !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
    }

    /// Ends what it left behind, then reaps it: in this order, since then its number is anybody's.
    fn bury(&mut self) -> io::Result<Exit> {
        self.kill_group();
        self.pid = None;
        Ok(Exit::of(self.child.wait()?))
    }
}

impl Drop for Process {
    /// Its task was cancelled, or never heard of it: nobody would watch it any more.
    fn drop(&mut self) {
        if self.pid.is_some() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Notices the end of children, on every system.
struct Death {
    children: Signals,
}

impl Death {
    /// From now on none is missed.
    fn watch() -> io::Result<Self> {
        let children = signal(SignalKind::child())?;
        Ok(Self { children })
    }

    async fn of(&mut self, process: &Process) {
        while !process.is_dead() {
            self.children.recv().await;
        }
    }
}
