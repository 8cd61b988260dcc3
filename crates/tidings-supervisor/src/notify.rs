//! What a worker tells its supervisor: that it is ready, that it lives, that it ends.
//!
//! The words are those of systemd, so that a program which speaks to systemd speaks to us.

use std::env;
use std::ffi::OsStr;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram as Sender;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;
use tokio::net::UnixDatagram;

use crate::home::{Place, make_room};
use crate::identity::Identity;

/// Where to say it.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Longer messages are cut off.
const LONGEST: usize = 64 << 10;

/// How long a word waits where the supervisor has not heard those before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts to reach a socket that was removed.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Says that this worker can serve. Where nobody supervises it, does nothing.
///
/// # Errors
///
/// When there is a supervisor and it cannot be told, or not within 5 s: the worker will be taken for
/// one that does not get ready.
///
/// # Examples
///
/// ```
/// # fn listen() -> std::io::Result<()> { Ok(()) }
/// listen()?;
/// tidings_supervisor::notify_ready()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_ready() -> io::Result<()> {
    tell("READY=1", Some(PATIENCE))
}

/// Gives a sign of life, for [`watchdog`](crate::Supervisor::watchdog). Where nobody supervises this
/// process, does nothing. It never waits: where the supervisor has not received the signs before this
/// one, those will do; and where somebody removed the socket, the next sign finds it again.
///
/// # Errors
///
/// When there is a supervisor and it cannot be told.
///
/// # Examples
///
/// ```
/// tidings_supervisor::notify_watchdog()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_watchdog() -> io::Result<()> {
    match tell("WATCHDOG=1", None) {
        Err(why) if is_full(&why) || is_removed(&why) => Ok(()),
        told => told,
    }
}

/// Says that this worker is about to end by itself: its slot gets another worker, without
/// counting a death, while this one finishes what it has, for as long as the supervisor's grace. Before
/// it was ready it is its end that counts. Where nobody supervises this process, does nothing.
///
/// # Errors
///
/// When there is a supervisor and it cannot be told, or not within 5 s.
///
/// # Examples
///
/// ```
/// tidings_supervisor::notify_stopping()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_stopping() -> io::Result<()> {
    tell("STOPPING=1", Some(PATIENCE))
}

/// Waits for so long, or not at all.
fn tell(word: &str, patience: Option<Duration>) -> io::Result<()> {
    env::var_os(SOCKET).map_or(Ok(()), |socket| send_patiently(word, &socket, patience))
}

/// A socket that somebody removed is made again soon.
fn send_patiently(word: &str, socket: &OsStr, patience: Option<Duration>) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match send(word, socket, patience) {
            Err(why) if is_removed(&why) && patience.is_some_and(|it| begun.elapsed() < it) => {
                thread::sleep(LOOK_AGAIN);
            }
            sent => return sent,
        }
    }
}

fn send(word: &str, socket: &OsStr, patience: Option<Duration>) -> io::Result<()> {
    let sender = Sender::unbound()?;
    match patience {
        Some(_) => sender.set_write_timeout(patience)?,
        None => sender.set_nonblocking(true)?,
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(socket).strip_prefix(b"@") {
        // systemd itself gives such names.
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return sender.send_to_addr(word.as_bytes(), &address).map(drop);
    }
    sender.send_to(word.as_bytes(), socket).map(drop)
}

/// The supervisor makes its socket again as soon as it notices.
fn is_removed(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::NotFound
}

/// macOS has a word of its own for a queue without room.
fn is_full(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::WouldBlock || why.raw_os_error() == Some(libc::ENOBUFS)
}

/// What a worker said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Ready,
    Alive,
    Stopping,
}

/// Where one worker says it; gone with this.
#[derive(Debug)]
pub(crate) struct Ear {
    socket: UnixDatagram,
    /// What the socket was before it was made again: a program may have connected to that one.
    former: Option<UnixDatagram>,
    path: PathBuf,
    place: Place,
    identity: Option<Identity>,
    buffer: Box<[u8]>,
}

impl Ear {
    pub(crate) fn open(path: PathBuf, identity: Option<Identity>) -> io::Result<Self> {
        let (socket, place) = bind(&path, identity)?;
        Ok(Self {
            socket,
            former: None,
            path,
            place,
            identity,
            buffer: vec![0; LONGEST].into(),
        })
    }

    /// Nobody has removed it.
    pub(crate) fn is_there(&self) -> bool {
        self.place.is_at(&self.path)
    }

    /// Makes it again at the same path.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        make_room(&self.path)?;
        let (socket, place) = bind(&self.path, self.identity)?;
        self.former = Some(std::mem::replace(&mut self.socket, socket));
        self.place = place;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the next words. Dropping the wait loses none.
    pub(crate) async fn hear(&mut self) -> io::Result<Vec<Word>> {
        let length = poll_fn(|context| self.poll_receive(context)).await?;
        Ok(words(&self.buffer[..length]))
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        for socket in self.former.iter().chain([&self.socket]) {
            let mut buffer = ReadBuf::new(&mut self.buffer[..]);
            if let Poll::Ready(received) = socket.poll_recv(context, &mut buffer) {
                return Poll::Ready(received.map(|()| buffer.filled().len()));
            }
        }
        Poll::Pending
    }

