use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::server::Redis;
use crate::tls::{Authority, Certificate, Files};
use crate::version::Version;

/// The variable with the program of all servers.
const SERVER: &str = "TIDINGS_SERVER";

/// Options of a test's server. Made by [`Redis::builder`].
///
/// ```
/// use tidings_testkit::Redis;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let redis = Redis::builder()
///     .password("hush-hush")
///     .config("maxmemory", "1mb")
///     .start()
///     .await;
///
/// assert!(redis.url().starts_with("redis://:hush-hush@127.0.0.1:"));
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct RedisBuilder {
    pub(crate) password: Option<String>,
    pub(crate) has_unix_socket: bool,
    pub(crate) master: Option<Address>,
    is_sentinel: bool,
    pub(crate) certificate: Option<Certificate>,
    /// Signs the certificate. Each server has one of its own by default.
    pub(crate) authority: Option<Authority>,
    /// Chosen at the start, if there is a certificate.
    pub(crate) tls_port: Option<u16>,
    settings: Vec<(String, String)>,
    program: Option<PathBuf>,
}

impl RedisBuilder {
    /// Sets the password of every connection (`requirepass`).
    ///
    /// [`Redis::url`] and [`Redis::unix_url`] contain it.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Adds an ACL user: its name and its rules, as for `ACL SETUSER`.
    ///
    /// Redis denies all channels to a new user, so this user can connect and not publish.
    /// [`Redis::url_as`] connects as that user. Leave all permissions to the user `default`: the
    /// test's own commands run as `default`.
    ///
    /// ```
    /// use tidings_testkit::Redis;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let redis = Redis::builder()
    ///     .user("mute on >hush-hush ~* +@all resetchannels")
    ///     .start()
    ///     .await;
    ///
    /// let url = redis.url_as("mute", "hush-hush");
    /// let denied = redis.cli(&["-u", &url, "PUBLISH", "news", "hello"]).await;
    /// assert!(denied.contains("NOPERM"));
    /// # }
    /// ```
    pub fn user(self, rules: impl Into<String>) -> Self {
        self.config("user", rules)
    }

    /// Adds a line to `redis.conf`: a name and its value, which may be several words.
    ///
    /// Settings of the test override those of the test kit.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Sets the program to run, instead of the one that the environment variable `TIDINGS_SERVER`
    /// names or the `redis-server` on the `PATH`: another version, or Valkey. Redis 6.0 is the oldest that starts, 6.2 the oldest that tidings supports.
    ///
    /// ```
    /// use tidings_testkit::Redis;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let redis = Redis::builder().program("redis-server").start().await;
    /// assert!(redis.is_running());
    /// # }
    /// ```
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    pub(crate) fn server(&self) -> PathBuf {
        let program = self.program.clone();
        let of_environment = || std::env::var_os(SERVER).map(PathBuf::from);
        let program = program.or_else(of_environment);
        program.unwrap_or_else(|| "redis-server".into())
    }

    /// Listens on a Unix socket too; [`Redis::unix_url`] is its URL.
    pub fn unix_socket(mut self) -> Self {
        self.has_unix_socket = true;
        self
    }

    /// Makes the server a replica of this one, with its password. [`start`](Self::start) returns
    /// once it is in sync with its master.
    ///
    /// ```
    /// use tidings_testkit::Redis;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let master = Redis::start().await;
    /// master.command(&["SET", "colour", "green"]).await;
    ///
    /// let replica = Redis::builder().replica_of(&master).start().await;
    /// assert_eq!(replica.cli(&["GET", "colour"]).await, "green");
    /// # }
    /// ```
    pub fn replica_of(mut self, master: &Redis) -> Self {
        self.master = Some(master.at().clone());
        self
    }

    pub(crate) fn sentinel(mut self) -> Self {
        self.is_sentinel = true;
        self
    }

    /// Listens with TLS too, on another port: [`Redis::tls_url`] is its URL. Its certificate is for
    /// `localhost` and 127.0.0.1, signed by an authority that only this server has:
    /// [`Redis::ca_file`]. The plain port stays, for the test's own commands.
    ///
    /// Clients need no certificate; with `.config("tls-auth-clients", "yes")` they need
    /// [`Redis::client_certificate`].
    ///
    /// ```
    /// use tidings_testkit::Redis;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let redis = Redis::builder().tls().start().await;
    /// let ca = redis.ca_file();
    /// let words = ["--tls", "--cacert", ca.to_str().expect("UTF-8"), "-u", &redis.tls_url(), "PING"];
    /// assert_eq!(redis.cli(&words).await, "PONG");
    /// # }
    /// ```
    pub fn tls(self) -> Self {
        self.tls_with(Certificate::new())
    }

