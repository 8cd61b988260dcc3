//! Parses addresses. No error quotes any of it: a misplaced part may belong to a password.

mod parts;

use std::fmt;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, RedisConnectionInfo};

use crate::error::connect::UrlError;
use crate::namespace::channel::PubSub;
pub(crate) use crate::transport::address::parts::Place;
use crate::transport::address::parts::{
    ENCODED, Parts, database, end, login, options, place, plain, secured,
};
use crate::transport::scheme::{Kind, Scheme};
use crate::transport::tls::Tls;

/// The default port of a server.
const SERVER: u16 = 6_379;

/// The default port of a sentinel.
const SENTINEL: u16 = 26_379;

/// A parsed address. `Display` shows neither its login nor its options.
#[derive(Debug)]
pub(crate) enum Address {
    Memory(String),
    /// At a host, or behind a socket.
    Server {
        at: ConnectionAddr,
        login: RedisConnectionInfo,
        tls: Option<Tls>,
    },
    Sentinels {
        sentinels: Vec<Place>,
        master: String,
        /// The login on the servers.
        login: RedisConnectionInfo,
        /// The login on the sentinels.
        sentinel_login: RedisConnectionInfo,
        tls: Option<Tls>,
    },
    Cluster {
        /// Some of its nodes; they name the others.
        nodes: Vec<Place>,
        pubsub: PubSub,
        login: RedisConnectionInfo,
        tls: Option<Tls>,
    },
}

/// The settings of the builder that complete the address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given<'a> {
    pub(crate) tls: Option<&'a Tls>,
    /// The password comes from elsewhere.
    pub(crate) has_credentials: bool,
}

impl Address {
    /// Parses an address, ignoring white space around it: secrets and files often end with a newline.
    pub(crate) fn parse(text: &str, given: Given<'_>) -> Result<Self, UrlError> {
        let text = trimmed(text);
        let (scheme, rest) = Scheme::take_from(text)?;
        if given.tls.is_some() && scheme.is_open() {
            // Secrets must not be sent unencrypted.
            let reason = "TLS options are given, but the address is without TLS";
            return Err(UrlError::Malformed {
                reason: format!(
                    "{reason}: write `rediss:`, `rediss+sentinel:` or `rediss+cluster:`"
                ),
            });
        }
        if text.contains(char::is_control) {
            return Err(scheme.malformed("a line break or another control character is in it"));
        }
        match scheme.kind {
            Kind::Memory => memory(scheme, rest),
            Kind::Server => server(scheme, rest, given),
            Kind::Socket => socket(scheme, rest, given),
            Kind::Sentinels => sentinels(scheme, rest, given),
            Kind::Cluster => cluster(scheme, rest, given),
        }
    }

    /// Returns true if a connection to it is encrypted.
    pub(crate) fn wants_tls(&self) -> bool {
        matches!(
            self,
            Self::Server { tls: Some(_), .. }
                | Self::Sentinels { tls: Some(_), .. }
                | Self::Cluster { tls: Some(_), .. }
        )
    }

