use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{RedisResult, Value};
use rustix::process::Signal;
use tempfile::TempDir;
use tidings::codec::Escaped;
use tokio::time::{sleep, timeout};

use crate::address::{Address, shown};
use crate::builder::{RedisBuilder, unix_socket};
use crate::port::free_port;
use crate::process::Process;
use crate::start::{StartError, start};
use crate::tls::Files;
use crate::version::Version;
use crate::wait::poll;

/// The ports that a new server tries.
pub(crate) const PORTS_TO_TRY: u32 = 10;

/// The attempts of a restarted server to get its port back, and the pause between them.
const TRIES_TO_COME_BACK: u32 = 100;
const PAUSE_BETWEEN_TRIES: Duration = Duration::from_millis(50);

const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// The prefix of directory names.
const PREFIX: &str = "tidings-redis-";

/// The longest path of a socket on macOS, the strictest system, without the terminating zero.
const LONGEST: usize = 103;

/// The parent of a server's directory: `own`, or `/tmp` where the path of the socket would be too
/// long.
fn within(own: PathBuf, has_unix_socket: bool) -> PathBuf {
    let socket = unix_socket(&own.join(PREFIX).join("random"));
    if has_unix_socket && socket.as_os_str().len() > LONGEST {
        return PathBuf::from("/tmp");
    }
    own
}

/// A real redis-server for one test.
///
/// It listens on 127.0.0.1 and its own port, and saves nothing. The server and its directory are
/// gone when this is dropped, when the test panics, and even when the test's process is killed with
/// SIGKILL.
///
/// `DEBUG` is enabled: `redis.command(&["DEBUG", "SLEEP", "0.5"])` works.
#[derive(Debug)]
pub struct Redis {
    builder: RedisBuilder,
    address: Address,
    /// `None` while the server is killed or stopped.
    process: Option<Process>,
    // Dropped last: the server uses it.
    directory: TempDir,
}

/// # Starting
impl Redis {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, with advice how to install it; and
    /// if it does not start, with the end of its log.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns a builder, for a password, ACL users, a Unix socket or any setting.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    pub(crate) async fn launch(builder: RedisBuilder) -> Self {
        for _ in 0..PORTS_TO_TRY {
            match Self::launch_on(free_port(), builder.clone()).await {
                Ok(redis) => return redis,
                Err(StartError::PortTaken(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("cannot start redis-server: {PORTS_TO_TRY} free ports were taken by other programs");
    }

    pub(crate) async fn launch_on(
        port: u16,
        mut builder: RedisBuilder,
    ) -> Result<Self, StartError> {
        let within = within(std::env::temp_dir(), builder.has_unix_socket);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(within)
            .expect("the directory for temporary files can be written");
        if let Some(certificate) = &builder.certificate {
            let authority = builder.authority.clone().unwrap_or_default();
            Files::of(directory.path()).make(certificate, &authority);
            builder.tls_port = Some(free_port());
        }
        let process = start(&builder, directory.path(), port).await?;
        Ok(Self {
            address: Address::new(port, builder.password.clone()),
            builder,
            process: Some(process),
            directory,
        })
    }

    /// Returns the URL, with the password if there is one.
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// Returns the URL with this ACL user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.address.url_as(user, password)
    }

    /// Returns the URL of the Unix socket, if [`RedisBuilder::unix_socket`] asked for one.
    pub fn unix_url(&self) -> Option<String> {
        let socket = unix_socket(self.directory.path());
        self.builder
            .has_unix_socket
            .then(|| self.address.unix_url(&socket))
    }

    /// Returns the URL of the TLS port, with the password if there is one.
    ///
    /// # Panics
    ///
    /// If the server was started without [`RedisBuilder::tls`].
    pub fn tls_url(&self) -> String {
        self.secured().url().replacen("redis:", "rediss:", 1)
    }

    /// Like [`tls_url`](Self::tls_url), with this ACL user.
    ///
    /// # Panics
    ///
    /// If the server was started without [`RedisBuilder::tls`].
    pub fn tls_url_as(&self, user: &str, password: &str) -> String {
        let url = self.secured().url_as(user, password);
        url.replacen("redis:", "rediss:", 1)
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.builder.tls_port.is_some()
    }

    /// The address of the TLS port.
    fn secured(&self) -> Address {
        let port = self
            .builder
            .tls_port
            .expect("the server was started with TLS");
        Address::new(port, self.builder.password.clone())
    }

    /// Returns 127.0.0.1 and the TLS port, for a proxy or a plain socket.
    ///
    /// # Panics
    ///
    /// If the server was started without [`RedisBuilder::tls`].
    pub fn tls_address(&self) -> SocketAddr {
        self.secured().socket()
    }

    /// Returns the path of the certificate authority, a PEM file. The file exists with
    /// [`RedisBuilder::tls`].
    pub fn ca_file(&self) -> PathBuf {
        Files::of(self.directory.path()).ca()
    }

    /// Returns the paths of a client certificate that the server accepts, and of its key: PEM
    /// files. They exist with [`RedisBuilder::tls`].
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        let files = Files::of(self.directory.path());
        (files.certificate("client"), files.key("client"))
    }

    /// Returns 127.0.0.1 and the port, for a proxy or a plain socket.
    pub fn address(&self) -> SocketAddr {
        self.address.socket()
    }

    /// Returns the port. It stays the same as long as this value lives.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the id of the redis-server process.
    ///
    /// # Panics
    ///
    /// While the server is killed or stopped.
    pub fn pid(&self) -> u32 {
        self.running().pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// Returns whether there is a process: not while it is killed or stopped.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn at(&self) -> &Address {
        &self.address
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server is not running")
    }
}

/// # Commands
impl Redis {
    /// Runs a command, one word per argument, and returns the answer.
    ///
    /// # Panics
    ///
    /// If the answer is an error, or there is none within 10 seconds.
    pub async fn command(&self, words: &[&str]) -> Value {
        self.try_command(words)
            .await
            .unwrap_or_else(|error| panic!("{}: {}", shown(words), Escaped(error)))
    }

