//! A server that answers with an error and closes the connection: the start repeats its text.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use tidings::{Bus, StartError};
use tidings_testkit::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Long enough for a few attempts.
const BRIEFLY: Duration = Duration::from_millis(500);

/// Writes this text to each client and closes the connection.
async fn server_that_says(words: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            client.write_all(words.as_bytes()).await.unwrap();
        }
    });
    address
}

/// Writes this text to each client and waits for its input.
async fn server_that_answers_and_waits(words: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut clients = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            client.write_all(words.as_bytes()).await.unwrap();
            clients.push(client);
        }
    });
    address
}

async fn error_at(address: &str) -> StartError {
    let builder = Bus::builder(address).auto_register(false);
    builder.start_timeout(BRIEFLY).start().await.unwrap_err()
}

async fn said_by_server(words: &'static str) -> String {
    let address = server_that_says(words).await;
    let error = error_at(&format!("redis://:hush-hush@{address}")).await;
    tidings::report(&error).to_string()
}

#[tokio::test]
async fn an_error_after_connecting_is_repeated_without_a_hint_at_tls() {
    for (words, repeated) in [
        (
            "-ERR max number of clients reached\r\n",
            "`ERR max number of clients reached`",
        ),
        (
            "-ERR max number of clients + cluster connections reached\r\n",
            "`ERR max number of clients + cluster connections reached`",
        ),
        (
            "-LOADING Redis is loading the dataset in memory\r\n",
            "`LOADING Redis is loading the dataset in memory`",
        ),
        (
            "-NOAUTH Authentication required.\r\n",
            "`NOAUTH Authentication required.`",
        ),
        (
            "-DENIED Redis is running in protected mode because protected mode is enabled\r\n",
            "`DENIED Redis is running in protected mode",
        ),
        ("-upstream is not there", "`upstream is not there`"),
        ("-ERR \x1b[31mred\r\n", "`ERR \\u{1b}[31mred`"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "`SSH-2.0-OpenSSH_9.6`"),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "`HTTP/1.1 400 Bad Request`",
        ),
        ("220 mail.example ESMTP\r\n", "`220 mail.example ESMTP`"),
    ] {
        let text = said_by_server(words).await;
        assert!(text.contains(repeated), "{repeated}: {text}");
        assert!(!text.contains("rediss"), "{text}");
        assert!(!text.contains("hush"), "a password is shown");
    }
}

#[tokio::test]
async fn the_error_of_a_server_is_reported_although_the_connection_stays_open() {
    for words in [
        "-ERR max number of clients reached\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-ERR no backend",
        "-NOAUTH Authentication required.\r\n",
    ] {
        let address = server_that_answers_and_waits(words).await;
        let error = error_at(&format!("redis://:hush-hush@{address}/3")).await;
        let text = tidings::report(&error).to_string();
        assert!(text.contains(words[1..].trim()), "{words}: {text}");
        assert!(!text.contains("hush"), "a password is shown");
    }
}

#[tokio::test]
async fn tls_is_suggested_for_a_server_that_does_not_answer() {
    for words in ["", "\x15\x03\x03\x00\x02\x02\x0a"] {
        let text = said_by_server(words).await;
        assert!(text.contains("write `rediss:`"), "{text}");
    }
}

#[tokio::test]
async fn a_redis_that_closes_after_its_first_answer_is_not_reported_as_another_program() {
    let text = said_by_server("%1\r\n$5\r\nproto\r\n:3\r\n").await;
    assert!(!text.contains("not Redis"), "{text}");
}

#[tokio::test]
async fn a_server_in_protected_mode_is_rejected_at_once_with_a_remedy() {
    let words = "-DENIED Redis is running in protected mode because no password is set\r\n";
    let address = server_that_says(words).await;

    let error = error_at(&format!("redis://{address}")).await;

    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    let text = tidings::report(&error).to_string();
    assert!(text.contains("set a password on the server"), "{text}");
}

#[tokio::test]
async fn a_server_that_does_not_know_the_first_command_is_reported_as_too_old() {
    for words in [
        "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `hush-hush`, \r\n",
        "-NOPROTO unsupported protocol version\r\n",
    ] {
        let text = said_by_server(words).await;
        assert!(text.contains("tidings needs Redis 6.2 or newer"), "{text}");
        assert!(!text.contains("hush"), "a password is shown");
    }
}

#[tokio::test]
async fn a_server_with_too_many_clients_is_named_in_the_error() {
    let redis = Redis::builder().config("maxclients", "10").start().await;
    let mut held = Vec::new();
    loop {
        let mut client = TcpStream::connect(redis.address()).unwrap();
        let patience = Duration::from_millis(200);
        client.set_read_timeout(Some(patience)).unwrap();
        match client.read(&mut [0; 8]) {
            Ok(bytes) if bytes > 0 => break,
            _ => held.push(client),
        }
    }

    let text = tidings::report(&error_at(&redis.url()).await).to_string();

    assert!(text.contains("ERR max number of clients reached"), "{text}");
    assert!(!text.contains("rediss"), "{text}");
}

#[tokio::test]
async fn no_error_shows_a_password_that_the_server_repeats() {
    let redis = Redis::builder()
        .password("hush-hush")
        .config("rename-command", "HELLO \"\"")
        .start()
        .await;
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = echo.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = echo.accept().await {
            let mut received = vec![0; 512];
            let bytes = client.read(&mut received).await.unwrap();
            client.write_all(b"-ERR ").await.unwrap();
            client.write_all(&received[..bytes]).await.unwrap();
        }
    });

    for address in [redis.url(), format!("redis://:hush-hush@{address}")] {
        let error = error_at(&address).await;
        let text = format!("{error:?} {}", tidings::report(&error));
        assert!(!text.contains("hush"), "a password is shown");
    }
}