    /// The address without secrets, for errors and logs: only its scheme if it cannot be parsed.
    pub(crate) fn shown(text: &str) -> String {
        match (
            Self::parse(text, Given::default()),
            Scheme::take_from(trimmed(text)),
        ) {
            (Ok(address), _) => address.to_string(),
            (Err(_), Ok((scheme, rest))) => scheme.shown(rest),
            (Err(_), Err(_)) => "…".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = |tls: &Option<Tls>| if tls.is_some() { "rediss" } else { "redis" };
        match self {
            Self::Memory(name) => write!(f, "memory:{name}"),
            Self::Server { at, tls, .. } => f.write_str(&shown_url(scheme(tls), at)),
            Self::Sentinels {
                sentinels,
                master,
                tls,
                ..
            } => {
                let sentinels = listed(sentinels);
                write!(f, "{}+sentinel://{sentinels}/{master}", scheme(tls))
            }
            Self::Cluster {
                nodes, pubsub, tls, ..
            } => {
                write!(f, "{}+cluster://{}", scheme(tls), listed(nodes))?;
                match pubsub {
                    PubSub::Classic => Ok(()),
                    PubSub::Sharded => f.write_str("/?pubsub=sharded"),
                }
            }
        }
    }
}

fn listed(places: &[Place]) -> String {
    let places: Vec<_> = places.iter().map(shown).collect();
    places.join(",")
}

/// Formats a host and a port.
pub(crate) fn shown((host, port): &Place) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Formats the address of a server with its scheme.
pub(crate) fn shown_url(scheme: &str, at: &ConnectionAddr) -> String {
    match at {
        ConnectionAddr::Unix(path) => format!("unix://{}", path.display()),
        at => format!("{scheme}://{}", shown_address(at)),
    }
}

/// Formats the address of a server.
pub(crate) fn shown_address(at: &ConnectionAddr) -> String {
    match at {
        ConnectionAddr::Tcp(host, port) => shown(&(host.clone(), *port)),
        other => other.to_string(),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}')
}

fn memory(scheme: Scheme, name: &str) -> Result<Address, UrlError> {
    if name.is_empty() {
        return Err(scheme.malformed("it has no name"));
    }
    // Encoded ones too: a whole address may have been encoded again.
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    if decoded.contains(['@', '=']) {
        return Err(scheme.malformed("its name has an `@` or a `=`"));
    }
    Ok(Address::Memory(name.to_owned()))
}

fn server(scheme: Scheme, rest: &str, given: Given<'_>) -> Result<Address, UrlError> {
    let malformed = |reason: String| scheme.malformed(&reason);
    let parts = Parts::of(rest).map_err(malformed)?;
    // Most likely it belongs to a password, not to an option.
    if parts.query.contains('@') {
        return Err(malformed(ENCODED.to_owned()));
    }
    let at = place(parts.hosts, SERVER).map_err(|wrong| malformed(format!("it has {wrong}")))?;
    let mut options = parts.options().map_err(malformed)?;
    let in_path = match parts.path.trim_matches('/') {
        "" => None,
        number => Some(database(number).map_err(malformed)?),
    };
    let tls = secured(scheme, given.tls, &mut options)?;
    let as_option = options.take("db").map(|number| database(&number));
    let number = match (in_path, as_option.transpose().map_err(malformed)?) {
        (Some(one), Some(other)) if one != other => {
            let reason = "its path and the option `db` name different databases";
            return Err(malformed(reason.to_owned()));
        }
        (number, other) => number.or(other).unwrap_or(0),
    };
    let login = parts
        .login(given.has_credentials)
        .map_err(malformed)?
        .set_db(number);
    end(options).map_err(malformed)?;
    let at = address_of(&at);
    Ok(Address::Server { at, login, tls })
}

fn socket(scheme: Scheme, rest: &str, given: Given<'_>) -> Result<Address, UrlError> {
    let malformed = |reason: String| scheme.malformed(&reason);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return Err(malformed("its path does not begin with a `/`".to_owned()));
    }
    if rest.contains('#') {
        return Err(malformed(ENCODED.to_owned()));
    }
    let at = ConnectionAddr::Unix(plain(path, &['/']).map_err(malformed)?.into());
    let mut options = options(query).map_err(malformed)?;
    let (user, password) = (options.take("user"), options.take("pass"));
    let number = options.take("db").map_or(Ok(0), |number| database(&number));
    let login = login(
        user.unwrap_or_default(),
        password.unwrap_or_default(),
        given.has_credentials,
    );
    let login = login.and_then(|login| Ok(login.set_db(number?)));
    let login = login.map_err(malformed)?;
    end(options).map_err(malformed)?;
    let tls = None;
    Ok(Address::Server { at, login, tls })
}

