//! A connection to one server, and questions over it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, TryFutureExt};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, ProtocolVersion, RedisConnectionInfo,
    RedisError, RedisResult,
};
use tokio::time::timeout;

use crate::acl::{Needs, Permissions};
use crate::error::connect::ConnectError;
use crate::keyspace::commands::Driver;
use crate::redis_error::words;
use crate::transport::server::role::{Role, ask_role, hello};
use crate::transport::server::socket::{self, Allowance, Endpoint, Metered, Socket};
use crate::transport::server::tcp::Readiness;
use crate::transport::server::trail::{Said, Trail};
use crate::transport::server::{race, tls};
use crate::transport::tls::Tls;

/// How long each step of connecting may take.
const STEP: Duration = Duration::from_secs(5);

/// What a sentinel says when it is asked about a master that it does not know.
const NO_SUCH_MASTER: &str = "ERR No such master with that name";

/// How many characters of a server's words are shown.
const LONGEST_WORDS: usize = 400;

/// How to reach a server, and who we are there.
#[derive(Clone)]
pub(crate) struct Access {
    settings: RedisConnectionInfo,
    tls: Option<Tls>,
    pub(crate) needs: Arc<Needs>,
    /// A connection could be made before, so its way to speak was right.
    has_worked: Arc<AtomicBool>,
    wants_master: bool,
    /// What to do when the login is wrong.
    login_cure: &'static str,
    /// Only sentinels are wanted, and of those only such that know the master of this name.
    wants_sentinel_of: Option<Arc<str>>,
    /// How long each step of connecting may take.
    step: Duration,
}

/// How a connection is set up.
pub(crate) struct Setup {
    pub(crate) config: AsyncConnectionConfig,
    /// Bounds what is read.
    pub(crate) allowance: Allowance,
    pub(crate) watch: Readiness,
}

impl Default for Setup {
    /// For questions and their answers.
    fn default() -> Self {
        Self {
            config: AsyncConnectionConfig::new(),
            allowance: Allowance::new(usize::MAX),
            watch: Readiness::new(),
        }
    }
}

/// A connection together with the future that makes it move.
pub(crate) struct RedisConnection {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Driver,
    /// What the server said first, and how the connection ended.
    pub(crate) trail: Trail,
    /// Which of the server's addresses it has reached, where that is an IP address.
    pub(crate) peer: Option<SocketAddr>,
    /// What the server is, where only a master is wanted.
    pub(crate) role: Role,
    /// The version of the server, where it says it and a master is wanted.
    pub(crate) version: Option<String>,
}

impl Access {
    pub(crate) fn new(
        settings: &RedisConnectionInfo,
        tls: Option<Tls>,
        permissions: Permissions,
    ) -> Self {
        // Only RESP3 pushes what it hears on a connection that also answers.
        let settings = settings.clone().set_protocol(ProtocolVersion::RESP3);
        // Without a password no user is sent. What was meant for a password may be there instead.
        let user = settings
            .username()
            .filter(|_| settings.password().is_some());
        let user = user.unwrap_or("default").to_owned();
        let settings = if user == "default" {
            settings.set_lib_name("tidings", env!("CARGO_PKG_VERSION"))
        } else {
            // Another user is mostly one with few permissions, and none that every version knows
            // allows CLIENT SETINFO: each connection would leave a denial in the server's ACL LOG.
            settings.set_skip_set_lib_name()
        };
        Self {
            settings,
            tls,
            needs: Arc::new(Needs { user, permissions }),
            has_worked: Arc::default(),
            wants_master: false,
            login_cure: "check the user and the password in the address",
            wants_sentinel_of: None,
            step: STEP,
        }
    }

