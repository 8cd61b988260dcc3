//! From an address to a transport: decided once, at the start.

use std::sync::{Arc, OnceLock};

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use super::Transport;
use super::connection::Access;
use super::memory::Memory;
use super::sentinel::{Place, Sentinel};
use super::server::Server;
use super::topology::{Found, Standalone, Topology};
use crate::error::UrlError;
use crate::keys::Namespace;

/// The environment variable that [`Bus::start`](crate::Bus::start) reads.
pub(crate) const VARIABLE: &str = "TIDINGS_URL";

/// Where Redis is when nobody says otherwise.
pub(crate) const DEFAULT: &str = "redis://127.0.0.1:6379";

/// Where a sentinel is when only its host is given.
const SENTINEL_PORT: u16 = 26_379;

/// Finds the transport that an address names.
pub(crate) fn parse(url: &str, namespace: &Namespace) -> Result<Arc<dyn Transport>, UrlError> {
    let channel = namespace.channel();
    let (scheme, rest) = url.split_once(':').ok_or_else(|| UrlError::Malformed {
        reason: "it has no scheme, such as `redis://`".to_owned(),
    })?;
    match scheme {
        "memory" if rest.is_empty() => Err(UrlError::Malformed {
            reason: "it has no name: write `memory:name`".to_owned(),
        }),
        "memory" => Ok(Arc::new(Memory {
            name: rest.to_owned(),
            channel,
        })),
        "redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix" => redis(url, channel),
        "rediss" | "valkeys" => Err(UrlError::Unsupported { what: "TLS" }),
        "redis+sentinel" | "redis-sentinel" | "valkey+sentinel" => sentinel(rest, channel),
        _ if scheme.contains("cluster") => Err(UrlError::Unsupported {
            what: "Redis Cluster",
        }),
        _ => Err(UrlError::Scheme {
            scheme: scheme.to_owned(),
            // Most often what is missing is the scheme.
            hint: rest
                .parse::<u16>()
                .is_ok()
                .then(|| format!("redis://{url}")),
        }),
    }
}

fn redis(url: &str, channel: String) -> Result<Arc<dyn Transport>, UrlError> {
    let info = url.into_connection_info().map_err(|error| {
        let reason = error.detail().unwrap_or("it cannot be taken apart");
        let one = "one `redis://user:password@host:port/database` or `unix:///path`";
        UrlError::Malformed {
            reason: format!("{reason}: write {one}"),
        }
    })?;
    if !matches!(
        info.addr(),
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_)
    ) {
        return Err(UrlError::Unsupported { what: "TLS" });
    }
    let topology = Standalone {
        at: info.addr().clone(),
    };
    Ok(found(topology, Server::new(info.redis_settings(), channel)))
}

fn found(topology: impl Topology + 'static, server: Server) -> Arc<dyn Transport> {
    Arc::new(Found {
        topology: Arc::new(topology),
        server,
    })
}

/// What follows `redis+sentinel:`.
fn sentinel(rest: &str, channel: String) -> Result<Arc<dyn Transport>, UrlError> {
    let malformed = |reason: String| {
        let one = "one `redis+sentinel://user:password@host:port,host:port/master`";
        let reason = format!("{reason}: write {one}");
        UrlError::Malformed { reason }
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (hosts, master) = rest.split_once('/').unwrap_or((rest, ""));
    if master.is_empty() {
        return Err(malformed("it does not name the master".to_owned()));
    }
    let sentinels: Result<Vec<Place>, String> = hosts.split(',').map(place).collect();
    let sentinels = sentinels.map_err(malformed)?;

    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let servers = login(user, password);
    let (mut db, mut user, mut password) = (0, "", "");
    for option in query.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("db", number) => {
                let no_number = |_| malformed("the database is not a number".to_owned());
                db = number.parse().map_err(no_number)?;
            }
            ("sentinel_user", name) => user = name,
            ("sentinel_password", secret) => password = secret,
            (other, _) => return Err(malformed(format!("`{other}` is not an option of it"))),
        }
    }
    let server = Server::new(&servers.set_db(db), channel);
    let access = Access::new(&login(user, password), |settings| {
        let user = settings.username().unwrap_or("default");
        let rights = "+sentinel|master +sentinel|sentinels +sentinel|get-master-addr-by-name";
        format!("ACL SETUSER {user} {rights} +subscribe '&+switch-master', on each sentinel")
    });
    let topology = Sentinel {
        sentinels,
        master: decoded(master).into(),
        access,
        server: server.clone(),
        lookout: OnceLock::new(),
    };
    Ok(found(topology, server))
}

