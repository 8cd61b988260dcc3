//! `service` as systemd starts it: a socket at descriptor 3, and one for notifications.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::{Child, Command};
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
    let service = Command::new("sh")
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

    terminate(service).await;
}

#[tokio::test]
async fn a_service_stops_while_it_waits_for_redis_and_reads_its_password_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    // It accepts the connection of the bus, and never answers.
    let redis = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("redis://shop@{}", redis.local_addr().unwrap());
    let service = Command::new(example("service").get_program())
        .env("TIDINGS_URL", address)
        .env("TIDINGS_PASSWORD_FILE", password)
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let (mut connection, _) = timeout(SOON, redis.accept()).await.unwrap().unwrap();
    let (mut sent, mut buffer) = (String::new(), [0; 256]);
    while !sent.contains("shop") || !sent.contains("secret") {
        let read = timeout(SOON, connection.read(&mut buffer)).await;
        let read = read.unwrap().unwrap();
        assert!(read > 0, "{sent}");
        sent.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    terminate(service).await;
}

/// Stops a service as systemd does.
async fn terminate(mut service: Child) {
    let process = service.id().unwrap().to_string();
    let killed = Command::new("kill").arg(process).status().await.unwrap();
    assert!(killed.success());
    let exit = timeout(SOON, service.wait()).await.unwrap().unwrap();
    assert!(exit.success(), "{exit}");
}