    /// How an address begins that is reached so.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        }
    }

    /// Only a master is wanted: whatever else a server is, it counts as one that failed.
    pub(crate) fn of_masters(self) -> Self {
        let wants_master = true;
        Self {
            wants_master,
            ..self
        }
    }

    /// Sentinels of this master are wanted, which have a login of their own: whatever else answers
    /// counts as one that failed. Each step of connecting may take this long.
    pub(crate) fn of_sentinels(self, master: &Arc<str>, step: Duration) -> Self {
        let login_cure = "check the options `sentinel_password` and `sentinel_user` in the \
                          address: what stands before its `@` is for the servers alone";
        Self {
            login_cure,
            wants_sentinel_of: Some(Arc::clone(master)),
            step,
            ..self
        }
    }

    /// Connects to the first of the server's addresses that answers as it should, or to this one
    /// alone.
    pub(crate) async fn open(
        &self,
        at: &ConnectionAddr,
        peer: Option<SocketAddr>,
        doing: &'static str,
        setup: Setup,
    ) -> Result<RedisConnection, ConnectError> {
        let ways = if let Some(peer) = peer {
            vec![Endpoint::Tcp(peer)]
        } else {
            let found = socket::ways(at);
            let found = found.map_err(|source| ConnectError::Io { doing, source });
            self.in_time(doing, found).await?
        };
        self.open_first(ways, at, doing, &setup).await
    }

    async fn open_first(
        &self,
        ways: Vec<Endpoint>,
        at: &ConnectionAddr,
        doing: &'static str,
        setup: &Setup,
    ) -> Result<RedisConnection, ConnectError> {
        let connect = |way: Endpoint| {
            let connecting = way.connect(setup.watch.clone());
            let connecting = connecting.map_err(move |source| ConnectError::Io { doing, source });
            self.in_time(doing, connecting).boxed()
        };
        let finish = |socket| {
            self.in_time(doing, self.greet(socket, at, doing, setup))
                .boxed()
        };
        let opened = race::first(ways, connect, finish).await;
        opened.map_err(|errors| most_informative(errors).unwrap_or(ConnectError::timed_out(doing)))
    }

    /// The first words over a connection.
    async fn greet(
        &self,
        socket: Socket,
        at: &ConnectionAddr,
        doing: &'static str,
        setup: &Setup,
    ) -> Result<RedisConnection, ConnectError> {
        let peer = socket.peer();
        let stream = socket.agree(doing, self.tls.as_ref(), at).await?;
        let allowance = setup.allowance.clone();
        let trail = Trail::default();
        let stream = trail.follow(stream);
        let stream = Metered { stream, allowance };
        // Each call has a time-out around it; the crate's own would hide what it was doing.
        let config = setup.config.clone().set_response_timeout(None);
        let introducing = MultiplexedConnection::new_with_config(&self.settings, stream, config);
        let (connection, driver) = tokio::select! {
            biased;
            introduced = introducing => {
                introduced.map_err(|error| self.refused(at, doing, &error, &trail))?
            }
            words = trail.refusal() => return Err(self.judge(doing, &words)),
        };
        self.has_worked.store(true, Ordering::Relaxed);
        let mut line = RedisConnection {
            connection,
            driver: driver.boxed().fuse(),
            trail,
            peer,
            role: Role::Hidden,
            version: None,
        };
        if self.wants_master {
            // What it says to this is of no interest where it is an error: the next one comes to
            // the same.
            let hello = line.ask(doing, hello).await?.unwrap_or_default();
            if hello.is_of_cluster {
                return Err(ConnectError::Cluster);
            }
            (line.role, line.version) = (hello.role, hello.version);
            if line.role == Role::Hidden {
                let doing = "asking for the role";
                let role = line.ask(doing, ask_role).await?;
                line.role = role.map_err(|error| self.explain(doing, &error))?;
            }
            line.role.check()?;
        }
        if let Some(master) = &self.wants_sentinel_of {
            self.prove_sentinel_of(master, &mut line).await?;
        }
        Ok(line)
    }

    /// Of several addresses one may be of something else than a sentinel, or of a sentinel that
    /// knows less than the others.
    async fn prove_sentinel_of(
        &self,
        master: &str,
        line: &mut RedisConnection,
    ) -> Result<(), ConnectError> {
        let doing = "asking a sentinel";
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let named: RedisResult<Option<(String, u16)>> = line
            .ask(doing, async |line| question.query_async(line).await)
            .await?;
        match named {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(self.judge(doing, NO_SUCH_MASTER)),
            Err(error) => Err(self.explain(doing, &error)),
        }
    }

    /// A step of connecting, which has its time.
    async fn in_time<T>(
        &self,
        doing: &'static str,
        step: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        timeout(self.step, step)
            .await
            .unwrap_or_else(|_| Err(ConnectError::timed_out(doing)))
    }

    /// Why the first words came to nothing. A server that has no room, or does not want this
    /// client, says so and ends the connection without an answer to each of them.
    fn refused(
        &self,
        at: &ConnectionAddr,
        doing: &'static str,
        error: &RedisError,
        trail: &Trail,
    ) -> ConnectError {
        let is_answered = matches!(error.kind(), ErrorKind::Server(_));
        if is_answered || tls::explain(doing, error).is_some() {
            return self.explain(doing, error);
        }
        // A server that wants TLS ends the connection at the first word without; so does one that
        // is about to end.
        let is_plain = self.tls.is_none() && matches!(at, ConnectionAddr::Tcp(..));
        let may_want_tls = is_plain && !self.has_worked.load(Ordering::Relaxed);
        let source = match (trail.said(), trail.end()) {
            (Said::Error(words), _) => return self.judge(doing, &words),
            (Said::Other(words), _) => {
                let words = self.shown(&words);
                io::Error::other(format!("what answers there is no redis: it says `{words}`"))
            }
            (Said::Nothing | Said::Alert, end) if may_want_tls => {
                let end = end.map_or_else(|| error.to_string(), |end| end.to_string());
                let hint = "if it speaks TLS on this port, write `rediss:`";
                io::Error::other(format!("{end} ({hint})"))
            }
            (_, Some(end)) => end,
            (_, None) => return self.explain(doing, error),
        };
        ConnectError::Io { doing, source }
    }

    /// What an error means, and what would cure it.
    pub(crate) fn explain(&self, doing: &'static str, error: &RedisError) -> ConnectError {
        if let Some(problem) = tls::explain(doing, error) {
            return problem;
        }
        if error.is_io_error() || error.is_connection_dropped() {
            let source = io::Error::other(error.to_string());
            return ConnectError::Io { doing, source };
        }
        self.judge(doing, &words(error))
    }

    /// What redis's words mean, and what would cure it.
    fn judge(&self, doing: &'static str, words: &str) -> ConnectError {
        let words = self.shown(words);
        let says = |code: &str| words.contains(code);
        let is_denied = says("NOPERM") || says("no permissions");
        let is_no_database = says("DB index");
        let is_wrong = says("WRONGPASS") || says("NOAUTH");
        let is_of_sentinel = self.wants_sentinel_of.is_some();
        let is_no_sentinel = is_of_sentinel && says("unknown command") && says("SENTINEL");
        let is_unknown = is_of_sentinel && says(NO_SUCH_MASTER);
        let is_protected = words.starts_with("DENIED") || says("protected mode");
        let cure = if is_denied {
            Some(self.needs.cure(&words))
        } else if is_wrong {
            Some(self.login_cure.to_owned())
        } else if is_protected {
            Some("set a password on the server, or turn its protected mode off".to_owned())
        } else if is_no_sentinel {
            Some(
                "it is no sentinel: sentinels have a port of their own, 26379 as a rule".to_owned(),
            )
        } else if is_unknown {
            Some("check the name of the master, which is the path of the address".to_owned())
        } else if says("HELLO") || says("NOPROTO") {
            Some("tidings needs Redis 6.2 or newer".to_owned())
        } else if is_no_database {
            Some("the server has no database of this number".to_owned())
        } else {
            None
        };
        ConnectError::Redis {
            doing,
            words,
            cure,
            is_final: is_denied
                || is_wrong
                || is_protected
                || is_no_database
                || is_no_sentinel
                || is_unknown,
        }
    }

    /// What a server said, as it may be printed. One that does not understand a command repeats it,
    /// and the first one has the password.
    fn shown(&self, words: &str) -> String {
        let (words, _) = words
            .split_once(", with args beginning with")
            .unwrap_or((words, ""));
        let words = match self.settings.password() {
            Some(password) if !password.is_empty() => words.replace(password, "…"),
            _ => words.to_owned(),
        };
        let mut shown = String::new();
        for character in words.chars().take(LONGEST_WORDS) {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        if words.chars().nth(LONGEST_WORDS).is_some() {
            shown.push('…');
        }
        shown
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: they hold the password.
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl RedisConnection {
    /// Drives the connection while something waits for an answer over it. The outer error is the
    /// connection's.
    pub(crate) async fn ask<T>(
        &mut self,
        doing: &'static str,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<RedisResult<T>, ConnectError> {
        let asking = async {
            tokio::select! {
                biased;
                answer = question(&mut self.connection) => Ok(answer),
                () = &mut self.driver => Err(self.trail.lost(doing)),
            }
        };
        timeout(STEP, asking)
            .await
            .unwrap_or(Err(ConnectError::timed_out(doing)))
    }
}

/// Of all addresses of a server: what trying again cannot help, or else what a server said, or else
/// what the first one came to.
fn most_informative(errors: Vec<ConnectError>) -> Option<ConnectError> {
    errors.into_iter().min_by_key(|error| match error {
        error if error.is_final() => 0,
        ConnectError::Io { .. } => 2,
        _ => 1,
    })
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;

    fn access(url: &str) -> Access {
        let info = redis::IntoConnectionInfo::into_connection_info(url).unwrap();
        Access::new(info.redis_settings(), None, Permissions::of_sentinel())
    }

    #[test]
    fn a_debug_view_holds_no_secret() {
        let access = access("redis://u:hush-hush@h");
        assert!(!format!("{access:?}").contains("hush"));
    }

    #[test]
    fn a_user_without_a_password_is_not_named_in_a_cure() {
        let info = redis::IntoConnectionInfo::into_connection_info("redis://hush@h").unwrap();
        let access = Access::new(info.redis_settings(), None, Permissions::of_sentinel());
        assert_eq!(access.needs.user, "default");
    }

    #[test]
    fn only_the_default_user_says_which_library_it_is() {
        for (url, says) in [
            ("redis://h", true),
            ("redis://:hush-hush@h", true),
            ("redis://default:hush-hush@h", true),
            ("redis://shop:hush-hush@h", false),
        ] {
            let settings = access(url).settings;
            assert_eq!(!settings.skip_set_lib_name(), says, "{url}");
            assert_eq!(settings.lib_name().is_some(), says, "{url}");
        }
    }

    #[test]
    fn an_answer_that_only_a_cluster_gives_is_said_to_be_one() {
        for (answer, is_of_cluster) in [
            (&b"-MOVED 3999 127.0.0.1:6381\r\n"[..], true),
            (b"-ASK 3999 127.0.0.1:6381\r\n", true),
            (
                b"-CROSSSLOT Keys in request don't hash to the same slot\r\n",
                true,
            ),
            (b"-OOM command not allowed\r\n", false),
        ] {
            let answer = redis::parse_redis_value(answer).and_then(redis::Value::extract_error);
            let words = words(&answer.unwrap_err());
            assert_eq!(
                words.contains("a node of a Redis Cluster"),
                is_of_cluster,
                "{words}"
            );
        }
    }

    /// A server that says of itself what it is.
    async fn server(role: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, role));
            }
        });
        address
    }

    async fn answer(stream: TcpStream, role: &str) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let line = async |stream: &mut BufReader<TcpStream>| {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            Some(line)
        };
        loop {
            let count: usize = line(&mut stream).await?.get(1..)?.trim().parse().ok()?;
            let mut words = Vec::new();
            for _ in 0..count {
                line(&mut stream).await?;
                words.push(line(&mut stream).await?);
            }
            let text = match words[0].trim() {
                "HELLO" => "%1\r\n+proto\r\n:3\r\n".to_owned(),
                "ROLE" => format!("*1\r\n+{role}\r\n"),
                "SENTINEL" if role == "sentinel of shop" => {
                    "*2\r\n+127.0.0.1\r\n+6379\r\n".to_owned()
                }
                "SENTINEL" if role.starts_with("sentinel") => "_\r\n".to_owned(),
                "SENTINEL" => "-ERR unknown command 'SENTINEL'\r\n".to_owned(),
                _ => "+OK\r\n".to_owned(),
            };
            stream.write_all(text.as_bytes()).await.ok()?;
        }
    }

    /// Takes no connection and refuses none, as a host that has lost its power: the queue of its
    /// socket is full.
    fn black_hole() -> (SocketAddr, Vec<Socket>) {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = vec![listener];
        for _ in 0..4 {
            let caller = socket();
            caller.set_nonblocking(true).unwrap();
            let _ = caller.connect(&address);
            held.push(caller);
        }
        (address.as_socket().unwrap(), held)
    }

    async fn open(addresses: &[SocketAddr]) -> Result<RedisConnection, ConnectError> {
        let access = access("redis://h").of_masters();
        let ways = addresses.iter().copied().map(Endpoint::Tcp).collect();
        let at = ConnectionAddr::Tcp("h".to_owned(), 6_379);
        let setup = Setup::default();
        access.open_first(ways, &at, "connecting", &setup).await
    }

    #[tokio::test]
    async fn a_name_is_reached_whose_first_address_takes_no_connection() {
        let ((silent, _held), master) = (black_hole(), server("master").await);
        let began = Instant::now();
        let line = open(&[silent, master]).await.unwrap();
        assert_eq!(line.peer, Some(master));
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test]
    async fn a_name_is_reached_whose_first_address_never_answers() {
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mute_address, master) = (mute.local_addr().unwrap(), server("master").await);
        let line = open(&[mute_address, master]).await.unwrap();
        assert_eq!(line.peer, Some(master));
    }

    #[tokio::test]
    async fn of_the_addresses_of_a_name_that_of_the_master_is_taken() {
        let (replica, master) = (server("slave").await, server("master").await);
        assert_eq!(open(&[replica, master]).await.unwrap().peer, Some(master));
        let error = open(&[replica]).await.err().unwrap();
        assert!(matches!(error, ConnectError::Role { .. }), "{error:?}");
    }

    async fn open_sentinel(addresses: &[SocketAddr]) -> Result<RedisConnection, ConnectError> {
        let access = access("redis://h").of_sentinels(&"shop".into(), STEP);
        let ways = addresses.iter().copied().map(Endpoint::Tcp).collect();
        let at = ConnectionAddr::Tcp("h".to_owned(), 26_379);
        let setup = Setup::default();
        access.open_first(ways, &at, "connecting", &setup).await
    }

    #[tokio::test]
    async fn of_the_addresses_of_a_name_that_of_a_sentinel_which_knows_the_master_is_taken() {
        let (redis, sentinel) = (server("master").await, server("sentinel of shop").await);
        let other = server("sentinel of another").await;
        let line = open_sentinel(&[redis, other, sentinel]).await.unwrap();
        assert_eq!(line.peer, Some(sentinel));
        for (address, cure) in [(redis, "it is no sentinel"), (other, "check the name")] {
            let error = open_sentinel(&[address]).await.err().unwrap();
            assert!(error.is_final(), "{error:?}");
            assert!(error.to_string().contains(cure), "{error}");
        }
    }

    #[test]
    fn of_all_errors_the_most_telling_one_counts() {
        let timed_out = || ConnectError::timed_out("connecting");
        let says = |words: &str, is_final| ConnectError::Redis {
            doing: "connecting",
            words: words.to_owned(),
            cure: None,
            is_final,
        };
        let told = |errors| most_informative(errors).unwrap().to_string();
        let said = told(vec![timed_out(), says("LOADING", false), timed_out()]);
        assert!(said.contains("LOADING"), "{said}");
        let said = told(vec![says("LOADING", false), says("WRONGPASS", true)]);
        assert!(said.contains("WRONGPASS"), "{said}");
        assert!(most_informative(Vec::new()).is_none());
    }
}
