//! One process, from its start to its end. One task owns it: only that signals and reaps it.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, waitid,
};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::awake::timeout_awake;
use crate::exit::Exit;
use crate::fleet::{Ended, Key};
use crate::home::{Home, looks, restore};
use crate::identity::Identity;
use crate::notify::{Ear, Word};
use crate::output::{LastLines, LastWords, Output, OutputStream, Pipe, Source};
use crate::ready::{ReadyWhen, accepts};
use crate::spawn::Spawner;
use crate::stop_signal::StopSignal;

/// How long the news of a worker's end waits for its last lines to be passed on: where it can be,
/// they come first.
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
    pub(crate) ready_when: ReadyWhen,
    pub(crate) stop_signal: StopSignal,
    pub(crate) news: mpsc::Sender<(Key, News)>,
}

/// Runs one worker. Whatever happens, its end is told, and last.
pub(crate) async fn run(
    key: Key,
    slot: usize,
    wishes: mpsc::Receiver<Wish>,
    last: LastLines,
    surroundings: Surroundings,
) {
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
        let mut ear = self.open_ear().await?;
        let mut death = Death::watch()?;
        let spawner = &self.surroundings.spawner;
        let mut process = spawner.spawn(self.slot, ear.path()).await?;
        let (life, alive) = watch::channel(());
        let readers = self.read(&mut process, &alive)?;
        self.tell(News::Started(process.child.id())).await;
        self.watch(&mut ear, &mut death, &mut process).await;
        // Whatever else it said, it is not ready any more.
        if ear.rest().contains(&Word::Stopping) {
            self.tell(News::Said(Word::Stopping)).await;
        }
        let exit = process.bury()?;
        drop(life);
        pass_on_last_words(readers).await;
        Ok(exit)
    }

    async fn open_ear(&self) -> io::Result<Ear> {
        let Surroundings { home, identity, .. } = self.surroundings;
        restore(home).await?;
        Ear::open(home.ear(), *identity)
    }

    /// Makes the ear again where somebody removed it. As long as it is away nothing can be said, so that
    /// each look counts as a sign of life.
    async fn look_at(&self, ear: &mut Ear) {
        if ear.is_there() {
            return;
        }
        let home = &self.surroundings.home;
        if restore(home).await.is_ok() {
            // What fails is tried again at the next look.
            let _ = ear.reopen();
        }
        // That the directory cannot be made is logged with the control socket.
        self.tell(News::Said(Word::Alive)).await;
    }

    /// Until the process is dead.
    async fn watch(&mut self, ear: &mut Ear, death: &mut Death, process: &mut Process) {
        let group = process.child.id();
        let port = self.surroundings.ready_when.port();
        let accepts = async {
            match port {
                Some(at) => accepts(at, group).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(accepts);
        let (mut is_accepting, mut is_abandoned) = (false, false);
        let mut looks = looks();
        loop {
            tokio::select! {
                // First: who is dead is not ready.
                biased;
                () = death.of(process) => return,
                wish = self.wishes.recv(), if !is_abandoned => match wish {
                    Some(Wish::Terminate) => process.send(self.surroundings.stop_signal.into()),
                    Some(Wish::Kill) => process.kill(),
                    // The supervisor's task is gone, and did not end as it should.
                    None => {
                        is_abandoned = true;
                        process.kill();
                    }
                },
                Ok(words) = ear.hear() => for word in words {
                    // With another way to know, that is not it.
                    if word != Word::Ready || self.surroundings.ready_when == ReadyWhen::Notified {
                        self.tell(News::Said(word)).await;
                    }
                },
                _ = looks.tick() => self.look_at(ear).await,
                () = &mut accepts, if !is_accepting => {
                    is_accepting = true;
                    self.tell(News::Said(Word::Ready)).await;
                }
            }
        }
    }

    fn read(
        &self,
        process: &mut Process,
        alive: &watch::Receiver<()>,
    ) -> io::Result<JoinSet<LastWords>> {
        let child = &mut process.child;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let pipes = [
            (OutputStream::Stdout, stdout),
            (OutputStream::Stderr, stderr),
        ];
        let mut readers = JoinSet::new();
        for (stream, pipe) in pipes {
            let source = Source {
                slot: self.slot,
                pid: child.id(),
                stream,
                last: self.last.clone(),
                output: self.surroundings.output.clone(),
            };
            if let Some(pipe) = pipe {
                readers.spawn(Pipe::of(source, pipe)?.pass_on(alive.clone()));
            }
        }
        Ok(readers)
    }

    async fn tell(&self, news: News) {
        let _ = self.surroundings.news.send((self.key, news)).await;
    }
}

/// Waits for those who read until all is read, and a while until all is passed on; what takes longer
/// has nobody waiting for it.
async fn pass_on_last_words(mut readers: JoinSet<LastWords>) {
    let mut last_words = JoinSet::new();
    while let Some(read) = readers.join_next().await {
        if let Ok(words) = read {
            last_words.spawn(words.pass_on());
        }
    }
    let all_passed_on = async { while last_words.join_next().await.is_some() {} };
    if timeout_awake(LAST_WORDS, all_passed_on).await.is_none() {
        last_words.detach_all();
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
        // Where somebody else reaped it, its number, and so the group's, may be anybody's.
        if let Some(pid) = self.pid
            && self.look().is_ok()
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Dead, whether it is reaped or not.
    fn is_dead(&self) -> bool {
        !matches!(self.look(), Ok(None))
    }

    /// How it ended, if it did, without reaping it. An error: somebody else in our program did.
    fn look(&self) -> rustix::io::Result<Option<WaitIdStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            return waitid(WaitId::PidFd(pidfd.as_fd()), options);
        }
        let pid = self.pid.ok_or(rustix::io::Errno::CHILD)?;
        waitid(WaitId::Pid(pid), options)
    }

    /// Ends what it left behind, then reaps it: in this order, since then its number is anybody's.
    fn bury(&mut self) -> io::Result<Exit> {
        if self.look().is_err() {
            self.pid = None;
            return Ok(Exit::Unknown);
        }
        self.kill_group();
        self.pid = None;
        Ok(Exit::of(self.child.wait()?))
    }
}

