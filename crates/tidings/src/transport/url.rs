//! From an address to a transport: decided once, at the start.

use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::Transport;
use super::memory::Memory;
use super::sentinel;
use super::server::Server;
use super::topology::{Found, Standalone, Topology};
use crate::error::UrlError;
use crate::keys::Namespace;
use crate::tls::Tls;

/// The environment variable that [`Bus::start`](crate::Bus::start) reads.
pub(crate) const VARIABLE: &str = "TIDINGS_URL";

/// Where Redis is when nobody says otherwise.
pub(crate) const DEFAULT: &str = "redis://127.0.0.1:6379";

/// Finds the transport that an address names.
pub(crate) fn parse(
    url: &str,
    tls: Option<&Tls>,
    namespace: &Namespace,
) -> Result<Arc<dyn Transport>, UrlError> {
    let channel = namespace.channel();
    let (scheme, rest) = url.split_once(':').ok_or_else(|| UrlError::Malformed {
        reason: "it has no scheme, such as `redis://`".to_owned(),
    })?;
    match scheme {
        "memory" if rest.is_empty() => Err(UrlError::Malformed {
            reason: "it has no name: write `memory:name`".to_owned(),
        }),
        "memory" => Ok(Arc::new(Memory::new(rest, &channel))),
        // What was meant to be secret must not be sent in the open.
        "redis" | "valkey" | "redis+sentinel" | "valkey+sentinel" if tls.is_some() => {
            let reason = "settings for TLS were given, and it asks for none";
            Err(UrlError::Malformed {
                reason: format!("{reason}: write `rediss:` or `rediss+sentinel:`"),
            })
        }
        "redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix" => redis(url, None, channel),
        "rediss" | "valkeys" => {
            let (url, tls) = Tls::take_from(url, tls)?;
            redis(&url, Some(tls), channel)
        }
        "redis+sentinel" | "valkey+sentinel" | "rediss+sentinel" | "valkeys+sentinel" => {
            let is_secure = scheme.starts_with("rediss") || scheme.starts_with("valkeys");
            let (sentinel, server) = sentinel::parse(rest, is_secure, tls, channel)?;
            Ok(found(sentinel, server))
        }
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

fn redis(url: &str, tls: Option<Tls>, channel: String) -> Result<Arc<dyn Transport>, UrlError> {
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
        let what = "this kind of address";
        return Err(UrlError::Unsupported { what });
    }
    let server = Server::new(info.redis_settings(), tls, channel);
    let topology = Standalone {
        at: info.addr().clone(),
        address: server.shown(info.addr()),
    };
    Ok(found(topology, server))
}

fn found(topology: impl Topology + 'static, server: Server) -> Arc<dyn Transport> {
    Arc::new(Found {
        topology: Arc::new(topology),
        server,
    })
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
    let (login, place) = match before.rsplit_once('@') {
        Some((_, place)) => ("…@", place),
        None => ("", before),
    };
    let (hosts, _) = place.split_once('/').unwrap_or((place, ""));
    if hosts.split(',').any(has_odd_port) {
        return format!("{scheme}://…");
    }
    format!("{scheme}://{login}{place}{query}")
}

/// A host was forgotten where this is in the place of a port: it may be a password.
fn has_odd_port(host: &str) -> bool {
    // The colons of an IPv6 address are in brackets.
    let (_, after) = host.split_once(']').unwrap_or(("", host));
    let port = after.split_once(':').map(|(_, port)| port.parse::<u16>());
    port.is_some_and(|port| port.is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<String, String> {
        let namespace = Namespace::parse("shop").unwrap();
        parse(url, None, &namespace)
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
            #[cfg(feature = "tls")]
            (
                "rediss+sentinel://a/m?ca=/ca.pem",
                "rediss+sentinel://a:26379/m",
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
                "`http:` is not one of redis:, rediss:, unix:, redis+unix:, redis+sentinel:, \
                 rediss+sentinel:, memory:",
            ),
            (
                "localhost:7000",
                "`localhost:` is not one of redis:, rediss:, unix:, redis+unix:, redis+sentinel:, \
                 rediss+sentinel:, memory:; write `redis://localhost:7000`",
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
            ("redis+sentinel://a,/m", "sentinel 2 has no host"),
            (
                "redis+sentinel://a:x/m",
                "sentinel 1 has a port that is not a number",
            ),
            (
                "redis+sentinel://[::1/m",
                "sentinel 1 has a `[` without its `]`",
            ),
            ("redis+sentinel://a/m?db=x", "the database is not a number"),
            (
                "redis+sentinel://a/m?colour=1",
                "it has an option that is not known (an `&` in a password is written as `%26`)",
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
            ("redis://[::1]:7000/3", "redis://[::1]:7000/3"),
            ("redis://host/shop:staging", "redis://host/shop:staging"),
            (
                "redis+sentinel://a:1,[::1]:2,c/m",
                "redis+sentinel://a:1,[::1]:2,c/m",
            ),
            ("redis+sentinel://shop:secret/m", "redis+sentinel://…"),
            ("redis+sentinel://a:1,shop:sec,ret/m", "redis+sentinel://…"),
            ("redis+sentinel://u@a:1,b:secret/m", "redis+sentinel://…"),
            ("redis://shop:sec/ret", "redis://…"),
            ("memory:name", "memory:name"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
