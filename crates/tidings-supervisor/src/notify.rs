//! Notifications of a worker to its supervisor, in the protocol of systemd's `sd_notify`.

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

use crate::identity::Identity;
use crate::socket_file::{SocketFile, remove};

/// The variable with the path of the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Longer messages are truncated.
const MAX_MESSAGE: usize = 64 << 10;

/// The time that a notification may wait for the supervisor.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two attempts to reach a socket that was removed.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Tells the supervisor that this worker is ready. Does nothing without a supervisor.
///
/// # Errors
///
/// When the supervisor cannot be reached within 5 s. It will then stop the worker after the
/// [ready timeout](crate::Supervisor::ready_timeout).
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
    notify("READY=1", Some(TIMEOUT))
}

/// Tells the supervisor that this worker is alive, for the [watchdog](crate::Supervisor::watchdog). Does
/// nothing without a supervisor.
///
/// It never waits. A notification is skipped while earlier ones are unread, or while the socket is
/// created again after something removed it.
///
/// # Errors
///
/// When the supervisor cannot be reached for another reason.
///
/// # Examples
///
/// ```
/// tidings_supervisor::notify_watchdog()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_watchdog() -> io::Result<()> {
    match notify("WATCHDOG=1", None) {
        Err(why) if is_full(&why) || is_removed(&why) => Ok(()),
        sent => sent,
    }
}

/// Tells the supervisor that this worker is about to stop by itself. Does nothing without a supervisor.
///
/// The slot of a ready worker starts another one, and no death is counted. This one has the
/// [stop timeout](crate::Supervisor::stop_timeout) to finish its work. While two such workers of a slot
/// finish their work, it starts no other one, except in a reload.
///
/// # Errors
///
/// When the supervisor cannot be reached within 5 s.
///
/// # Examples
///
/// ```
/// tidings_supervisor::notify_stopping()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_stopping() -> io::Result<()> {
    notify("STOPPING=1", Some(TIMEOUT))
}

/// Sends a message. Without a timeout it does not wait.
fn notify(message: &str, timeout: Option<Duration>) -> io::Result<()> {
    env::var_os(SOCKET).map_or(Ok(()), |socket| {
        send_with_retries(message, &socket, timeout)
    })
}

/// Sends a message, and retries if the socket was removed: the supervisor creates it again.
fn send_with_retries(message: &str, socket: &OsStr, timeout: Option<Duration>) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match send(message, socket, timeout) {
            Err(why) if is_removed(&why) && timeout.is_some_and(|it| begun.elapsed() < it) => {
                thread::sleep(RETRY_INTERVAL);
            }
            sent => return sent,
        }
    }
}

fn send(message: &str, socket: &OsStr, timeout: Option<Duration>) -> io::Result<()> {
    let sender = Sender::unbound()?;
    match timeout {
        Some(_) => sender.set_write_timeout(timeout)?,
        None => sender.set_nonblocking(true)?,
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(socket).strip_prefix(b"@") {
        // An abstract socket of systemd itself.
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return sender.send_to_addr(message.as_bytes(), &address).map(drop);
    }
    sender.send_to(message.as_bytes(), socket).map(drop)
}

fn is_removed(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::NotFound
}

/// Returns whether the socket's queue is full; macOS reports that as `ENOBUFS`.
fn is_full(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::WouldBlock || why.raw_os_error() == Some(libc::ENOBUFS)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    Ready,
    Watchdog,
    Stopping,
}

/// The socket that receives the notifications of one worker. Its file is removed on drop.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    socket: UnixDatagram,
    /// The socket before it was opened again: a worker may be connected to it.
    previous: Option<UnixDatagram>,
    path: PathBuf,
    file: SocketFile,
    identity: Option<Identity>,
    buffer: Box<[u8]>,
}

impl NotifySocket {
    pub(crate) fn open(path: PathBuf, identity: Option<Identity>) -> io::Result<Self> {
        let (socket, file) = bind(&path, identity)?;
        Ok(Self {
            socket,
            previous: None,
            path,
            file,
            identity,
            buffer: vec![0; MAX_MESSAGE].into(),
        })
    }

    /// Returns whether the file of the socket still exists.
    pub(crate) fn exists(&self) -> bool {
        self.file.is_at(&self.path)
    }

    /// Opens the socket again at the same path.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        remove(&self.path)?;
        let (socket, file) = bind(&self.path, self.identity)?;
        self.previous = Some(std::mem::replace(&mut self.socket, socket));
        self.file = file;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the next message. Cancel safe.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<Notification>> {
        let length = poll_fn(|context| self.poll_receive(context)).await?;
        Ok(parse(&self.buffer[..length]))
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        for socket in self.previous.iter().chain([&self.socket]) {
            let mut buffer = ReadBuf::new(&mut self.buffer[..]);
            if let Poll::Ready(received) = socket.poll_recv(context, &mut buffer) {
                return Poll::Ready(received.map(|()| buffer.filled().len()));
            }
        }
        Poll::Pending
    }

