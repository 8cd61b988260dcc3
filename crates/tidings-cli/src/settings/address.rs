//! An address of Redis that shows no password.

use std::fmt;

use serde::Deserialize;

/// The address of Redis, which may have a password. It is shown without.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Address(String);

impl Address {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Returns the address as it is, for the connection.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Returns whether the address has a user, a password or options.
    pub(crate) fn has_credentials(&self) -> bool {
        let parts = self.parts();
        parts.user.is_some() || parts.query.is_some()
    }

    pub(crate) fn has_password(&self) -> bool {
        let parts = self.parts();
        parts.user.is_some_and(|user| user.contains(':'))
            || parts.query.is_some_and(|query| query.contains("password"))
    }

    /// Returns the user that the address names.
    pub(crate) fn user(&self) -> Option<&str> {
        let user = self.parts().user?.split(':').next()?;
        (!user.is_empty()).then_some(user)
    }

    fn parts(&self) -> Parts<'_> {
        let (before, query) = match self.0.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (&*self.0, None),
        };
        let (scheme, rest) = before.split_once("://").unwrap_or(("", before));
        // The last `@`: a password that is not encoded may have one.
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        Parts {
            scheme,
            user,
            host,
            query,
        }
    }
}

struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    query: Option<&'a str>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        if !parts.scheme.is_empty() {
            write!(f, "{}://", parts.scheme)?;
        }
        if let Some(user) = parts.user {
            let (name, has_password) = match user.split_once(':') {
                Some((name, _)) => (name, true),
                None => (user, false),
            };
            write!(f, "{name}{}@", if has_password { ":…" } else { "" })?;
        }
        write!(f, "{}", parts.host)?;
        match parts.query {
            // An unencoded `?` may be part of a password.
            Some(query) if !query.contains("password") && !query.contains('@') => {
                write!(f, "?{query}")
            }
            Some(_) => f.write_str("?…"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("redis://127.0.0.1", "redis://127.0.0.1"),
            ("redis://shop@a:1/2", "redis://shop@a:1/2"),
            ("redis://shop:hush@a,b/m", "redis://shop:…@a,b/m"),
            ("redis://:hu@sh@a", "redis://:…@a"),
            (
                "redis+sentinel://a/m?sentinel_password=hush",
                "redis+sentinel://a/m?…",
            ),
            (
                "redis+cluster://a?pubsub=sharded",
                "redis+cluster://a?pubsub=sharded",
            ),
            ("memory:shop", "memory:shop"),
        ] {
            let address = Address::new(url);
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.has_password(), url.contains("hu"), "{url}");
        }
        // A `?` in a password that is not encoded.
        let address = Address::new("redis://:a?hush@b");
        assert!(!address.to_string().contains("hush"), "{address}");
    }
}