    /// Like [`command`](Self::command), for a command that may fail.
    ///
    /// # Errors
    ///
    /// When Redis answers with an error, cannot be reached, or does not answer
    /// within 10 seconds.
    ///
    /// # Panics
    ///
    /// If there are no words.
    pub async fn try_command(&self, words: &[&str]) -> RedisResult<Value> {
        self.address.ask(words).await
    }

    /// Runs `redis-cli` with these arguments and returns its output, without the last line end.
    /// Error replies are output too.
    ///
    /// A foreign program: it knows nothing of tidings.
    ///
    /// # Panics
    ///
    /// If `redis-cli` is missing, or fails for another reason than a reply.
    pub async fn cli(&self, words: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port().to_string()])
            .args(words)
            .stdin(Stdio::null());
        if let Some(password) = self.address.password() {
            cli.env("REDISCLI_AUTH", password);
        }

        let output = tokio::task::spawn_blocking(move || cli.output())
            .await
            .expect("running redis-cli does not panic")
            .expect("`redis-cli` is installed: it comes with redis-server");
        assert!(
            output.status.success(),
            "redis-cli {}: {}",
            shown(words),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

/// # Stopping and starting
impl Redis {
    /// Kills the server (SIGKILL) and returns once it is gone: a crash.
    ///
    /// The port stays reserved for [`Redis::start_again`]. Does nothing if the server does not run.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks the server to shut down (SIGTERM) and returns once it is gone: a planned stop. A frozen
    /// server is resumed first.
    ///
    /// # Panics
    ///
    /// If the server does not run, or does not stop.
    pub async fn stop(&mut self) {
        self.resume();
        self.signal(Signal::TERM);

        let mut process = self.process.take().expect("the server has a process");
        let ended = poll(async || {
            let status = process.exit_status();
            status
                .expect("the watchdog is our child and can be waited for")
                .is_some()
        });
        timeout(STOPS_WITHIN, ended)
            .await
            .expect("redis-server stops when it is asked to");
    }

    /// Starts a killed or stopped server again, empty, on the same port, and waits until it
    /// answers. Settings written by `CONFIG REWRITE` still apply.
    ///
    /// # Panics
    ///
    /// If it runs, or does not start.
    pub async fn start_again(&mut self) {
        assert!(
            self.process.is_none(),
            "the server is running: use `restart`"
        );

        for _ in 0..TRIES_TO_COME_BACK {
            match start(&self.builder, self.directory.path(), self.port()).await {
                Ok(process) => {
                    self.process = Some(process);
                    return;
                }
                Err(StartError::PortTaken(_)) => sleep(PAUSE_BETWEEN_TRIES).await,
                Err(error) => panic!("{error}"),
            }
        }
        panic!(
            "another program took port {} while the server was stopped",
            self.port()
        );
    }

    /// Kills the server if it runs, starts it again, empty, on the same port, and waits until it
    /// answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }
}

/// # Faults
impl Redis {
    /// Freezes the server (SIGSTOP): connections stay open, and nothing answers.
    ///
    /// # Panics
    ///
    /// If the server does not run.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes a frozen server (SIGCONT).
    ///
    /// # Panics
    ///
    /// If the server does not run.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn version(&self) -> Version {
        Version::of(&self.builder.server())
    }

    fn signal(&self, signal: Signal) {
        self.running()
            .signal(signal)
            .expect("the server process exists");
    }

    /// Pauses every client's commands for this time (`CLIENT PAUSE`), also those of
    /// [`Redis::command`].
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn pause(&self, duration: Duration) {
        let milliseconds = duration.as_millis().to_string();
        self.address
            .ask_last(&["CLIENT", "PAUSE", &milliseconds])
            .await
            .expect("Redis can be reached, and knows CLIENT PAUSE");
    }

    /// Sets the bytes of unread output after which Redis disconnects a subscriber
    /// (`client-output-buffer-limit pubsub`); 0 is no limit. The default is 32 MiB, or 8 MiB for a
    /// minute.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn limit_output_buffer(&self, bytes: u64) {
        let limit = format!("pubsub {bytes} 0 0");
        let set = ["CONFIG", "SET", "client-output-buffer-limit", &limit];
        self.command(&set).await;
    }

    /// Closes every connection and returns their number (`CLIENT KILL`). The server keeps running,
    /// so clients can reconnect at once.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn kill_clients(&self) -> u64 {
        self.kill_subscribers().await + self.kill_senders().await
    }

    /// Closes the connections that are subscribed, and returns their number.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn kill_subscribers(&self) -> u64 {
        self.cut("pubsub").await
    }

    /// Closes the connections that are not subscribed, and returns their number.
    ///
    /// # Panics
    ///
    /// If Redis cannot be reached.
    pub async fn kill_senders(&self) -> u64 {
        self.cut("normal").await
    }

    async fn cut(&self, kind: &str) -> u64 {
        let killed = self.command(&["CLIENT", "KILL", "TYPE", kind]).await;
        redis::from_redis_value(killed).expect("CLIENT KILL with a filter returns a count")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_is_short_enough_under_any_temporary_directory() {
        let long = PathBuf::from("/").join("x".repeat(90));
        let of_socket = within(long.clone(), true);
        assert_eq!(of_socket, PathBuf::from("/tmp"));
        assert_eq!(within(long.clone(), false), long);
        let short = PathBuf::from("/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T");
        assert_eq!(within(short.clone(), true), short);
    }
}
