//! The sockets that the supervisor opens once, and that all workers share.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::io::fcntl_dupfd_cloexec;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{ParseListenAddressError, StartError};
use crate::socket_file::SocketFile;

/// The number of connections that can wait for a worker. The system may allow fewer.
const BACKLOG: i32 = 4096;

/// The name of a socket without a name.
const UNNAMED: &str = "listen";

/// An address that the supervisor listens on from its start to its end, for all workers.
///
/// It is parsed from an IP address and port, or `unix:` and a path. A name and `=` may precede it, by
/// which workers tell several sockets apart (`LISTEN_FDNAMES`).
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
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl ListenAddress {
    /// Listens on a TCP port. Port 0 takes a free one.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            name: None,
            target: Target::Tcp(address),
        }
    }

    /// Listens on a Unix socket. The permissions of its directory and the `umask` decide who can connect.
    ///
    /// If the file is removed, it is not created again, because workers hold the old socket. Keep it where
    /// nothing cleans up, such as `/run`, or restart the supervisor.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self {
            name: None,
            target: Target::Unix(path.into()),
        }
    }

    /// Returns whether a connection to this address may reach this socket.
    pub(crate) fn is_reached_at(&self, address: SocketAddr) -> bool {
        let Target::Tcp(own) = &self.target else {
            return false;
        };
        let is_any = own.ip().is_unspecified() || address.ip().is_unspecified();
        own.port() == address.port() && (is_any || own.ip() == address.ip())
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::tcp(address)
    }
}

impl FromStr for ListenAddress {
    type Err = ParseListenAddressError;

    fn from_str(text: &str) -> Result<Self, ParseListenAddressError> {
        let (name, target) = match text.split_once('=') {
            Some((name, target)) if !name.contains([':', '/']) => (Some(name), target),
            _ => (None, text),
        };
        let error = |why: &str| ParseListenAddressError {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        if name.is_some_and(|name| !is_name(name)) {
            return Err(error(
                "use 1 to 64 letters, digits, `.`, `_` or `-` as a name",
            ));
        }
        let target = match target.strip_prefix("unix:") {
            Some("") => return Err(error("use a path after `unix:`")),
            Some(path) => Target::Unix(path.into()),
            None => Target::Tcp(target.parse().map_err(|_| {
                error("use an IP address and port, like `127.0.0.1:9999`, or `unix:` and a path")
            })?),
        };
        let name = name.map(str::to_owned);
        Ok(Self { name, target })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        match &self.target {
            Target::Tcp(address) => address.fmt(f),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_allowed) && !text.starts_with('.')
}

/// The listening sockets, closed on drop.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Dropped first: files are removed before their sockets are closed.
    files: Vec<OwnFile>,
    /// All above the descriptors that workers inherit.
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) names: Vec<String>,
    /// With the chosen port in place of port 0.
    pub(crate) addresses: Vec<ListenAddress>,
}

/// The file of a socket, removed on drop unless something has replaced it.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    file: SocketFile,
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if self.file.is_at(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listeners {
    pub(crate) fn open(wanted: &[ListenAddress]) -> Result<Self, StartError> {
        let mut listeners = Self {
            sockets: Vec::new(),
            names: Vec::new(),
            addresses: Vec::new(),
            files: Vec::new(),
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
        let (socket, target) = match &listen.target {
            Target::Tcp(address) => {
                let socket = tcp(*address)?;
                let bound = socket.local_addr()?.as_socket();
                (socket, Target::Tcp(bound.unwrap_or(*address)))
            }
            Target::Unix(path) => {
                let socket = unix(path)?;
                let file = SocketFile::at(path)?;
                let path = path.clone();
                self.files.push(OwnFile {
                    path: path.clone(),
                    file,
                });
                (socket, Target::Unix(path))
            }
        };
        self.sockets.push(fcntl_dupfd_cloexec(&socket, above)?);
        let name = listen.name.as_deref().unwrap_or(UNNAMED);
        self.names.push(name.to_owned());
        let name = listen.name.clone();
        self.addresses.push(ListenAddress { name, target });
        Ok(())
    }
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Allows a port that was in use a minute ago.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn unix(path: &Path) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    remove_if_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Removes a socket on which no process listens, such as that of a killed one.
fn remove_if_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog would block it.
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
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
    fn an_address_or_path_is_parsed_with_or_without_a_name() {
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
    fn other_texts_are_rejected_with_the_reason() {
        for text in [
            "",
            "localhost:80",
            "80",
            "unix:",
            "=127.0.0.1:80",
            "a b=127.0.0.1:80",
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("invalid address `{text}`: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
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
    fn a_socket_with_a_full_backlog_is_in_use() {
        let directory = short_directory();
        let path = directory.path().join("socket");
        let address = SockAddr::unix(&path).unwrap();
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&address).unwrap();
        busy.listen(0).unwrap();
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&address).map(|()| socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).collect();
        assert!(!waiting.is_empty());

        let error = Listeners::open(&[ListenAddress::unix(&path)]).unwrap_err();

        assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
        assert!(path.exists());
    }

    #[test]
    fn a_socket_of_another_process_is_not_removed() {
        let directory = short_directory();
        let path = directory.path().join("socket");
        let listeners = Listeners::open(&[ListenAddress::unix(&path)]).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();

        drop(listeners);

        assert!(path.exists());
    }

    #[test]
    fn a_socket_is_reached_at_its_address_and_at_unspecified_ones() {
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
    fn a_file_that_is_no_socket_is_not_removed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Listeners::open(&[ListenAddress::unix(file.path())]).is_err());
        assert!(file.path().exists());
    }
}