    /// Like [`tls`](Self::tls), with a certificate for other names, or an expired one.
    pub fn tls_with(self, certificate: Certificate) -> Self {
        Self {
            certificate: Some(certificate),
            ..self
        }
    }

    /// Signs the certificate with the authority of other servers.
    pub(crate) fn authority(self, authority: Authority) -> Self {
        Self {
            authority: Some(authority),
            ..self
        }
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, with advice how to install it; if it does not start,
    /// with the end of its log; if a replica is not in sync with its master within 10 seconds.
    pub async fn start(self) -> Redis {
        let is_replica = self.master.is_some();
        let redis = Redis::launch(self).await;
        if is_replica {
            redis.caught_up().await;
        }
        redis
    }

    /// The arguments after the configuration file.
    pub(crate) fn options(&self) -> &'static [&'static str] {
        if self.is_sentinel {
            &["--sentinel"]
        } else {
            &[]
        }
    }

    /// The `redis.conf` of a server of this version on this port.
    pub(crate) fn configuration(&self, directory: &Path, port: u16, version: Version) -> String {
        let mut lines = format!(
            "bind 127.0.0.1\n\
             port {port}\n\
             dir {}\n\
             daemonize no\n\
             loglevel notice\n\
             save \"\"\n\
             appendonly no\n\
             repl-diskless-sync yes\n\
             repl-diskless-sync-delay 0\n",
            quoted(directory)
        );
        // Older versions always enable DEBUG, and an unknown setting is an error.
        if version >= Version::new(7, 0) {
            lines.push_str("enable-debug-command yes\n");
        }
        if self.has_unix_socket {
            let _ = writeln!(lines, "unixsocket {}", quoted(unix_socket(directory)));
        }
        if let Some(password) = &self.password {
            let _ = writeln!(lines, "requirepass {}", quoted(password));
            // A master may become a replica.
            let _ = writeln!(lines, "masterauth {}", quoted(password));
        }
        if let Some(master) = &self.master {
            let _ = writeln!(lines, "replicaof 127.0.0.1 {}", master.port());
            if let Some(password) = master.password() {
                let _ = writeln!(lines, "masterauth {}", quoted(password));
            }
        }
        if let Some(port) = self.tls_port {
            let files = Files::of(directory);
            let _ = writeln!(
                lines,
                "tls-port {port}\n\
                 tls-ca-cert-file {}\n\
                 tls-cert-file {}\n\
                 tls-key-file {}\n\
                 tls-auth-clients no",
                quoted(files.ca()),
                quoted(files.certificate("server")),
                quoted(files.key("server")),
            );
        }
        for (name, value) in &self.settings {
            let _ = writeln!(lines, "{name} {value}");
        }
        lines
    }
}

pub(crate) fn unix_socket(directory: &Path) -> PathBuf {
    directory.join("redis.sock")
}

/// Quotes a text, with the escapes that `redis.conf` shares with Rust.
pub(crate) fn quoted(text: impl AsRef<OsStr>) -> String {
    format!("{:?}", text.as_ref().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_the_test_overrides_the_default() {
        let builder = RedisBuilder::default().config("save", "60 1");

        let configuration =
            builder.configuration(Path::new("/tmp/one"), 12_000, Version::default());

        let ours = configuration.find("save \"\"").unwrap();
        let own = configuration.find("save 60 1").unwrap();
        assert!(ours < own);
    }

    #[test]
    fn a_password_may_contain_quotes_and_spaces() {
        let builder = RedisBuilder::default().password("hush-hush \"b\" c");

        let configuration =
            builder.configuration(Path::new("/tmp/one"), 12_000, Version::default());

        assert!(configuration.contains("requirepass \"hush-hush \\\"b\\\" c\"\n"));
    }

    #[test]
    fn a_setting_is_written_only_for_versions_that_know_it() {
        for (version, is_given) in [
            (Version::new(6, 2), false),
            (Version::new(7, 0), true),
            (Version::new(8, 0), true),
        ] {
            let builder = RedisBuilder::default();
            let configuration = builder.configuration(Path::new("/tmp/one"), 12_000, version);
            assert_eq!(configuration.contains("enable-debug-command"), is_given);
        }
    }
}
