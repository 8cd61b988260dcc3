//! Sockets that the supervisor opens once, and that all workers share.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::io::fcntl_dupfd_cloexec;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{ParseListenAddressError, StartError};

/// How many connections may wait for a worker; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// What a socket is called that nobody gave a name.
const UNNAMED: &str = "listen";

/// Where workers are reached: an address that the supervisor listens on from its start to its end,
/// so that nobody is refused while workers come and go.
///
/// As a text: an address and port, or `unix:` and a path, and before it a name and `=` where workers
/// tell several sockets apart by name (`LISTEN_FDNAMES`).
///
/// # Examples
///
/// ```
/// use tidings_supervisor::ListenAddress;
///
/// let web: ListenAddress = "127.0.0.1:9999".parse()?;
/// let admin: ListenAddress = "admin=unix:/run/my-server/admin".parse()?;
/// assert_eq!(admin.to_string(), "admin=unix:/run/my-server/admin");
/// # Ok::<(), tidings_supervisor::ParseListenAddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    name: Option<String>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl ListenAddress {
    /// On a port of this machine; port 0 takes a free one.
    pub fn tcp(at: SocketAddr) -> Self {
        let (name, at) = (None, At::Tcp(at));
        Self { name, at }
    }

    /// On a path. Who may connect is decided by the rights of its directory, and by the `umask`. A socket
    /// that somebody removes is not made again, since workers hold the one that was removed: keep it
    /// where nothing is cleaned up, as in `/run`, or start the supervisor again.
    pub fn unix(at: impl Into<PathBuf>) -> Self {
        let (name, at) = (None, At::Unix(at.into()));
        Self { name, at }
    }
}

impl ListenAddress {
    /// Whoever connects to this address may reach this socket.
    pub(crate) fn is_reached_at(&self, at: SocketAddr) -> bool {
        let At::Tcp(own) = &self.at else { return false };
        let are_any = own.ip().is_unspecified() || at.ip().is_unspecified();
        own.port() == at.port() && (are_any || own.ip() == at.ip())
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(at: SocketAddr) -> Self {
        Self::tcp(at)
    }
}

impl FromStr for ListenAddress {
    type Err = ParseListenAddressError;