impl Drop for Process {
    /// Its task was cancelled, or never heard of it: nobody would watch it any more.
    fn drop(&mut self) {
        if self.pid.is_some() && self.look().is_ok() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::short_directory;
    use std::process::{Command, Stdio};

    use crate::listen::Listeners;
    use crate::output::Readers;
    use crate::spawn::Launch;
    use tokio::time::timeout;

    /// For what must happen, on whatever machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Of workers that sleep.
    fn surroundings(runtime: &std::path::Path) -> (Surroundings, mpsc::Receiver<(Key, News)>) {
        let (spawner, _) = Spawner::start(Launch {
            program: "sleep".into(),
            arguments: vec!["1000".into()],
            environment: Vec::new(),
            is_environment_clear: false,
            directory: None,
            identity: None,
            listeners: Arc::new(Listeners::open(&[]).unwrap()),
            watchdog: None,
        })
        .unwrap();
        let (news, heard) = mpsc::channel(16);
        let surroundings = Surroundings {
            spawner,
            home: Arc::new(Home::take(runtime, None, false).unwrap()),
            identity: None,
            output: Output::start(Readers::default()).unwrap().0,
            ready_when: ReadyWhen::Notified,
            stop_signal: StopSignal::default(),
            news,
        };
        (surroundings, heard)
    }

    #[tokio::test]
    async fn a_worker_that_nobody_can_tell_anything_any_more_is_killed() {
        let runtime = short_directory();
        let (surroundings, mut heard) = surroundings(runtime.path());
        let (wishes, waiting) = mpsc::channel(1);
        tokio::spawn(run(Key(0), 0, waiting, LastLines::default(), surroundings));
        let (_, started) = heard.recv().await.unwrap();
        assert!(matches!(started, News::Started(_)), "{started:?}");

        drop(wishes);

        let (_, ended) = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
        assert!(
            matches!(&ended, News::Ended(ended) if ended.exit == Exit::Signal(9)),
            "{ended:?}"
        );
    }

    #[tokio::test]
    async fn a_worker_whose_socket_cannot_be_made_again_is_not_taken_for_hung() {
        let directory = short_directory();
        let runtime = directory.path().join("run");
        let (surroundings, mut heard) = surroundings(&runtime);
        let (_wishes, waiting) = mpsc::channel(1);
        tokio::spawn(run(Key(0), 0, waiting, LastLines::default(), surroundings));
        let (_, started) = heard.recv().await.unwrap();
        assert!(matches!(started, News::Started(_)), "{started:?}");

        std::fs::remove_dir_all(&runtime).unwrap();
        std::fs::write(&runtime, "in the way").unwrap();

        for _ in 0..2 {
            let (_, said) = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
            assert!(matches!(said, News::Said(Word::Alive)), "{said:?}");
        }
    }

    #[test]
    fn the_end_of_a_child_that_somebody_else_reaped_is_unknown() {
        let child = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
        let mut process = Process::new(child);
        waitid(WaitId::Pid(process.pid.unwrap()), WaitIdOptions::EXITED).unwrap();

        assert!(process.is_dead());
        assert_eq!(process.bury().unwrap(), Exit::Unknown);
    }
}
