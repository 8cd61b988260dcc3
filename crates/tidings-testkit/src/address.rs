//! The address of a server, and single commands to it.

use std::iter;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value};
use tokio::time::timeout;

/// The `redis` crate's default of half a second is too short on a busy machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// Settings whose value is a password.
const PASSWORDS: [&str; 3] = ["auth-pass", "masterauth", "requirepass"];

#[derive(Debug, Clone)]
pub(crate) struct Address {
    port: u16,
    password: Option<String>,
}

impl Address {
    pub(crate) fn new(port: u16, password: Option<String>) -> Self {
        Self { port, password }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(password) => self.url_as("", password),
            None => format!("redis://{}", self.socket()),
        }
    }

    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        format!("redis://{}{}", login(user, password), self.socket())
    }

    pub(crate) fn unix_url(&self, socket: &Path) -> String {
        let path = socket.display().to_string();
        let parts: Vec<_> = path.split('/').map(percent_encoded).collect();
        let url = format!("redis+unix://{}", parts.join("/"));
        match &self.password {
            Some(password) => format!("{url}?pass={}", percent_encoded(password)),
            None => url,
        }
    }

    /// Sends a command on a connection that is closed when this returns: a test that counts clients
    /// must not find it.
    pub(crate) async fn ask(&self, words: &[&str]) -> RedisResult<Value> {
        let mut connection = self.connect().await?;
        let answer = command(words).query_async(&mut connection).await;

        // A dropped connection is closed some time later. With QUIT Redis closes it before it looks
        // at the next command. A server that does not answer is paused or gone.
        let quit = redis::cmd("QUIT");
        let _ = timeout(CLOSES_WITHIN, quit.exec_async(&mut connection)).await;
        answer
    }

    /// Sends a command after which Redis does not answer, not even to QUIT.
    pub(crate) async fn ask_last(&self, words: &[&str]) -> RedisResult<Value> {
        command(words).query_async(&mut self.connect().await?).await
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let patience = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWERS_WITHIN))
            .set_response_timeout(Some(ANSWERS_WITHIN));
        Client::open(self.url())?
            .get_multiplexed_async_connection_with_config(&patience)
            .await
    }
}

fn command(words: &[&str]) -> Cmd {
    let (name, arguments) = words.split_first().expect("a command has a name");
    redis::cmd(name).arg(arguments).to_owned()
}

/// The user information of a URL.
pub(crate) fn login(user: &str, password: &str) -> String {
    format!("{}:{}@", percent_encoded(user), percent_encoded(password))
}

/// Formats a command without the passwords in its settings, rules and URLs.
pub(crate) fn shown(words: &[&str]) -> String {
    let before = iter::once(&"").chain(words);
    let shown = before
        .zip(words)
        .map(|(before, word)| match word.rsplit_once('@') {
            _ if PASSWORDS.contains(before) => "…".to_owned(),
            _ if word.starts_with('>') => ">…".to_owned(),
            Some((before, host)) if before.contains("://") => format!("…@{host}"),
            _ => (*word).to_owned(),
        });
    shown.collect::<Vec<_>>().join(" ")
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_printed_without_its_passwords() {
        let rules = ["ACL", "SETUSER", "shop", ">hush-hush", "+@all"];
        assert_eq!(shown(&rules), "ACL SETUSER shop >… +@all");
        let address = ["-u", "redis://shop:hush-hush@127.0.0.1:12000", "PING"];
        assert_eq!(shown(&address), "-u …@127.0.0.1:12000 PING");
        let setting = ["CONFIG", "SET", "masterauth", "hush-hush@word"];
        assert_eq!(shown(&setting), "CONFIG SET masterauth …");
    }

    #[test]
    fn special_characters_of_a_password_are_encoded_in_every_url() {
        let address = Address::new(12_000, Some("hush-hush@p/word".into()));

        assert_eq!(
            address.url(),
            "redis://:hush-hush%40p%2Fword@127.0.0.1:12000"
        );
        assert_eq!(
            address.unix_url(Path::new("/tmp/redis.sock")),
            "redis+unix:///tmp/redis.sock?pass=hush-hush%40p%2Fword"
        );
    }

    #[test]
    fn special_characters_of_a_path_are_encoded_in_a_url() {
        let url = Address::new(12_000, None).unix_url(Path::new("/tmp/a b:c/redis.sock"));

        assert_eq!(url, "redis+unix:///tmp/a%20b%3Ac/redis.sock");
    }
}