    /// What was said and not heard yet.
    pub(crate) fn rest(&mut self) -> Vec<Word> {
        let mut rest = Vec::new();
        for socket in self.former.iter().chain([&self.socket]) {
            while let Ok(length) = socket.try_recv(&mut self.buffer[..]) {
                rest.extend(words(&self.buffer[..length]));
            }
        }
        rest
    }
}

fn bind(path: &Path, identity: Option<Identity>) -> io::Result<(UnixDatagram, Place)> {
    let socket = UnixDatagram::bind(path)?;
    // Nobody else on this machine can say that a worker is ready.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    if let Some(Identity { uid, gid }) = identity.filter(|it| it.is_another()) {
        chown(path, Some(uid), Some(gid))?;
    }
    Ok((socket, Place::of(path)?))
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Other words are systemd's business.
fn words(said: &[u8]) -> Vec<Word> {
    let lines = said.split(|byte| *byte == b'\n');
    let word = |line: &[u8]| match line {
        b"READY=1" => Some(Word::Ready),
        b"WATCHDOG=1" => Some(Word::Alive),
        b"STOPPING=1" => Some(Word::Stopping),
        _ => None,
    };
    lines.filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::short_directory;

    #[test]
    fn known_words_are_understood_and_all_others_passed_over() {
        let said = b"STATUS=warm\nREADY=1\nWATCHDOG=1\nREADY=0\n\xff\nSTOPPING=1";
        assert_eq!(words(said), [Word::Ready, Word::Alive, Word::Stopping]);
        assert!(words(b"").is_empty());
    }

    #[tokio::test]
    async fn what_was_said_before_anybody_listened_is_heard() {
        let directory = short_directory();
        let mut ear = Ear::open(directory.path().join("ear"), None).unwrap();
        let worker = Sender::unbound().unwrap();
        worker.send_to(b"READY=1", ear.path()).unwrap();
        worker.send_to(b"STOPPING=1", ear.path()).unwrap();

        assert_eq!(ear.hear().await.unwrap(), [Word::Ready]);
        assert_eq!(ear.rest(), [Word::Stopping]);

        let path = ear.path().to_owned();
        drop(ear);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_word_counts_behind_64_kib_of_other_words() {
        let directory = short_directory();
        let mut ear = Ear::open(directory.path().join("ear"), None).unwrap();
        let said = format!("STATUS={}\nREADY=1", "x".repeat((64 << 10) - 15));
        assert_eq!(said.len(), 64 << 10);
        Sender::unbound()
            .unwrap()
            .send_to(said.as_bytes(), ear.path())
            .unwrap();
        assert_eq!(hear(&mut ear).await, [Word::Ready]);
    }

    async fn hear(ear: &mut Ear) -> Vec<Word> {
        let heard = tokio::time::timeout(Duration::from_secs(30), ear.hear()).await;
        heard.expect("something is said in time").unwrap()
    }

    #[tokio::test]
    async fn what_is_said_to_a_socket_that_was_removed_is_received_when_it_is_made_again() {
        let directory = short_directory();
        let mut ear = Ear::open(directory.path().join("ear"), None).unwrap();
        let worker = Sender::unbound().unwrap();
        worker.connect(ear.path()).unwrap();
        std::fs::remove_file(ear.path()).unwrap();
        assert!(!ear.is_there());
        let path = ear.path().to_owned();
        let saying = thread::spawn(move || {
            send_patiently("READY=1", path.as_os_str(), Some(Duration::from_secs(30)))
        });

        ear.reopen().unwrap();

        assert!(ear.is_there());
        assert_eq!(hear(&mut ear).await, [Word::Ready]);
        saying.join().unwrap().unwrap();
        // And so is what is said on a connection that was there before.
        worker.send(b"STOPPING=1").unwrap();
        assert_eq!(hear(&mut ear).await, [Word::Stopping]);
        let mode = std::fs::metadata(ear.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn whoever_is_not_heard_does_not_wait() {
        let directory = short_directory();
        let path = directory.path().join("ear");
        let _deaf = Sender::bind(&path).unwrap();
        let say = || send("WATCHDOG=1", path.as_os_str(), None);
        let why = std::iter::repeat_with(say).find_map(Result::err).unwrap();
        assert!(is_full(&why), "{why}");

        // It gives up, however long it waits before.
        let why = send("READY=1", path.as_os_str(), Some(Duration::from_millis(10))).unwrap_err();
        assert!(is_full(&why), "{why}");
    }
}
