//! `service` as systemd starts it: a socket at descriptor 3, and one for notifications.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::Command;
use tokio::time::timeout;

use crate::runs::example;

const SOON: Duration = Duration::from_secs(30);

/// Starts a program with its standard input at descriptor 3, as systemd does with a socket.
const ACTIVATE: &str = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0""#;

#[tokio::test]
async fn a_service_takes_its_socket_from_systemd_and_tells_it_that_it_is_ready_and_alive() {
    let folder = tempfile::tempdir().unwrap();
    let notifications = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let mut service = Command::new("sh")
        .args(["-c", ACTIVATE])
        .arg(example("service").get_program())
        .env("TIDINGS_URL", "memory:service")
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let mut waited_for = vec!["READY=1", "WATCHDOG=1"];
    let mut buffer = [0; 64];
    while !waited_for.is_empty() {
        let received = timeout(SOON, notifications.recv(&mut buffer)).await;
        let text = String::from_utf8_lossy(&buffer[..received.unwrap().unwrap()]);
        waited_for.retain(|it| !text.contains(it));
    }
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = b"GET /ready HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains(r#"{"degraded":false,"ready":true}"#),
        "{answer}"
    );

    let process = service.id().unwrap().to_string();
    let killed = Command::new("kill").arg(process).status().await.unwrap();
    assert!(killed.success());
    let exit = timeout(SOON, service.wait()).await.unwrap().unwrap();
    assert!(exit.success(), "{exit}");
}
