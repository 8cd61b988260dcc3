//! Takes an address of sentinels apart.

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

// What is out of place is never quoted: it may be a piece of a password.
const UNKNOWN_OPTION: &str = "it has an option that is not known \
                              (an `&` in a password is written as `%26`)";

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
    let sentinels = places(hosts).map_err(|reason| malformed(&reason))?;
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
            _ => return Err(malformed(UNKNOWN_OPTION)),
        }
    }
    let (own_user, own_password) = own.split_once(':').unwrap_or((own, ""));
    let servers = login(decoded(own_user), decoded(own_password)).set_db(database);
    let server = Server::new(&servers, tls.clone(), channel);
    let permissions = Permissions::of_sentinel();
    let access = Access::new(&login(user, password), tls, permissions);
    let sentinel = Sentinel::new(sentinels, decoded(master).into(), access, server.clone());
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

fn places(hosts: &str) -> Result<Vec<Place>, String> {
    let numbered = (1..).zip(hosts.split(','));
    let places = numbered.map(|(number, host)| {
        place(host).map_err(|wrong| format!("sentinel {number} has {wrong}"))
    });
    places.collect()
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`; otherwise what is wrong with it.
fn place(text: &str) -> Result<Place, &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']').ok_or("a `[` without its `]`")?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("no host");
    }
    let port = port.map_or(Ok(PORT), str::parse);
    let port = port.map_err(|_| "a port that is not a number")?;
    Ok((host.to_owned(), port))
}

fn malformed(reason: &str) -> UrlError {
    let one = "one `redis+sentinel://user:password@host:port,host:port/master`";
    UrlError::Malformed {
        reason: format!("{reason}: write {one}"),
    }
}
