//! A connection to one server: the handshake, and commands over it.

mod rejection;

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, TryFutureExt};
use redis::{Cmd, ConnectionAddr, RedisConnectionInfo, RedisResult};
use tokio::time::timeout;

use crate::acl::{Needs, Permissions};
use crate::error::connect::ConnectError;
use crate::resp::{self, Client, Driver};
use crate::transport::address::{Place, shown_address};
use crate::transport::credentials::CredentialSource;
use crate::transport::journal::drive;
use crate::transport::server::race;
use crate::transport::server::role::{self, Hello, Role, ServerKind, ask_role};
use crate::transport::server::socket::{self, Endpoint, Socket};
use crate::transport::server::tcp::Readiness;
use crate::transport::tls::Tls;

/// The timeout of each step of connecting.
const STEP: Duration = Duration::from_secs(5);

/// The error of a sentinel that does not know a master.
const NO_SUCH_MASTER: &str = "ERR No such master with that name";

/// The name of this library, for `CLIENT LIST`.
const LIBRARY: [(&str, &str); 2] = [
    ("LIB-NAME", "tidings"),
    ("LIB-VER", env!("CARGO_PKG_VERSION")),
];

/// The login, TLS options and requirements for connecting to a server.
#[derive(Clone)]
pub(crate) struct Access {
    settings: RedisConnectionInfo,
    tls: Option<Tls>,
    /// Asked at each connect, where the address has no password.
    credentials: Option<CredentialSource>,
    pub(crate) needs: Arc<Needs>,
    /// True if a connection succeeded before, so that TLS or its absence was right.
    has_worked: Arc<AtomicBool>,
    wants: Wanted,
    /// The hint for a wrong login.
    login_cure: &'static str,
    /// The timeout of each step of connecting.
    step: Duration,
}

/// The kind of server that is required.
#[derive(Clone, Debug)]
enum Wanted {
    Any,
    Master,
    /// A sentinel that knows the master of this name.
    SentinelOf(Arc<str>),
    NodeOfCluster,
}

/// A connection with its driver.
pub(crate) struct RedisConnection {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    /// The IP address that it is connected to, if any.
    pub(crate) peer: Option<SocketAddr>,
    /// The role of the server, as far as it is known.
    pub(crate) role: Role,
    /// The version of the server, if it reports it.
    pub(crate) version: Option<String>,
    pub(crate) watch: Readiness,
    /// The certificate of the server, in DER, with TLS.
    #[cfg_attr(
        not(feature = "admin"),
        expect(dead_code, reason = "only `admin` reads it")
    )]
    pub(crate) certificate: Option<Vec<u8>>,
    /// With the credentials of this connection.
    pub(crate) access: Access,
}

impl Access {
    pub(crate) fn new(
        settings: &RedisConnectionInfo,
        tls: Option<Tls>,
        permissions: Permissions,
    ) -> Self {
        let (settings, user) = login_settings(settings.clone());
        Self {
            settings,
            tls,
            credentials: None,
            needs: Arc::new(Needs { user, permissions }),
            has_worked: Arc::default(),
            wants: Wanted::Any,
            login_cure: "check the user and the password in the address",
            step: STEP,
        }
    }

    /// The number of the database in the address.
    #[cfg(feature = "admin")]
    pub(crate) fn database(&self) -> u64 {
        self.settings.db().try_into().unwrap_or_default()
    }

    /// The user and the password come from this source, if there is one.
    pub(crate) fn with_credentials(mut self, credentials: Option<CredentialSource>) -> Self {
        if credentials.is_some() {
            self.login_cure = "check the user and the password that `credentials` or \
                               `password_file` of the builder provides";
        }
        Self {
            credentials,
            ..self
        }
    }

