use std::net::{Ipv4Addr, TcpListener};

/// Below the ports that Linux and macOS use for outgoing connections, and low enough that a Cluster
/// bus port, 10,000 above, is below them too. An outgoing connection could take a port of that
/// range while its server is down, and a client that keeps connecting to it can even reach itself.
const PORTS: std::ops::Range<u16> = 11_000..22_000;

/// Returns a TCP port that nothing listens on at this moment.
///
/// The port is not reserved: another program may bind it first, so be ready to ask for another one.
/// [`Redis`](crate::Redis) does so by itself.
///
/// # Panics
///
/// If a thousand ports in a row are taken.
///
/// ```
/// let port = tidings_testkit::free_port();
/// std::net::TcpListener::bind(("127.0.0.1", port))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn free_port() -> u16 {
    std::iter::repeat_with(|| rand::random_range(PORTS))
        .take(1_000)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("one of a thousand ports is free")
}