fn sentinels(scheme: Scheme, rest: &str, given: Given<'_>) -> Result<Address, UrlError> {
    let malformed = |reason: String| scheme.malformed(&reason);
    let parts = Parts::of(rest).map_err(malformed)?;
    let master = parts.path.strip_prefix('/').unwrap_or_default();
    if master.is_empty() {
        let is_password = parts.query.contains('@');
        let reason = if is_password {
            ENCODED
        } else {
            "it does not name the master"
        };
        return Err(malformed(reason.to_owned()));
    }
    if master.contains('/') {
        let reason = "its path is more than the name of the master (a database is the option `db`)";
        return Err(malformed(reason.to_owned()));
    }
    let sentinels = parts.places("sentinel", SENTINEL).map_err(malformed)?;
    let master = plain(master, &[]).map_err(malformed)?;
    let mut options = parts.options().map_err(malformed)?;
    let tls = secured(scheme, given.tls, &mut options)?;
    let number = options.take("db").map_or(Ok(0), |number| database(&number));
    let own = (
        options.take("sentinel_user").unwrap_or_default(),
        options.take("sentinel_password").unwrap_or_default(),
    );
    let login_of_servers = parts.login(given.has_credentials).map_err(malformed)?;
    end(options).map_err(malformed)?;
    Ok(Address::Sentinels {
        sentinels,
        master,
        login: login_of_servers.set_db(number.map_err(malformed)?),
        sentinel_login: login(own.0, own.1, false).map_err(malformed)?,
        tls,
    })
}

fn cluster(scheme: Scheme, rest: &str, given: Given<'_>) -> Result<Address, UrlError> {
    let malformed = |reason: String| scheme.malformed(&reason);
    let parts = Parts::of(rest).map_err(malformed)?;
    // Most likely it belongs to a password, not to an option.
    if parts.query.contains('@') {
        return Err(malformed(ENCODED.to_owned()));
    }
    let nodes = parts.places("node", SERVER).map_err(malformed)?;
    let mut options = parts.options().map_err(malformed)?;
    let tls = secured(scheme, given.tls, &mut options)?;
    let in_path = parts.path.trim_matches('/');
    let in_path = (!in_path.is_empty()).then(|| in_path.to_owned());
    for number in [in_path, options.take("db")].into_iter().flatten() {
        if database(&number).map_err(malformed)? != 0 {
            let reason = "a Redis Cluster has only database 0";
            return Err(malformed(reason.to_owned()));
        }
    }
    let pubsub = options.take("pubsub").map_or(Ok(PubSub::Classic), |kind| {
        let unknown = "the option `pubsub` can only be `classic` or `sharded`";
        PubSub::parse(&kind).ok_or_else(|| malformed(unknown.to_owned()))
    });
    let login = parts.login(given.has_credentials).map_err(malformed)?;
    end(options).map_err(malformed)?;
    Ok(Address::Cluster {
        nodes,
        pubsub: pubsub?,
        login,
        tls,
    })
}