    /// This, with the credentials for one connection.
    async fn logged_in(&self) -> Result<Self, ConnectError> {
        let Some(source) = &self.credentials else {
            return Ok(self.clone());
        };
        let doing = "asking for the credentials";
        let credentials = in_time(self.step, doing, source.ask()).await?;
        let mut login = RedisConnectionInfo::default()
            .set_db(self.settings.db())
            .set_password(credentials.password);
        if let Some(user) = credentials.user.as_deref().or(self.settings.username()) {
            login = login.set_username(user);
        }
        let (settings, user) = login_settings(login);
        let permissions = self.needs.permissions.clone();
        Ok(Self {
            settings,
            needs: Arc::new(Needs { user, permissions }),
            ..self.clone()
        })
    }

    /// The scheme of an address with this access.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        }
    }

    /// Requires a master: any other server counts as failed.
    pub(crate) fn of_masters(self) -> Self {
        let wants = Wanted::Master;
        Self { wants, ..self }
    }

    /// Requires a node of a Redis Cluster: any other server counts as failed. `step` is the timeout
    /// of each step of connecting.
    pub(crate) fn of_cluster(self, step: Duration) -> Self {
        let wants = Wanted::NodeOfCluster;
        Self {
            wants,
            step,
            ..self
        }
    }

    /// Requires a sentinel that knows this master, with a login of its own: any other server counts
    /// as failed. `step` is the timeout of each step of connecting.
    pub(crate) fn of_sentinels(self, master: &Arc<str>, step: Duration) -> Self {
        let login_cure = "check the options `sentinel_password` and `sentinel_user` in the \
                          address: the login before its `@` is for the servers only";
        Self {
            login_cure,
            wants: Wanted::SentinelOf(Arc::clone(master)),
            step,
            ..self
        }
    }

    /// Connects to the first of the server's addresses that answers as required, or to `peer`.
    pub(crate) async fn open(
        &self,
        at: &ConnectionAddr,
        peer: Option<SocketAddr>,
        doing: &'static str,
    ) -> Result<RedisConnection, ConnectError> {
        let access = self.logged_in().await?;
        let endpoints = if let Some(peer) = peer {
            vec![Endpoint::Tcp(peer)]
        } else {
            let found = socket::endpoints(at);
            let found = found.map_err(|source| ConnectError::Io { doing, source });
            in_time(self.step, doing, found).await?
        };
        access.open_first(endpoints, at, doing).await
    }

    async fn open_first(
        &self,
        endpoints: Vec<Endpoint>,
        at: &ConnectionAddr,
        doing: &'static str,
    ) -> Result<RedisConnection, ConnectError> {
        let connect = |endpoint: Endpoint| {
            let connecting = endpoint.connect();
            let connecting = connecting.map_err(move |source| ConnectError::Io { doing, source });
            in_time(self.step, doing, connecting).boxed()
        };
        let finish = |socket| in_time(self.step, doing, self.greet(socket, at, doing)).boxed();
        let opened = race::first(endpoints, connect, finish).await;
        opened.map_err(|errors| most_informative(errors).unwrap_or(ConnectError::timed_out(doing)))
    }

    /// Does the handshake over a connected socket.
    async fn greet(
        &self,
        socket: Socket,
        at: &ConnectionAddr,
        doing: &'static str,
    ) -> Result<RedisConnection, ConnectError> {
        let (peer, watch) = (socket.peer(), socket.watch());
        // Shorter than a step, so that the error of TLS is reported: a server without TLS may wait for
        // the rest of a command.
        let within = (doing, self.step * 4 / 5);
        let (stream, certificate) = socket.agree(within, self.tls.as_ref(), at).await?;
        let (client, driver) = resp::connection(stream);
        let mut line = RedisConnection {
            client,
            driver,
            peer,
            role: Role::Hidden,
            version: None,
            watch,
            certificate,
            access: self.clone(),
        };
        let greeting = async |client: &Client| self.log_in(client).await;
        let greeted = line.try_to_ask(self.step, doing, greeting);
        let hello = match greeted.await? {
            Ok(hello) => hello,
            Err(error) => return Err(self.refused(at, doing, &error, &line)),
        };
        self.has_worked.store(true, Ordering::Relaxed);
        let kind = hello.kind;
        (line.role, line.version) = (hello.role, hello.version);
        match &self.wants {
            Wanted::Any => {}
            Wanted::Master => self.prove_master(at, kind, &mut line).await?,
            Wanted::SentinelOf(master) => self.prove_sentinel_of(master, &mut line).await?,
            Wanted::NodeOfCluster => self.check_node(at, kind)?,
        }
        Ok(line)
    }

    /// Checks that the server is a master, and no node of a cluster.
    async fn prove_master(
        &self,
        at: &ConnectionAddr,
        kind: ServerKind,
        line: &mut RedisConnection,
    ) -> Result<(), ConnectError> {
        if kind == ServerKind::Node {
            let (scheme, server) = (self.scheme(), shown_address(at));
            return Err(ConnectError::WrongScheme {
                is: "a node of a Redis Cluster",
                write: format!("{scheme}+cluster://{server}"),
                server,
            });
        }
        if line.role == Role::Hidden {
            line.role = line.ask("asking for the role", ask_role).await?;
        }
        line.role.check()
    }

    /// Checks that the server is a node of a cluster. One that hides its kind is asked later.
    fn check_node(&self, at: &ConnectionAddr, kind: ServerKind) -> Result<(), ConnectError> {
        let (scheme, server) = (self.scheme(), shown_address(at));
        let (is, write) = match kind {
            ServerKind::Node | ServerKind::Hidden => return Ok(()),
            ServerKind::Single => (
                "not a node of a Redis Cluster",
                format!("{scheme}://{server}"),
            ),
            ServerKind::Sentinel => (
                "a sentinel, not a node of a Redis Cluster",
                format!("{scheme}+sentinel://{server}/…"),
            ),
        };
        Err(ConnectError::WrongScheme { server, is, write })
    }

    /// Logs in, and selects the database.
    async fn log_in(&self, client: &Client) -> RedisResult<Hello> {
        let (settings, mut hello) = (&self.settings, role::hello());
        if let Some(password) = settings.password() {
            let user = settings.username().unwrap_or("default");
            hello.arg("AUTH").arg(user).arg(password);
        }
        let hello = client.send(&hello);
        let database = settings.db();
        let selected = (database != 0).then(|| client.send(redis::cmd("SELECT").arg(database)));
        if self.names_library() {
            // The answers are ignored: the command is new in Redis 7.2.
            for (field, value) in LIBRARY {
                let mut name = redis::cmd("CLIENT");
                drop(client.send(name.arg("SETINFO").arg(field).arg(value)));
            }
        }
        let hello = hello.await?.extract_error()?;
        if let Some(selected) = selected {
            selected.await?.extract_error()?;
        }
        Ok(Hello::of(hello))
    }

    /// Returns true for the default user. Others mostly have few permissions, and no rule of all
    /// versions allows `CLIENT SETINFO`: each connection would add a denial to the server's ACL LOG.
    fn names_library(&self) -> bool {
        self.needs.user == "default"
    }

    /// Checks that the server is a sentinel that knows the master: of several addresses, one may be
    /// of another server, or of a sentinel that does not know it yet.
    async fn prove_sentinel_of(
        &self,
        master: &str,
        line: &mut RedisConnection,
    ) -> Result<(), ConnectError> {
        let doing = "asking a sentinel";
        let question = sentinel_question("GET-MASTER-ADDR-BY-NAME", master);
        let named: Option<Place> = line
            .ask(doing, async |line| line.query(&question).await)
            .await?;
        let unknown = || self.judge(doing, NO_SUCH_MASTER);
        named.map(drop).ok_or_else(unknown)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: they hold the password.
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl RedisConnection {
    /// Runs commands while driving the connection.
    pub(crate) async fn ask<T>(
        &mut self,
        doing: &'static str,
        question: impl AsyncFnOnce(&Client) -> RedisResult<T>,
    ) -> Result<T, ConnectError> {
        self.ask_within(self.access.step, doing, question).await
    }

    /// As [`ask`](Self::ask), for questions that may take longer than a step of connecting.
    pub(crate) async fn ask_within<T>(
        &mut self,
        limit: Duration,
        doing: &'static str,
        question: impl AsyncFnOnce(&Client) -> RedisResult<T>,
    ) -> Result<T, ConnectError> {
        let asked = self.try_to_ask(limit, doing, question).await?;
        asked.map_err(|error| self.access.explain(doing, &error))
    }

    /// As [`ask_within`](Self::ask_within), with the error of Redis as it is. The outer error is a
    /// timeout.
    pub(crate) async fn try_to_ask<T>(
        &mut self,
        limit: Duration,
        doing: &'static str,
        question: impl AsyncFnOnce(&Client) -> RedisResult<T>,
    ) -> Result<RedisResult<T>, ConnectError> {
        let Self { client, driver, .. } = self;
        let mut driving = poll_fn(|cx| driver.poll(cx));
        let asked = timeout(limit, drive(&mut driving, question(client))).await;
        asked.map_err(|_| ConnectError::timed_out(doing))
    }
}

/// A question to a sentinel about the master of this name.
pub(crate) fn sentinel_question(what: &str, master: &str) -> Cmd {
    let mut question = redis::cmd("SENTINEL");
    question.arg(what).arg(master);
    question
}

/// Runs a step with its timeout.
pub(crate) async fn in_time<T>(
    limit: Duration,
    doing: &'static str,
    step: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let done = timeout(limit, step).await;
    done.unwrap_or_else(|_| Err(ConnectError::timed_out(doing)))
}

/// Drives a connection until it ends.
pub(crate) async fn driving(mut driver: Driver) {
    poll_fn(|cx| driver.poll(cx)).await;
}

/// The reason why a connection has ended.
pub(crate) fn lost(client: &Client, doing: &'static str) -> ConnectError {
    let end = client.end();
    end.map_or(ConnectError::Lost, |source| ConnectError::Io {
        doing,
        source,
    })
}

/// The settings of a connection with this login, and the name of the user.
fn login_settings(settings: RedisConnectionInfo) -> (RedisConnectionInfo, String) {
    // Without a password no user is sent, and the user may be a misplaced password.
    let user = settings
        .username()
        .filter(|_| settings.password().is_some());
    let user = user.unwrap_or("default").to_owned();
    (settings, user)
}

/// Chooses the error to report of all addresses of a server: a final one, or else an answer of a
/// server, or else the first.
fn most_informative(errors: Vec<ConnectError>) -> Option<ConnectError> {
    errors.into_iter().min_by_key(|error| match error {
        error if error.is_final() => 0,
        ConnectError::Io { .. } => 2,
        _ => 1,
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io;

    use socket2::{Domain, Socket, Type};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;
    use crate::error::report;
    use crate::redis_error::words;

    fn access(url: &str) -> Access {
        let info = redis::IntoConnectionInfo::into_connection_info(url).unwrap();
        Access::new(info.redis_settings(), None, Permissions::of_sentinel())
    }

    #[test]
    fn debug_output_has_no_secret() {
        let access = access("redis://u:hush-hush@h");
        assert!(!format!("{access:?}").contains("hush"));
    }

    #[test]
    fn a_user_without_a_password_is_not_named_in_a_hint() {
        let info = redis::IntoConnectionInfo::into_connection_info("redis://hush@h").unwrap();
        let access = Access::new(info.redis_settings(), None, Permissions::of_sentinel());
        assert_eq!(access.needs.user, "default");
    }

    #[test]
    fn only_the_default_user_sends_the_library_name() {
        for (url, says) in [
            ("redis://h", true),
            ("redis://:hush-hush@h", true),
            ("redis://default:hush-hush@h", true),
            ("redis://shop:hush-hush@h", false),
        ] {
            assert_eq!(access(url).names_library(), says, "{url}");
        }
    }

    #[test]
    fn an_error_that_only_a_cluster_gives_names_the_cluster() {
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

    /// A server that reports this role.
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

    /// A socket that neither accepts nor rejects connections, as a host without power: its backlog is
    /// full.
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
        let endpoints = addresses.iter().copied().map(Endpoint::Tcp).collect();
        let at = ConnectionAddr::Tcp("h".to_owned(), 6_379);
        access.open_first(endpoints, &at, "connecting").await
    }

    #[tokio::test]
    async fn a_name_whose_first_address_accepts_no_connection_is_reached() {
        let ((silent, _held), master) = (black_hole(), server("master").await);
        let began = Instant::now();
        let line = open(&[silent, master]).await.unwrap();
        assert_eq!(line.peer, Some(master));
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_of_credentials_that_hangs_has_the_time_of_a_step() {
        let source = CredentialSource::new(pending::<Result<_, io::Error>>);
        let access = access("redis://h").with_credentials(Some(source));
        let at = ConnectionAddr::Tcp("h".to_owned(), 6_379);
        let began = Instant::now();
        let opened = access.open(&at, None, "connecting").await;
        assert_eq!(
            report(&opened.err().unwrap()).to_string(),
            "asking for the credentials: timed out"
        );
        assert_eq!(began.elapsed().as_secs(), STEP.as_secs());
    }

    #[tokio::test]
    async fn a_name_whose_first_address_never_answers_is_reached() {
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mute_address, master) = (mute.local_addr().unwrap(), server("master").await);
        let line = open(&[mute_address, master]).await.unwrap();
        assert_eq!(line.peer, Some(master));
    }

    #[tokio::test]
    async fn the_address_of_the_master_is_chosen_among_those_of_a_name() {
        let (replica, master) = (server("slave").await, server("master").await);
        assert_eq!(open(&[replica, master]).await.unwrap().peer, Some(master));
        let error = open(&[replica]).await.err().unwrap();
        assert!(matches!(error, ConnectError::Role { .. }), "{error:?}");
    }

    async fn open_sentinel(addresses: &[SocketAddr]) -> Result<RedisConnection, ConnectError> {
        let access = access("redis://h").of_sentinels(&"shop".into(), STEP);
        let endpoints = addresses.iter().copied().map(Endpoint::Tcp).collect();
        let at = ConnectionAddr::Tcp("h".to_owned(), 26_379);
        access.open_first(endpoints, &at, "connecting").await
    }

    #[tokio::test]
    async fn the_address_of_a_sentinel_that_knows_the_master_is_chosen_among_those_of_a_name() {
        let (redis, sentinel) = (server("master").await, server("sentinel of shop").await);
        let other = server("sentinel of another").await;
        let line = open_sentinel(&[redis, other, sentinel]).await.unwrap();
        assert_eq!(line.peer, Some(sentinel));
        for (address, cure) in [(redis, "it is not a sentinel"), (other, "check the name")] {
            let error = open_sentinel(&[address]).await.err().unwrap();
            assert!(error.is_final(), "{error:?}");
            assert!(error.to_string().contains(cure), "{error}");
        }
    }

    #[test]
    fn the_most_informative_error_is_reported() {
        let timed_out = || ConnectError::timed_out("connecting");
        let says = |words: &str, is_final| ConnectError::Redis {
            doing: "connecting",
            words: words.to_owned(),
            cure: None,
            is_final,
        };
        let reported = |errors| most_informative(errors).unwrap().to_string();
        let said = reported(vec![timed_out(), says("LOADING", false), timed_out()]);
        assert!(said.contains("LOADING"), "{said}");
        let said = reported(vec![says("LOADING", false), says("WRONGPASS", true)]);
        assert!(said.contains("WRONGPASS"), "{said}");
        assert!(most_informative(Vec::new()).is_none());
    }
}
