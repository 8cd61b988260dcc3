//! The parts of an address: login, hosts, path and options.

use percent_encoding::percent_decode_str;
use redis::RedisConnectionInfo;

use crate::error::connect::UrlError;
use crate::transport::options::Options;
use crate::transport::scheme::Scheme;
use crate::transport::tls::Tls;

/// A host and a port.
pub(crate) type Place = (String, u16);

/// The hint for characters that separate the parts of an address.
pub(super) const ENCODED: &str = "a reserved character is not encoded (in a password, `#` is written as `%23`, \
                       `/` as `%2F`, `?` as `%3F`, `@` as `%40`, `%` as `%25`)";

const NOT_UTF8: &str = "the text that is encoded with `%` is not UTF-8";

/// The parts of an address with hosts, after its scheme.
pub(super) struct Parts<'a> {
    /// `user:password`, or empty.
    pub(super) login: &'a str,
    pub(super) hosts: &'a str,
    /// From its `/` on.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(rest: &'a str) -> Result<Self, String> {
        if rest.contains('#') {
            return Err(if rest.ends_with("#insecure") {
                "it ends with `#insecure`, and certificates are always checked".to_owned()
            } else {
                format!("a `#` is in it: {ENCODED}")
            });
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, path) = before.split_at(before.find('/').unwrap_or(before.len()));
        if path.contains('@') {
            return Err(ENCODED.to_owned());
        }
        let (login, hosts) = place.rsplit_once('@').unwrap_or(("", place));
        Ok(Self {
            login,
            hosts,
            path,
            query,
        })
    }

    pub(super) fn login(&self, has_credentials: bool) -> Result<RedisConnectionInfo, String> {
        let (user, password) = self.login.split_once(':').unwrap_or((self.login, ""));
        login(decoded(user)?, decoded(password)?, has_credentials)
    }

    /// The hosts of an address with several, each a `what`.
    pub(super) fn places(&self, what: &str, port: u16) -> Result<Vec<Place>, String> {
        // Ambiguous: either the password has an `@`, or hosts have logins of their own.
        if self.login.contains('@') && self.login.contains(',') {
            return Err(format!("{ENCODED}, or hosts have logins of their own"));
        }
        let places = (1..).zip(self.hosts.split(',')).map(|(number, host)| {
            place(host, port).map_err(|wrong| format!("{what} {number} has {wrong}"))
        });
        places.collect()
    }

    pub(super) fn options(&self) -> Result<Options, String> {
        options(self.query)
    }
}

pub(super) fn options(query: &str) -> Result<Options, String> {
    Options::parse(query).ok_or_else(|| NOT_UTF8.to_owned())
}

/// Rejects options that were not taken.
pub(super) fn end(mut options: Options) -> Result<(), String> {
    // tidings always speaks RESP3.
    match options.take("protocol").as_deref() {
        None | Some("resp3" | "3") => options.end(),
        Some(_) => Err("the option `protocol` can only be `resp3`".to_owned()),
    }
}

pub(super) fn secured(
    scheme: Scheme,
    given: Option<&Tls>,
    options: &mut Options,
) -> Result<Option<Tls>, UrlError> {
    let tls = scheme.is_secure.then(|| Tls::with_options(given, options));
    tls.transpose()
}

/// Rejects a user without a password: it would not be sent, and is usually a password without its
/// colon. With credentials from elsewhere, rejects a password.
pub(super) fn login(
    user: String,
    password: String,
    has_credentials: bool,
) -> Result<RedisConnectionInfo, String> {
    if has_credentials && !password.is_empty() {
        return Err(
            "it has a password, and the builder has `credentials` or a `password_file`: remove \
             one of them"
                .to_owned(),
        );
    }
    if !has_credentials && password.is_empty() && !matches!(&*user, "" | "default") {
        return Err(
            "it has a user and no password (a password alone is written with a colon before it, \
             and a user that needs none with any password)"
                .to_owned(),
        );
    }
    let mut login = RedisConnectionInfo::default();
    if !user.is_empty() {
        login = login.set_username(user);
    }
    if !password.is_empty() {
        login = login.set_password(password);
    }
    Ok(login)
}

pub(super) fn database(number: &str) -> Result<i64, String> {
    let number = number.parse::<u32>().map(i64::from);
    number.map_err(|_| "the database is not a number".to_owned())
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| NOT_UTF8.to_owned())?.into_owned())
}

/// Decodes text that is printed later. Characters that could separate it from a secret are rejected.
pub(super) fn plain(text: &str, also: &[char]) -> Result<String, String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-._~%+".contains(c) || also.contains(&c);
    if !text.chars().all(is_plain) {
        return Err(
            "a character in its path is not encoded (such as a space, which is written as `%20`, \
             or `:`, `%3A`)"
                .to_owned(),
        );
    }
    let text = decoded(text)?;
    if text.contains(char::is_control) {
        return Err("a control character is in its path".to_owned());
    }
    // The path may have been encoded together with options or a login.
    if text.contains(['?', '@', '=', '#', '&', ';']) {
        return Err("its path has a character that separates options or a login".to_owned());
    }
    Ok(text)
}

/// Parses `host`, `host:port`, `[::1]` or `[::1]:port`.
pub(super) fn place(text: &str, otherwise: u16) -> Result<Place, &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']').ok_or("a `[` without its `]`")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("something in `[` and `]` that is not an IPv6 address");
            }
            match rest.strip_prefix(':') {
                None if !rest.is_empty() => return Err("something else after a `]`"),
                port => (host, port),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("no host");
    }
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if !host.chars().all(is_of_host) {
        return Err("a host with an invalid character");
    }
    let port = port.map_or(Ok(otherwise), str::parse);
    let port = port.map_err(|_| "a port that is not a number up to 65535")?;
    Ok((host.to_owned(), port))
}
