//! The condition that makes a worker ready.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The interval of connection attempts.
const INTERVAL: Duration = Duration::from_millis(50);

/// The timeout of one attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The condition that makes a worker ready.
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
    /// The worker sends `READY=1` to the socket of `NOTIFY_SOCKET`, as
    /// [`notify_ready`](crate::notify_ready) and libraries for systemd do. Only this one shows that the
    /// worker itself considers itself ready.
    #[default]
    Notified,
    /// The worker has run for this time.
    After(Duration),
    /// The worker accepts connections at this address, on a socket that it opened itself.
    ///
    /// On Linux the socket must belong to the worker's process group. Elsewhere any socket counts, so
    /// that in a reload the new worker is taken for ready while the old one listens. An address that the
    /// supervisor itself [listens](crate::Supervisor::listen) on is rejected at the start.
    Accepts(SocketAddr),
}

impl ReadyWhen {
    pub(crate) fn after(self) -> Option<Duration> {
        match self {
            Self::After(time) => Some(time),
            Self::Notified | Self::Accepts(_) => None,
        }
    }

    /// Returns why a worker is not ready.
    pub(crate) fn missing(self) -> String {
        match self {
            Self::Notified => "no READY=1 received on NOTIFY_SOCKET".to_owned(),
            Self::After(time) => format!("it did not run for {time:.1?}"),
            Self::Accepts(address) => {
                format!("none of its processes accepts connections at {address}")
            }
        }
    }

    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Accepts(address) => Some(address),
            Self::Notified | Self::After(_) => None,
        }
    }
}

/// Waits until a process of the group accepts connections.
pub(crate) async fn accepts(address: SocketAddr, group: u32) {
    while !(can_connect(address).await && is_owner(address, group).await) {
        sleep(INTERVAL).await;
    }
}

async fn can_connect(address: SocketAddr) -> bool {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    matches!(connected, Ok(Ok(_)))
}

/// Returns whether a listening socket of this address belongs to the process group.
#[cfg(target_os = "linux")]
async fn is_owner(address: SocketAddr, group: u32) -> bool {
    let found =
        tokio::task::spawn_blocking(move || owner::is_in_group(address.port(), group)).await;
    matches!(found, Ok(Ok(true)))
}

#[cfg(not(target_os = "linux"))]
async fn is_owner(_address: SocketAddr, _group: u32) -> bool {
    true
}

#[cfg(target_os = "linux")]
mod owner {
    use std::fs::{read_dir, read_link, read_to_string};

    use std::io;

    /// The state of listening sockets in /proc/net/tcp.
    const LISTEN: &str = "0A";

    pub(super) fn is_in_group(port: u16, group: u32) -> io::Result<bool> {
        let sockets: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| read_to_string(table).ok())
            .flat_map(|table| listening(&table, port))
            .collect();
        for process in read_dir("/proc")? {
            let path = process?.path();
            let Ok(stat) = read_to_string(path.join("stat")) else {
                continue;
            };
            if group_of(&stat) != Some(group) {
                continue;
            }
            // The descriptors of a process that is just exiting cannot be read.
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

    /// Returns the sockets that listen on a port, as the links of descriptors name them.
    fn listening(table: &str, port: u16) -> Vec<String> {
        let port = format!(":{port:04X}");
        let rows = table
            .lines()
            .skip(1)
            .map(|row| row.split_ascii_whitespace());
        let inodes = rows.filter_map(|mut row| {
            let local = row.nth(1)?;
            let state = row.nth(1)?;
            (local.ends_with(&port) && state == LISTEN).then(|| row.nth(5))?
        });
        inodes.map(|inode| format!("socket:[{inode}]")).collect()
    }

    /// Returns the fifth field. The second one is a name in parentheses that can contain anything.
    fn group_of(stat: &str) -> Option<u32> {
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.split(' ').nth(2)?.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_listening_sockets_of_the_port_are_found() {
            let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
                   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
                   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n";
            assert_eq!(listening(table, 8080), ["socket:[4711]"]);
        }

        #[test]
        fn the_group_is_parsed_after_any_process_name() {
            assert_eq!(group_of("12 (a) b) S 1 77 12 0"), Some(77));
            assert_eq!(group_of("12 (sh"), None);
        }
    }
}
