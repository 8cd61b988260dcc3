//! How it is known that a worker can serve.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How often a port is tried.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How it is known that a worker can serve.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidings_supervisor::{ReadyWhen, Supervisor};
///
/// let supervisor = Supervisor::new("./my-server").ready_when(ReadyWhen::After(Duration::from_secs(2)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadyWhen {
    /// It says so: `READY=1` to the socket of `NOTIFY_SOCKET`, as [`ready`](crate::notify_ready) and every
    /// library for systemd do. The only one of the three that cannot be wrong.
    #[default]
    Notified,
    /// It has lived for so long.
    After(Duration),
    /// It accepts connections at this address, on a socket that it opened itself. On Linux the socket
    /// must be the worker's or of its children's; elsewhere anybody's will do, so that while an elder
    /// listens there its successor is taken for ready. An address that the supervisor itself
    /// [listens](crate::Supervisor::listen) on is refused at the start.
    Accepts(SocketAddr),
}

impl ReadyWhen {
    pub(crate) fn after(self) -> Option<Duration> {
        match self {
            Self::After(time) => Some(time),
            Self::Notified | Self::Accepts(_) => None,
        }
    }

    /// What is missing of a worker that is not ready.
    pub(crate) fn missing(self) -> String {
        match self {
            Self::Notified => "no READY=1 received on NOTIFY_SOCKET".to_owned(),
            Self::After(time) => format!("it did not run for {time:.1?}"),
            Self::Accepts(at) => format!("none of its processes accepts connections at {at}"),
        }
    }

    pub(crate) fn port(self) -> Option<SocketAddr> {
        match self {
            Self::Accepts(at) => Some(at),
            Self::Notified | Self::After(_) => None,
        }
    }
}

/// Waits until a process of the group `group` accepts connections.
pub(crate) async fn accepts(at: SocketAddr, group: u32) {
    while !(accepts_now(at).await && is_owner(at, group).await) {
        sleep(INTERVAL).await;
    }
}

async fn accepts_now(at: SocketAddr) -> bool {
    let connected = timeout(PATIENCE, TcpStream::connect(at)).await;
    matches!(connected, Ok(Ok(_)))
}

/// Whether a socket that listens there is one of the group's.
#[cfg(target_os = "linux")]
async fn is_owner(at: SocketAddr, group: u32) -> bool {
    let looked = tokio::task::spawn_blocking(move || owner::is_in_group(at, group)).await;
    matches!(looked, Ok(Ok(true)))
}

#[cfg(not(target_os = "linux"))]
async fn is_owner(_at: SocketAddr, _group: u32) -> bool {
    true
}

#[cfg(target_os = "linux")]
mod owner {
    use std::fs::{read_dir, read_link, read_to_string};

    use super::{SocketAddr, io};

    /// The state of a socket that listens, in /proc/net/tcp.
    const LISTENS: &str = "0A";

    pub(super) fn is_in_group(at: SocketAddr, group: u32) -> io::Result<bool> {
        let sockets: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| read_to_string(table).ok())
            .flat_map(|table| listening(&table, at.port()))
            .collect();
        for process in read_dir("/proc")? {
            let path = process?.path();
            let Ok(stat) = read_to_string(path.join("stat")) else {
                continue;
            };
            if group_of(&stat) != Some(group) {
                continue;
            }
            // Those of a process that is just ending cannot be read.
            let Ok(descriptors) = read_dir(path.join("fd")) else {
                continue;
            };
            let mut open = descriptors.filter_map(|it| read_link(it.ok()?.path()).ok());
            if open.any(|link| {
                sockets
                    .iter()
                    .any(|socket| link.as_os_str() == socket.as_str())
            }) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The sockets that listen on a port, as descriptors name them.
    fn listening(table: &str, port: u16) -> Vec<String> {
        let port = format!(":{port:04X}");
        let rows = table
            .lines()
            .skip(1)
            .map(|row| row.split_ascii_whitespace());
        let inodes = rows.filter_map(|mut row| {
            let local = row.nth(1)?;
            let state = row.nth(1)?;
            (local.ends_with(&port) && state == LISTENS).then(|| row.nth(5))?
        });
        inodes.map(|inode| format!("socket:[{inode}]")).collect()
    }

    /// The fifth field; the second is a name in parentheses that may hold anything.
    fn group_of(stat: &str) -> Option<u32> {
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.split(' ').nth(2)?.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_socket_that_listens_is_told_from_others() {
            let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
                   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
                   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n";
            assert_eq!(listening(table, 8080), ["socket:[4711]"]);
        }

        #[test]
        fn the_group_is_found_behind_any_name() {
            assert_eq!(group_of("12 (a) b) S 1 77 12 0"), Some(77));
            assert_eq!(group_of("12 (sh"), None);
        }
    }
}