    /// Returns all notifications that are queued.
    pub(crate) fn drain(&mut self) -> Vec<Notification> {
        let mut all = Vec::new();
        for socket in self.previous.iter().chain([&self.socket]) {
            while let Ok(length) = socket.try_recv(&mut self.buffer[..]) {
                all.extend(parse(&self.buffer[..length]));
            }
        }
        all
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bind(path: &Path, identity: Option<Identity>) -> io::Result<(UnixDatagram, SocketFile)> {
    let socket = UnixDatagram::bind(path)?;
    // No other user can send notifications.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    if let Some(Identity { uid, gid }) = identity.filter(|it| it.is_another()) {
        chown(path, Some(uid), Some(gid))?;
    }
    Ok((socket, SocketFile::at(path)?))
}

/// Returns the known notifications of a message. Other assignments of systemd's protocol are ignored.
fn parse(message: &[u8]) -> Vec<Notification> {
    let lines = message.split(|byte| *byte == b'\n');
    let known = |line: &[u8]| match line {
        b"READY=1" => Some(Notification::Ready),
        b"WATCHDOG=1" => Some(Notification::Watchdog),
        b"STOPPING=1" => Some(Notification::Stopping),
        _ => None,
    };
    lines.filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::short_directory;

    #[test]
    fn known_notifications_are_parsed_and_others_ignored() {
        let message = b"STATUS=warm\nREADY=1\nWATCHDOG=1\nREADY=0\n\xff\nSTOPPING=1";
        assert_eq!(
            parse(message),
            [
                Notification::Ready,
                Notification::Watchdog,
                Notification::Stopping
            ]
        );
        assert!(parse(b"").is_empty());
    }

    #[tokio::test]
    async fn notifications_are_received_that_were_sent_before() {
        let directory = short_directory();
        let mut socket = NotifySocket::open(directory.path().join("socket"), None).unwrap();
        let worker = Sender::unbound().unwrap();
        worker.send_to(b"READY=1", socket.path()).unwrap();
        worker.send_to(b"STOPPING=1", socket.path()).unwrap();

        assert_eq!(socket.receive().await.unwrap(), [Notification::Ready]);
        assert_eq!(socket.drain(), [Notification::Stopping]);

        let path = socket.path().to_owned();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_notification_counts_at_the_end_of_a_message_of_64_kib() {
        let directory = short_directory();
        let mut socket = NotifySocket::open(directory.path().join("socket"), None).unwrap();
        let message = format!("STATUS={}\nREADY=1", "x".repeat((64 << 10) - 15));
        assert_eq!(message.len(), 64 << 10);
        Sender::unbound()
            .unwrap()
            .send_to(message.as_bytes(), socket.path())
            .unwrap();
        assert_eq!(receive(&mut socket).await, [Notification::Ready]);
    }

    async fn receive(socket: &mut NotifySocket) -> Vec<Notification> {
        let received = tokio::time::timeout(Duration::from_secs(30), socket.receive()).await;
        received.expect("a notification in time").unwrap()
    }

    #[tokio::test]
    async fn notifications_to_a_removed_socket_are_received_when_it_is_opened_again() {
        let directory = short_directory();
        let mut socket = NotifySocket::open(directory.path().join("socket"), None).unwrap();
        let worker = Sender::unbound().unwrap();
        worker.connect(socket.path()).unwrap();
        std::fs::remove_file(socket.path()).unwrap();
        assert!(!socket.exists());
        let path = socket.path().to_owned();
        let sending = thread::spawn(move || {
            send_with_retries("READY=1", path.as_os_str(), Some(Duration::from_secs(30)))
        });

        socket.reopen().unwrap();

        assert!(socket.exists());
        assert_eq!(receive(&mut socket).await, [Notification::Ready]);
        sending.join().unwrap().unwrap();
        // So are those of a worker that was connected before.
        worker.send(b"STOPPING=1").unwrap();
        assert_eq!(receive(&mut socket).await, [Notification::Stopping]);
        let mode = std::fs::metadata(socket.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_notification_does_not_wait_for_a_full_queue() {
        let directory = short_directory();
        let path = directory.path().join("socket");
        let _unread = Sender::bind(&path).unwrap();
        let send_watchdog = || send("WATCHDOG=1", path.as_os_str(), None);
        let why = std::iter::repeat_with(send_watchdog)
            .find_map(Result::err)
            .unwrap();
        assert!(is_full(&why), "{why}");

        // Nor longer than its timeout.
        let why = send("READY=1", path.as_os_str(), Some(Duration::from_millis(10))).unwrap_err();
        assert!(is_full(&why), "{why}");
    }
}