    fn from_str(text: &str) -> Result<Self, ParseListenAddressError> {
        let (name, place) = match text.split_once('=') {
            Some((name, place)) if !name.contains([':', '/']) => (Some(name), place),
            _ => (None, text),
        };
        let error = |why: &str| ParseListenAddressError {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        if name.is_some_and(|name| !is_name(name)) {
            return Err(error("a name is 1 to 64 letters, digits, `.`, `_` or `-`"));
        }
        let at = match place.strip_prefix("unix:") {
            Some("") => return Err(error("`unix:` is followed by a path")),
            Some(path) => At::Unix(path.into()),
            None => At::Tcp(place.parse().map_err(|_| {
                error("not an IP address and port, like `127.0.0.1:9999`, nor `unix:` and a path")
            })?),
        };
        let name = name.map(str::to_owned);
        Ok(Self { name, at })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        match &self.at {
            At::Tcp(at) => at.fmt(f),
            At::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_of_name) && !text.starts_with('.')
}

/// The sockets, open for as long as this is there.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Gone before the sockets are closed.
    paths: Vec<OwnPath>,
    /// None of them among the numbers under which workers get them.
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) names: Vec<String>,
    /// As they are now: port 0 has become one.
    pub(crate) addresses: Vec<ListenAddress>,
}

/// Where a socket of ours lies.
#[derive(Debug)]
struct OwnPath {
    path: PathBuf,
    /// Device and number, which is nobody else's while the socket is open.
    file: Option<(u64, u64)>,
}

impl OwnPath {
    fn of(path: PathBuf) -> Self {
        let file = file(&path);
        Self { path, file }
    }
}

impl Drop for OwnPath {
    /// Unless somebody put something else there.
    fn drop(&mut self) {
        if self.file.is_some() && file(&self.path) == self.file {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn file(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Listeners {
    pub(crate) fn open(wanted: &[ListenAddress]) -> Result<Self, StartError> {
        let mut listeners = Self {
            sockets: Vec::new(),
            names: Vec::new(),
            addresses: Vec::new(),
            paths: Vec::new(),
        };
        let above = crate::sys::first_free(wanted.len());
        for listen in wanted {
            let opened = listeners.open_one(listen, above);
            opened.map_err(|source| StartError::Listen {
                address: listen.to_string(),
                source,
            })?;
        }
        Ok(listeners)
    }

    fn open_one(&mut self, listen: &ListenAddress, above: i32) -> io::Result<()> {
        let (socket, at) = match &listen.at {
            At::Tcp(at) => {
                let socket = tcp(*at)?;
                let at = socket.local_addr()?.as_socket().map_or(*at, |at| at);
                (socket, At::Tcp(at))
            }
            At::Unix(path) => {
                let socket = unix(path)?;
                self.paths.push(OwnPath::of(path.clone()));
                (socket, At::Unix(path.clone()))
            }
        };
        self.sockets.push(fcntl_dupfd_cloexec(&socket, above)?);
        let name = listen.name.as_deref().unwrap_or(UNNAMED);
        self.names.push(name.to_owned());
        let name = listen.name.clone();
        self.addresses.push(ListenAddress { name, at });
        Ok(())
    }
}

fn tcp(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    // Else a port that was in use a minute ago cannot be listened on.
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn unix(path: &Path) -> io::Result<Socket> {
    let at = SockAddr::unix(path)?;
    remove_if_left_over(path, &at)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&at)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A socket on which nobody listens is what a killed process left behind. Anything else stays.
fn remove_if_left_over(path: &Path, at: &SockAddr) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Where many wait already, it would wait with them.
    socket.set_nonblocking(true)?;
    match socket.connect(at) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::short_directory;

    #[test]
    fn a_text_is_an_address_or_a_path_with_or_without_a_name() {
        for text in [
            "127.0.0.1:80",
            "web=[::1]:80",
            "unix:/run/x",
            "a.b-c=unix:/x=y",
            "unix:a=b",
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_what_is_wrong() {
        for text in [
            "",
            "localhost:80",
            "80",
            "unix:",
            "=127.0.0.1:80",
            "a b=127.0.0.1:80",
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}`: ")), "{error}");
        }
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_one_that_is_used_is_not() {
        let directory = short_directory();
        let path = directory.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

        let listeners = Listeners::open(&[ListenAddress::unix(&path)]).unwrap();

        let error = Listeners::open(&[ListenAddress::unix(&path)]).unwrap_err();
        assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
        drop(listeners);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_on_which_nobody_accepts_is_used_all_the_same() {
        let directory = short_directory();
        let path = directory.path().join("socket");
        let at = SockAddr::unix(&path).unwrap();
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&at).unwrap();
        busy.listen(0).unwrap();
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&at).map(|()| socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).collect();
        assert!(!waiting.is_empty());

        let error = Listeners::open(&[ListenAddress::unix(&path)]).unwrap_err();

        assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
        assert!(path.exists());
    }

    #[test]
    fn a_socket_that_somebody_else_put_there_stays() {
        let directory = short_directory();
        let path = directory.path().join("socket");
        let listeners = Listeners::open(&[ListenAddress::unix(&path)]).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();

        drop(listeners);

        assert!(path.exists());
    }

    #[test]
    fn a_socket_is_reached_at_its_own_address_and_where_any_will_do() {
        let listen: ListenAddress = "127.0.0.1:80".parse().unwrap();
        for (at, is_reached) in [
            ("127.0.0.1:80", true),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("127.0.0.2:80", false),
            ("127.0.0.1:81", false),
        ] {
            assert_eq!(
                listen.is_reached_at(at.parse().unwrap()),
                is_reached,
                "{at}"
            );
        }
        let any: ListenAddress = "[::]:80".parse().unwrap();
        assert!(any.is_reached_at("127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Listeners::open(&[ListenAddress::unix(file.path())]).is_err());
        assert!(file.path().exists());
    }
}
