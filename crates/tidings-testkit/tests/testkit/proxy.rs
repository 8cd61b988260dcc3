//! Each fault of a proxy, on plain sockets.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tidings_testkit::{Direction, Fault, Proxy, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(10);

/// Long enough for bytes in flight to arrive.
const A_WHILE: Duration = Duration::from_millis(100);

/// A server in the test itself.
struct Server(TcpListener);

impl Server {
    async fn start() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn accept(&self) -> TcpStream {
        timeout(SOON, self.0.accept()).await.unwrap().unwrap().0
    }
}

/// Returns a server, its proxy, and both ends of a connection.
async fn connected() -> (Server, Proxy, TcpStream, TcpStream) {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    let client = connect(&proxy).await;
    let accepted = server.accept().await;
    (server, proxy, client, accepted)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn say(socket: &mut TcpStream, words: &[u8]) {
    socket.write_all(words).await.unwrap();
}

/// Reads this many bytes.
async fn read_bytes(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(SOON, socket.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

async fn is_silent(socket: &mut TcpStream) -> bool {
    timeout(A_WHILE, socket.read_u8()).await.is_err()
}

async fn is_closed(socket: &mut TcpStream) -> bool {
    timeout(SOON, socket.read(&mut [0])).await.unwrap().unwrap() == 0
}

async fn is_reset(socket: &mut TcpStream) -> bool {
    let read = timeout(SOON, socket.read(&mut [0])).await.unwrap();
    read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn without_a_fault_bytes_pass_in_both_directions() {
    let (_server, _proxy, mut client, mut accepted) = connected().await;
    let long = vec![7; 5 << 20];

    let ((), there) = tokio::join!(
        say(&mut client, &long),
        read_bytes(&mut accepted, long.len())
    );
    let ((), back) = tokio::join!(
        say(&mut accepted, &long),
        read_bytes(&mut client, long.len())
    );

    assert!(there == long && back == long);
}

#[tokio::test]
async fn a_side_that_closes_still_receives_from_the_other() {
    let (_server, proxy, mut client, mut accepted) = connected().await;
    assert_eq!(
        (proxy.accepted_connections(), proxy.open_connections()),
        (1, 1)
    );

    client.shutdown().await.unwrap();
    assert!(is_closed(&mut accepted).await);
    say(&mut accepted, b"bye").await;
    drop(accepted);

    assert_eq!(read_bytes(&mut client, 3).await, b"bye");
    assert!(is_closed(&mut client).await);
    wait_for("the connection is closed", SOON, async || {
        (proxy.accepted_connections(), proxy.open_connections()) == (1, 0)
    })
    .await;
}

#[tokio::test]
async fn a_latency_delays_each_direction_and_keeps_the_order() {
    let (_server, proxy, mut client, mut accepted) = connected().await;
    let delay = Duration::from_millis(100);
    proxy.set(Fault::Latency(delay));
    let begun = Instant::now();

    for byte in 0..10 {
        say(&mut client, &[byte]).await;
    }
    assert!(read_bytes(&mut accepted, 10).await.into_iter().eq(0..10));
    assert!(begun.elapsed() >= delay);
    say(&mut accepted, b"back").await;
    read_bytes(&mut client, 4).await;

    assert!(begun.elapsed() >= 2 * delay);
}

#[tokio::test]
async fn a_latency_does_not_limit_the_bytes_in_flight() {
    let (_server, proxy, mut client, mut accepted) = connected().await;
    proxy.set(Fault::Latency(Duration::from_secs(1)));
    let begun = Instant::now();

    for byte in 0..4 {
        say(&mut client, &[byte]).await;
        assert!(is_silent(&mut accepted).await);
    }
    read_bytes(&mut accepted, 4).await;

    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_black_hole_holds_bytes_until_it_ends() {
    let (_server, proxy, mut client, mut accepted) = connected().await;

    proxy.set(Fault::Blackhole(Direction::Both));
    say(&mut client, b"there").await;
    say(&mut accepted, b"back").await;
    assert!(is_silent(&mut client).await && is_silent(&mut accepted).await);
    proxy.set(Fault::None);

    assert_eq!(read_bytes(&mut accepted, 5).await, b"there");
    assert_eq!(read_bytes(&mut client, 4).await, b"back");
}

#[tokio::test]
async fn a_new_connection_hangs_in_a_black_hole() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    proxy.set(Fault::Blackhole(Direction::Both));

    let mut client = connect(&proxy).await;
    say(&mut client, b"hello").await;
    assert!(is_silent(&mut client).await);
    assert!(timeout(A_WHILE, server.0.accept()).await.is_err());
    proxy.set(Fault::None);

    assert_eq!(read_bytes(&mut server.accept().await, 5).await, b"hello");
}

#[tokio::test]
async fn a_black_hole_of_one_direction_does_not_change_the_other() {
    let (_server, proxy, mut client, mut accepted) = connected().await;

    proxy.set(Fault::Blackhole(Direction::ToServer));
    say(&mut client, b"there").await;
    say(&mut accepted, b"back").await;

    assert_eq!(read_bytes(&mut client, 4).await, b"back");
    assert!(is_silent(&mut accepted).await);
}

#[tokio::test]
async fn dropped_bytes_are_lost_and_later_ones_arrive() {
    let (_server, proxy, mut client, mut accepted) = connected().await;

    proxy.set(Fault::Drop(Direction::ToClient));
    say(&mut client, b"there").await;
    say(&mut accepted, b"lost").await;
    assert_eq!(read_bytes(&mut accepted, 5).await, b"there");
    assert!(is_silent(&mut client).await);
    proxy.set(Fault::None);
    say(&mut accepted, b"back").await;

    assert_eq!(read_bytes(&mut client, 4).await, b"back");
}

#[tokio::test]
async fn a_close_during_a_drop_is_forwarded_when_the_drop_ends() {
    let (_server, proxy, mut client, accepted) = connected().await;

    proxy.set(Fault::Drop(Direction::ToClient));
    drop(accepted);
    assert!(is_silent(&mut client).await);
    proxy.set(Fault::None);

    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn only_the_server_is_told_of_a_silent_close() {
    let (server, proxy, mut client, mut accepted) = connected().await;

    proxy.set(Fault::SilentClose);
    assert!(is_closed(&mut accepted).await);
    proxy.set(Fault::None);
    say(&mut client, b"is anybody there?").await;
    assert!(is_silent(&mut client).await);
    assert_eq!(proxy.open_connections(), 1);

    // A new connection is healthy, and the old one can be reset.
    let _another = connect(&proxy).await;
    server.accept().await;
    proxy.reset_connection(0).await;
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_reset_reaches_both_sides_of_all_open_connections() {
    let (server, proxy, mut client, mut accepted) = connected().await;
    let (mut second, mut second_accepted) = (connect(&proxy).await, server.accept().await);

    assert_eq!(proxy.reset().await, 2);

    assert_eq!(proxy.open_connections(), 0);
    for socket in [
        &mut client,
        &mut accepted,
        &mut second,
        &mut second_accepted,
    ] {
        assert!(is_reset(socket).await);
    }
    let (mut client, mut accepted) = (connect(&proxy).await, server.accept().await);
    say(&mut client, b"hello").await;
    assert_eq!(read_bytes(&mut accepted, 5).await, b"hello");
}

#[tokio::test]
async fn a_reset_of_one_side_is_forwarded() {
    let (_server, _proxy, mut client, accepted) = connected().await;

    // A close with unread bytes is a reset.
    say(&mut client, b"unread").await;
    accepted.peek(&mut [0]).await.unwrap();
    drop(accepted);

    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_connection_to_a_missing_server_is_reset() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    drop(server);

    assert!(is_reset(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn slices_have_the_given_size_and_lose_nothing() {
    let (_server, proxy, mut client, mut accepted) = connected().await;
    let text: Vec<u8> = (0..20_000_u32).map(|byte| (byte % 251) as u8).collect();

    proxy.set(Fault::Slice(1));
    say(&mut client, &text).await;
    let mut first = [0; 4096];
    let read = timeout(SOON, accepted.read(&mut first)).await.unwrap();
    let rest = read_bytes(&mut accepted, text.len() - read.as_ref().unwrap()).await;

    let first = &first[..read.unwrap()];
    assert!(first.len() < 4096, "{} at once", first.len());
    assert!([first, &rest].concat() == text);
}

#[tokio::test]
async fn a_cut_comes_after_the_given_bytes_of_its_direction() {
    let (_server, proxy, mut client, mut accepted) = connected().await;

    proxy.set(Fault::CutAfter(6, Direction::ToClient));
    say(&mut client, b"a long question").await;
    read_bytes(&mut accepted, 15).await;
    say(&mut accepted, b"all").await;
    assert_eq!(read_bytes(&mut client, 3).await, b"all");
    say(&mut accepted, b" is lost").await;

    assert_eq!(read_bytes(&mut client, 3).await, b" is");
    assert!(is_reset(&mut client).await);
    assert!(is_reset(&mut accepted).await);
}

#[tokio::test]
async fn a_fault_applies_to_one_connection_or_to_new_ones() {
    let (server, proxy, mut first, mut first_accepted) = connected().await;
    let (mut second, mut second_accepted) = (connect(&proxy).await, server.accept().await);

    proxy.set_connection(1, Fault::Drop(Direction::Both));
    proxy.set_new_connections(Fault::Reset);
    say(&mut first_accepted, b"1").await;
    say(&mut second_accepted, b"2").await;
    let mut third = connect(&proxy).await;

    assert_eq!(read_bytes(&mut first, 1).await, b"1");
    assert!(is_silent(&mut second).await);
    assert!(is_reset(&mut third).await);
    assert_eq!(proxy.accepted_connections(), 3);
}

#[tokio::test]
#[should_panic(expected = "no connection 3: the proxy has accepted 1 so far")]
async fn a_fault_of_an_unknown_connection_panics() {
    let (_server, proxy, _client, _accepted) = connected().await;

    proxy.set_connection(3, Fault::None);
}

#[tokio::test]
async fn a_redirected_proxy_forwards_to_another_server() {
    let (_server, proxy, mut client, mut accepted) = connected().await;
    let other = Server::start().await;

    proxy.redirect(other.address());
    let (mut second, mut second_accepted) = (connect(&proxy).await, other.accept().await);

    say(&mut client, b"one").await;
    say(&mut second, b"other").await;
    assert_eq!(read_bytes(&mut accepted, 3).await, b"one");
    assert_eq!(read_bytes(&mut second_accepted, 5).await, b"other");
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections() {
    let (_server, proxy, mut client, mut accepted) = connected().await;
    let address = proxy.address();

    drop(proxy);

    assert!(is_closed(&mut client).await && is_closed(&mut accepted).await);
    wait_for("nobody listens", SOON, async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
}
