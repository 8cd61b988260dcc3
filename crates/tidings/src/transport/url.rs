//! From an address to a transport: decided once, at the start.

use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::Transport;
use super::memory::Memory;
use super::standalone::Standalone;
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
        "memory" => Ok(Arc::new(Memory {
            name: rest.to_owned(),
            channel,
        })),
        // What was meant to be secret must not be sent in the open.
        "redis" | "valkey" if tls.is_some() => Err(UrlError::Malformed {
            reason: "settings for TLS were given, and it asks for none: write `rediss:`".to_owned(),
        }),
        "redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix" => redis(url, None, channel),
        "rediss" | "valkeys" => {
            let (url, tls) = Tls::take_from(url, tls)?;
            redis(&url, Some(tls), channel)
        }
        _ if scheme.contains("sentinel") => Err(UrlError::Unsupported { what: "Sentinel" }),
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
    let scheme = if tls.is_some() { "rediss" } else { "redis" };
    let address = match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("{scheme}://{host}:{port}"),
        ConnectionAddr::Unix(path) => format!("unix://{}", path.display()),
        _ => {
            let what = "this kind of address";
            return Err(UrlError::Unsupported { what });
        }
    };
    Ok(Arc::new(Standalone::new(address, &info, tls, channel)))
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
            ("redis://[::1]:7000", "redis://::1:7000"),
            (
                "unix:///run/redis.sock?db=1&user=a&pass=b",
                "unix:///run/redis.sock",
            ),
            ("redis+unix:///run/redis.sock", "unix:///run/redis.sock"),
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
                "`http:` is not one of redis:, rediss:, unix:, redis+unix:, memory:",
            ),
            (
                "localhost:7000",
                "`localhost:` is not one of redis:, rediss:, unix:, redis+unix:, memory:; write `redis://localhost:7000`",
            ),
            (
                "redis-cluster://a",
                "Redis Cluster is not supported by this version",
            ),
            (
                "redis+sentinel://a,b/mymaster",
                "Sentinel is not supported by this version",
            ),
            (
                "redis+cluster://a,b",
                "Redis Cluster is not supported by this version",
            ),
        ] {
            assert_eq!(address(url), Err(error.to_owned()), "{url}");
        }
        assert!(address("redis://localhost/not-a-number").is_err());
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