fn login(user: &str, password: &str) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default();
    if !user.is_empty() {
        settings = settings.set_username(decoded(user));
    }
    if !password.is_empty() {
        settings = settings.set_password(decoded(password));
    }
    settings
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn place(text: &str) -> Result<Place, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text
                .split_once(']')
                .ok_or_else(|| format!("`{text}` has no `]`"))?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("a sentinel has no host".to_owned());
    }
    let port = match port {
        Some(port) => port
            .parse()
            .map_err(|_| format!("the port `{port}` is not a number"))?,
        None => SENTINEL_PORT,
    };
    Ok((host.to_owned(), port))
}

/// The address without what is secret in it, for errors and logs.
pub(crate) fn redacted(url: &str) -> String {
    let is_secret = url.contains(['@', '?']);
    let Some((scheme, rest)) = url.split_once("://") else {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        return if is_secret {
            format!("{scheme}:…")
        } else {
            url.to_owned()
        };
    };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may have either character in it, and then nobody can say where it ends.
    if query.contains('@') {
        return format!("{scheme}://…");
    }
    let query = if rest.contains('?') { "?…" } else { "" };
    match before.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{query}"),
        None => format!("{scheme}://{before}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<String, String> {
        let namespace = Namespace::parse("shop").unwrap();
        parse(url, &namespace)
            .map(|found| found.address())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_address_finds_its_transport() {
        for (url, found) in [
            ("memory:shop", "memory:shop"),
            ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
            (
                "redis://user:secret@redis.example:7000/3",
                "redis://redis.example:7000",
            ),
            ("redis://[::1]:7000", "redis://[::1]:7000"),
            (
                "unix:///run/redis.sock?db=1&user=a&pass=b",
                "unix:///run/redis.sock",
            ),
            ("redis+unix:///run/redis.sock", "unix:///run/redis.sock"),
            (
                "redis+sentinel://a,b:7000,[::1]:7001,[::2]/mymaster",
                "redis+sentinel://a:26379,b:7000,[::1]:7001,[::2]:26379/mymaster",
            ),
            (
                "redis+sentinel://user:secret@a/shop%20one?db=3&sentinel_user=s&sentinel_password=t",
                "redis+sentinel://a:26379/shop one",
            ),
        ] {
            assert_eq!(address(url).as_deref(), Ok(found), "{url}");
        }
    }

    #[test]
    fn each_bad_address_is_explained() {
        for (url, error) in [
            ("localhost", "it has no scheme, such as `redis://`"),
            ("memory:", "it has no name: write `memory:name`"),
            (
                "http://localhost",
                "`http:` is not one of redis:, unix:, redis+unix:, memory:",
            ),
            ("rediss://localhost", "TLS is not supported by this version"),
            (
                "localhost:7000",
                "`localhost:` is not one of redis:, unix:, redis+unix:, memory:; write `redis://localhost:7000`",
            ),
            (
                "redis-cluster://a",
                "Redis Cluster is not supported by this version",
            ),
            (
                "redis+cluster://a,b",
                "Redis Cluster is not supported by this version",
            ),
        ] {
            assert_eq!(address(url), Err(error.to_owned()), "{url}");
        }
        assert!(address("redis://localhost/not-a-number").is_err());
        let write = "write one `redis+sentinel://user:password@host:port,host:port/master`";
        for (url, error) in [
            ("redis+sentinel://a,b", "it does not name the master"),
            ("redis+sentinel://a,/m", "a sentinel has no host"),
            ("redis+sentinel://a:x/m", "the port `x` is not a number"),
            ("redis+sentinel://[::1/m", "`::1` has no `]`"),
            ("redis+sentinel://a/m?db=x", "the database is not a number"),
            (
                "redis+sentinel://a/m?colour=1",
                "`colour` is not an option of it",
            ),
        ] {
            assert_eq!(address(url), Err(format!("{error}: {write}")), "{url}");
        }
    }

    #[test]
    fn no_secret_is_left_in_an_address() {
        for (url, shown) in [
            ("redis://user:secret@host:7000/3", "redis://…@host:7000/3"),
            ("redis://:p@ss@host", "redis://…@host"),
            ("redis://user:p?ss@host", "redis://…"),
            ("redis://user:p?a@ss@host", "redis://…"),
            ("redis:user:secret@host", "redis:…"),
            ("user:secret@host", "user:…"),
            (
                "unix:///run/redis.sock?pass=secret",
                "unix:///run/redis.sock?…",
            ),
            ("redis://host", "redis://host"),
            ("memory:name", "memory:name"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
