//! Takes an address of sentinels apart.

use std::sync::OnceLock;

use percent_encoding::percent_decode_str;
use redis::RedisConnectionInfo;

use super::{Place, Sentinel};
use crate::acl::Permissions;
use crate::error::UrlError;
use crate::tls::Tls;
use crate::transport::connection::Access;
use crate::transport::server::Server;

/// Where a sentinel is when only its host is given.
const PORT: u16 = 26_379;

/// An address, in its parts.
struct Parts<'a> {
    /// `user:password` on the servers.
    login: &'a str,
    hosts: &'a str,
    master: &'a str,
    options: Vec<(String, String)>,
}

/// Reads what follows `redis+sentinel:`, or `rediss+sentinel:` where it is to be TLS.
pub(crate) fn parse(
    rest: &str,
    is_secure: bool,
    given: Option<&Tls>,
    channel: String,
) -> Result<(Sentinel, Server), UrlError> {
    let Parts {
        login: own,
        hosts,
        master,
        options,
    } = take_apart(rest);
    if master.is_empty() {
        return Err(malformed("it does not name the master"));
    }
    let sentinels: Result<Vec<Place>, String> = hosts.split(',').map(place).collect();
    let sentinels = sentinels.map_err(|reason| malformed(&reason))?;
    let (tls, options) = if is_secure {
        let (tls, options) = Tls::with_options(given, options.into_iter())?;
        (Some(tls), options)
    } else {
        (None, options)
    };

    let (mut database, mut user, mut password) = (0, String::new(), String::new());
    for (name, value) in options {
        match name.as_str() {
            "db" => {
                let no_number = |_| malformed("the database is not a number");
                database = value.parse().map_err(no_number)?;
            }
            "sentinel_user" => user = value,
            "sentinel_password" => password = value,
            _ => return Err(malformed(&format!("`{name}` is not an option of it"))),
        }
    }
    let (own_user, own_password) = own.split_once(':').unwrap_or((own, ""));
    let servers = login(decoded(own_user), decoded(own_password)).set_db(database);
    let server = Server::new(&servers, tls.clone(), channel);
    let permissions = Permissions::of_sentinel();
    let sentinel = Sentinel {
        sentinels,
        master: decoded(master).into(),
        access: Access::new(&login(user, password), tls, permissions),
        server: server.clone(),
        lookout: OnceLock::new(),
    };
    Ok((sentinel, server))
}

fn take_apart(rest: &str) -> Parts<'_> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (hosts, master) = rest.split_once('/').unwrap_or((rest, ""));
    let options = query.split('&').filter(|option| !option.is_empty());
    let options = options.map(|option| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        (decoded(name), decoded(value))
    });
    Parts {
        login,
        hosts,
        master,
        options: options.collect(),
    }
}

fn login(user: String, password: String) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if !user.is_empty() {
        login = login.set_username(user);
    }
    if !password.is_empty() {
        login = login.set_password(password);
    }
    login
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn place(text: &str) -> Result<Place, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let closed = text.split_once(']');
            let (host, rest) = closed.ok_or_else(|| format!("`{text}` has no `]`"))?;
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
    let no_number = |port| format!("the port `{port}` is not a number");
    let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| no_number(port)))?;
    Ok((host.to_owned(), port))
}

fn malformed(reason: &str) -> UrlError {
    let one = "one `redis+sentinel://user:password@host:port,host:port/master`";
    UrlError::Malformed {
        reason: format!("{reason}: write {one}"),
    }
}
