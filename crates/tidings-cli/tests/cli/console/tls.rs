//! The token in a file, and TLS.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use tidings_testkit::RedisBuilder;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Answer, Console};
use crate::fleet::Fleet;
use crate::support::{Running, TIMEOUT};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Copies a file of the server with this mode, and returns its path.
fn put(fleet: &Fleet, name: &str, mode: u32) -> String {
    let from = fleet.redis.ca_file().with_file_name(name);
    write(fleet, name, &fs::read_to_string(from).unwrap(), mode)
}

fn write(fleet: &Fleet, name: &str, text: &str, mode: u32) -> String {
    let path: PathBuf = fleet.sandbox.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Sends a request over TLS as a browser that trusts the authority.
fn get(fleet: &Fleet, address: SocketAddr, request: &str) -> Answer {
    let mut trusted = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(fleet.redis.ca_file()).unwrap();
    trusted.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut stream = StreamOwned::new(client, connection);
    stream.write_all(request.as_bytes()).unwrap();
    Answer::read(&mut BufReader::new(stream)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_other_machines_reach_the_console_over_tls() {
    let fleet = Fleet::start_with(RedisBuilder::tls).await;
    let (certificate, key) = (
        put(&fleet, "server.pem", 0o644),
        put(&fleet, "server.key", 0o600),
    );
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let mut command = fleet.command();
    command.args([
        "console",
        "--listen",
        "0.0.0.0:0",
        "--host",
        "console.example",
    ]);
    let running = Running::start(command.args(tls));
    let url = running.stdout.wait_for("https://console.example/#");
    let (_, token) = url.split_once('#').unwrap();
    // The port is only in the answer to HTTP.
    drop(running);

    let mut command = fleet.command();
    command.args([
        "console",
        "--listen",
        "127.0.0.1:0",
        "--host",
        "console.example",
    ]);
    let running = Running::start(command.args(tls));
    let url = running.stdout.wait_for("https://127.0.0.1:");
    let (address, own_token) = url["https://".len()..].split_once("/#").unwrap();
    assert_ne!(token, own_token);
    let address: SocketAddr = address.parse().unwrap();
    let request = |host: &str| {
        let head = format!("GET /api/about HTTP/1.1\r\nHost: {host}\r\n");
        format!("{head}Authorization: Bearer {own_token}\r\n\r\n")
    };
    for (host, status) in [
        ("console.example", 200),
        (&*address.to_string(), 200),
        ("evil.example", 421),
    ] {
        assert_eq!(
            get(&fleet, address, &request(host)).status,
            status,
            "{host}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_at_the_port_of_tls_is_answered_with_what_to_do() {
    let fleet = Fleet::start_with(RedisBuilder::tls).await;
    let (certificate, key) = (
        put(&fleet, "server.pem", 0o644),
        put(&fleet, "server.key", 0o640),
    );
    let mut command = fleet.command();
    command.args([
        "console",
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        &certificate,
    ]);
    let running = Running::start(command.args(["--tls-key", &key]));
    let url = running.stdout.wait_for("https://127.0.0.1:");
    let (address, _) = url["https://".len()..].split_once('/').unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(TIMEOUT)).unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("speaks HTTPS"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_says_why() {
    let fleet = Fleet::start_with(RedisBuilder::tls).await;
    let (certificate, key) = (
        put(&fleet, "server.pem", 0o600),
        put(&fleet, "server.key", 0o600),
    );
    let other = put(&fleet, "client.key", 0o600);
    let open = write(
        &fleet,
        "open.key",
        &fs::read_to_string(&key).unwrap(),
        0o644,
    );
    let broken = "-----BEGIN CERTIFICATE-----\nhush\n";
    let broken = write(&fleet, "broken.pem", broken, 0o600);
    let none = fleet.sandbox.path("none.pem");
    let none = none.to_str().unwrap();
    for (certificate, key, text) in [
        (none, &*key, "cannot read the certificate"),
        (&*certificate, none, "cannot read the key"),
        (&*key, &*key, "no section `CERTIFICATE`"),
        (&*certificate, &*certificate, "no section `PRIVATE KEY`"),
        (&*certificate, &*other, "the key belongs to another one"),
        (&*certificate, &*open, "has mode 644"),
        (&*broken, &*key, "it is not valid PEM"),
    ] {
        let options = ["console", "--tls-cert", certificate, "--tls-key", key];
        let (stderr, code) = fleet.fail(&options);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(text), "{text}: {stderr}");
        assert!(!stderr.contains("hush"), "{stderr}");
    }
    for options in [
        &["--listen", "0.0.0.0:0", "--tls-cert", &*certificate][..],
        &["--tls-key", &*key],
        &[
            "--listen",
            "0.0.0.0:0",
            "--tls-cert",
            &*certificate,
            "--tls-key",
            &*key,
        ],
    ] {
        let (stderr, code) = fleet.fail(&[&["console"], options].concat());
        assert_eq!(code, 2, "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_file_of_its_owner_is_used_and_not_printed() {
    let fleet = Fleet::start().await;
    let file = write(&fleet, "token", &format!("{TOKEN}\n"), 0o600);
    let mut console = Console::start_printing(&fleet, &["--token-file", &file], "/");
    TOKEN.clone_into(&mut console.token);
    assert_eq!(console.api("/api/about")["namespace"], "shop");
    let printed = [console.running.stdout.all(), console.running.stderr.all()].concat();
    assert!(!printed.join("\n").contains(TOKEN), "{printed:?}");

    for (name, text, mode, why) in [
        ("open", TOKEN, 0o640, "has mode 640"),
        ("read", TOKEN, 0o604, "has mode 604"),
        ("short", "hush", 0o600, "needs 32 to 1024 letters"),
        ("empty", "\n", 0o600, "needs 32 to 1024 letters"),
        (
            "odd",
            "hush hush hush hush hush hush hush hush",
            0o600,
            "needs 32 to",
        ),
    ] {
        let file = write(&fleet, name, text, mode);
        let (stderr, code) = fleet.fail(&["console", "--token-file", &file]);
        assert_eq!(code, 2, "{stderr}");
        assert!(
            stderr.contains(why) && !stderr.contains(text.trim()) || text == "\n",
            "{stderr}"
        );
    }
    for path in ["/", "/does/not/exist"] {
        let (stderr, code) = fleet.fail(&["console", "--token-file", path]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("cannot read the token file"), "{stderr}");
    }
}