pub(crate) fn address_of((host, port): &Place) -> ConnectionAddr {
    ConnectionAddr::Tcp(host.clone(), *port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (text, expected) in [
            ("memory:shop", "memory:shop"),
            (" memory:shop\n", "memory:shop"),
            ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
            ("valkey://127.0.0.1/", "redis://127.0.0.1:6379"),
            ("REDIS://127.0.0.1/0/", "redis://127.0.0.1:6379"),
            (
                "redis://user:hush-hush@redis.example:7000/3",
                "redis://redis.example:7000",
            ),
            ("redis://:hush@hush-hush@host", "redis://host:6379"),
            ("redis://:hush-hush@host?db=3", "redis://host:6379"),
            ("redis://:hush%23hush@my_host-1", "redis://my_host-1:6379"),
            ("redis://[::1]:7000", "redis://[::1]:7000"),
            ("redis://[::1]?protocol=resp3", "redis://[::1]:6379"),
            (
                "unix:///run/redis.sock?db=1&user=a&pass=hush-hush",
                "unix:///run/redis.sock",
            ),
            ("unix:/run/my%20redis", "unix:///run/my redis"),
            ("redis+unix:///run/redis.sock", "unix:///run/redis.sock"),
            (
                "redis+sentinel://a,b:7000,[::1]:7001,[::2]/mymaster",
                "redis+sentinel://a:26379,b:7000,[::1]:7001,[::2]:26379/mymaster",
            ),
            ("redis+cluster://a", "redis+cluster://a:6379"),
            (
                "valkey+cluster://:hush-hush@a,b:7000,[::1]/?pubsub=classic",
                "redis+cluster://a:6379,b:7000,[::1]:6379",
            ),
            (
                "redis-cluster://user:hush-hush@a/0?pubsub=sharded",
                "redis+cluster://a:6379/?pubsub=sharded",
            ),
            #[cfg(feature = "tls")]
            ("valkeys+cluster://a?ca=/ca.pem", "rediss+cluster://a:6379"),
            (
                "redis+sentinel://user:hush-hush@a/shop%20one?db=3&sentinel_user=s&sentinel_password=hush@hush",
                "redis+sentinel://a:26379/shop one",
            ),
            #[cfg(feature = "tls")]
            (
                "rediss+sentinel://a/m?ca=/ca.pem",
                "rediss+sentinel://a:26379/m",
            ),
            #[cfg(feature = "tls")]
            ("valkeys://h:7000?ca=/ca.pem", "rediss://h:7000"),
        ] {
            let address = Address::parse(text, Given::default()).map(|address| address.to_string());
            assert_eq!(address.ok().as_deref(), Some(expected), "{text}");
            assert_eq!(Address::shown(text), expected);
        }
    }

    #[test]
    fn user_password_and_database_are_decoded() {
        for (text, user, password, database) in [
            (
                "redis://u:p%23%2F%3F%40%25@h/3",
                Some("u"),
                Some("p#/?@%"),
                3,
            ),
            ("redis://:p@s:s@h?db=3", None, Some("p@s:s"), 3),
            ("redis://:a b+c@h", None, Some("a b+c"), 0),
            ("redis://default@h", Some("default"), None, 0),
            ("redis://:@h", None, None, 0),
            ("redis+sentinel://u:p%26@h/m?db=3", Some("u"), Some("p&"), 3),
            ("unix:///s?db=3&user=u&pass=p%26", Some("u"), Some("p&"), 3),
        ] {
            let address = Address::parse(text, Given::default()).unwrap();
            let (Address::Server { login, .. } | Address::Sentinels { login, .. }) = address else {
                panic!("{text}");
            };
            let parsed = (login.username(), login.password(), login.db());
            assert_eq!(parsed, (user, password, database), "{text}");
        }
    }

    #[test]
    fn the_error_of_a_bad_address_says_what_is_wrong() {
        let error = |text| {
            Address::parse(text, Given::default())
                .unwrap_err()
                .to_string()
        };
        for (text, reason) in [
            ("localhost", "write `redis://host:port`"),
            ("localhost:7000", "write `redis://host:port`"),
            (
                "http://localhost",
                "it does not begin with one of redis://, rediss://",
            ),
            ("\"redis://localhost\"", "remove the quotation marks"),
            ("export X=redis://h", "write the address alone"),
            (
                "h:6380,password=hush-hush,ssl=True",
                "is written `rediss://:password@host:6380`",
            ),
            ("", "it is empty"),
            ("memory:", "it has no name: write `memory:name`"),
            ("redis+cluster://a/3", "a Redis Cluster has only database 0"),
            (
                "redis+cluster://a,b?pubsub=hush-hush",
                "the option `pubsub` can only be `classic` or `sharded`",
            ),
            ("redis:localhost", "two slashes are missing"),
            ("redis://", "it has no host"),
            ("redis://h:x", "it has a port that is not a number"),
            ("redis://h:1:2", "it has a port that is not a number"),
            ("redis://h,i", "it has a host with an invalid character"),
            ("redis://[::1", "it has a `[` without its `]`"),
            ("redis://[h]", "not an IPv6 address"),
            ("redis://[::1]x", "something else after a `]`"),
            ("redis://h/x", "the database is not a number"),
            ("redis://h/-1", "the database is not a number"),
            ("redis://h?db=", "the database is not a number"),
            ("redis://h/1?db=2", "the option `db`"),
            ("redis://h?timeout=1", "the option `timeout` is unknown"),
            ("redis://h?colour=1", "it has an unknown option"),
            (
                "redis://h?protocol=2",
                "the option `protocol` can only be `resp3`",
            ),
            ("redis://:%ff@h", "is not UTF-8"),
            ("redis://:a#b@h", "`#` is written as `%23`"),
            ("rediss://h#insecure", "certificates are always checked"),
            ("redis://u:1?a@h", "`?` as `%3F`"),
            ("redis://u:1/a@h", "`/` as `%2F`"),
            ("redis://:a\nb@h", "a line break"),
            ("unix://host/path", "its path does not begin with a `/`"),
            ("unix:///a:b", "a character in its path is not encoded"),
            ("unix:///a%0Ab", "a control character is in its path"),
            ("redis+sentinel://a,b", "it does not name the master"),
            ("redis+sentinel://a,/m", "sentinel 2 has no host"),
            (
                "redis+sentinel://a:x/m",
                "sentinel 1 has a port that is not a number",
            ),
            (
                "redis+sentinel://[::1/m",
                "sentinel 1 has a `[` without its `]`",
            ),
            ("redis+sentinel://a/m/3", "a database is the option `db`"),
            (
                "redis+sentinel://u:hush-hush@a,u:hush-hush@b/m",
                "hosts have logins of their own",
            ),
            ("redis+sentinel://a/m%3Fdb%3D3", "that separates options"),
            ("unix:///s%3Fdb%3D3", "that separates options"),
            ("memory:m%3Fdb%3D3", "its name has an `@` or a `=`"),
            ("redis://hush-hush@h", "a user and no password"),
            ("redis://hush-hush:@h", "a user and no password"),
            ("unix:///s?user=hush-hush", "a user and no password"),
            (
                "redis+sentinel://a/m?sentinel_user=hush-hush",
                "a user and no password",
            ),
            ("redis://h:65536", "a port that is not a number up to 65535"),
            ("/run/redis.sock", "write `unix:///path`"),
            (
                "redis-sentinel://a/0#m",
                "write `redis+sentinel://host:port,host:port/master`",
            ),
            ("redis+sentinel://a/m?db=x", "the database is not a number"),
            ("redis+sentinel://a/m?colour=1", "it has an unknown option"),
        ] {
            assert!(error(text).contains(reason), "{text}: {}", error(text));
        }
        let error = error("redis+sentinel://a");
        let write = ": write `redis+sentinel://user:password@host:port,host:port/master`";
        assert!(error.ends_with(write), "{error}");
    }

    #[test]
    fn an_address_that_cannot_be_parsed_is_shown_as_its_scheme() {
        for (text, shown) in [
            ("redis://hush-hush:x/3", "redis://…"),
            ("Redis+Sentinel://hush-hush/", "redis+sentinel://…"),
            ("redis:hush-hush@host", "…"),
            ("hush-hush@host", "…"),
            ("http://hush-hush@host", "…"),
            ("memory:hush-hush@host", "memory:…"),
            ("memory:h:6380,password=hush-hush", "memory:…"),
            ("unix:///run/redis.sock,password=hush-hush", "unix://…"),
            (
                "redis+sentinel://h/m,password=hush-hush",
                "redis+sentinel://…",
            ),
            ("redis://h:6380,password=hush-hush", "redis://…"),
            ("h:6380,password=hush-hush", "…"),
            ("host=h;password=hush-hush", "…"),
            ("memory:", "memory:"),
            ("redis://", "redis://"),
        ] {
            assert_eq!(Address::shown(text), shown, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_error_quotes_the_address(
            before in "(redis:|rediss:|unix:|redis\\+sentinel:|memory:|http:|)(//|/|)[a-z0-9:@/?#&=,;.%\\[\\] ]{0,12}",
            after in "[a-z0-9:@/?#&=,;.%\\[\\] ]{0,12}",
        ) {
            let text = format!("{before}HUSH-HUSH{after}");
            if let Err(error) = Address::parse(&text, Given::default()) {
                let printed = format!("{error} {error:?}");
                proptest::prop_assert!(!printed.contains("HUSH"));
                proptest::prop_assert!(!Address::shown(&text).contains("HUSH"));
            }
        }

        #[test]
        fn text_before_the_last_at_sign_is_never_shown(
            secret in "[a-z:@/?#&=,;.%\\[\\] ]{0,12}HUSH-HUSH[a-z:@/?#&=,;.%\\[\\] ]{0,12}",
            scheme in "redis|rediss|unix|redis\\+sentinel|memory",
        ) {
            let text = format!("{scheme}://{secret}@host:7000/3");
            proptest::prop_assert!(!Address::shown(&text).contains("HUSH"), "{}", text);
        }
    }
}
