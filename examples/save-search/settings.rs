//! The settings, from environment variables.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

const A_DAY: Duration = Duration::from_hours(24);

pub(crate) struct Settings {
    /// The address of Redis.
    pub(crate) url: String,
    /// The address to listen on.
    pub(crate) bind: SocketAddr,
    /// The name of this instance.
    pub(crate) instance: String,
    /// The time for which a value is kept.
    pub(crate) ttl: Duration,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, Box<dyn Error>> {
        let variable = |name| env::var(name).ok();
        let url = url(variable("TIDINGS_URL"), variable("REDIS_CLUSTER_URLS"))?;
        let bind = variable("BIND").unwrap_or_else(|| "127.0.0.1:4000".to_owned());
        let ttl = variable("TTL").map(|seconds| seconds.parse());
        Ok(Self {
            url,
            bind: bind
                .parse()
                .map_err(|_| format!("BIND is no address and port: {bind:?}"))?,
            instance: variable("INSTANCE").unwrap_or_else(|| std::process::id().to_string()),
            ttl: match ttl {
                Some(seconds) => {
                    Duration::from_secs(seconds.map_err(|_| "TTL is no number of seconds")?)
                }
                None => A_DAY,
            },
        })
    }
}

/// Chooses the address of Redis. A variable that is set and empty is an error: the service would
/// start, and share its values with nobody.
fn url(url: Option<String>, nodes: Option<String>) -> Result<String, String> {
    match (url, nodes) {
        (Some(_), Some(_)) => Err("set TIDINGS_URL or REDIS_CLUSTER_URLS, not both".to_owned()),
        (Some(url), None) if url.trim().is_empty() => {
            Err("TIDINGS_URL is empty: write an address such as redis://127.0.0.1".to_owned())
        }
        (Some(url), None) => Ok(url),
        (None, Some(nodes)) => cluster_url(&nodes),
        (None, None) => Ok("memory:save-search".to_owned()),
    }
}

/// Makes an address of a list such as `10.0.0.1:6379,10.0.0.2:6379`.
fn cluster_url(nodes: &str) -> Result<String, String> {
    let nodes: Vec<_> = nodes.split(',').map(str::trim).collect();
    for node in &nodes {
        let port = node.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(format!("REDIS_CLUSTER_URLS: {node:?} is not host:port"));
        }
    }
    Ok(format!("redis+cluster://{}", nodes.join(",")))
}
