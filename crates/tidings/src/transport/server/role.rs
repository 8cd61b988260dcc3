//! The role of a server, as it reports it itself.

use std::collections::HashMap;

use redis::{Cmd, FromRedisValue, RedisResult, Value};

use crate::error::connect::ConnectError;
use crate::redis_error::is_hidden;
use crate::resp::Client;

/// The role of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Other(String),
    /// The user may not ask for it, or the server does not know the command.
    #[default]
    Hidden,
}

/// The kind of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerKind {
    Single,
    Sentinel,
    /// A node of a Redis Cluster.
    Node,
    /// The server does not report it.
    #[default]
    Hidden,
}

/// The reply to `HELLO`, which every user may run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) kind: ServerKind,
    pub(crate) role: Role,
    /// The version of Redis that it has or is compatible with.
    pub(crate) version: Option<String>,
}

pub(crate) async fn ask_role(connection: &Client) -> RedisResult<Role> {
    Role::of(connection.query(&redis::cmd("ROLE")).await)
}

/// The command whose answer is a [`Hello`]. Every user may run it.
pub(crate) fn hello() -> Cmd {
    let mut hello = redis::cmd("HELLO");
    hello.arg(3);
    hello
}

/// The oldest version that tidings supports.
const OLDEST: (u32, u32) = (6, 2);

/// Returns a warning if this version is too old.
pub(crate) fn shortcoming(version: &str) -> Option<&'static str> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return None;
    };
    ((major, minor) < OLDEST).then_some(
        "the server is older than Redis 6.2, the oldest version that tidings supports: it rejects \
         the `ACL SETUSER` commands of errors and `tidings acl`, because it has no rules for \
         channels (`resetchannels`, `&…`)",
    )
}

impl Hello {
    pub(crate) fn of(answer: Value) -> Self {
        let fields = HashMap::<String, Value>::from_redis_value(answer).unwrap_or_default();
        let field = |name| String::from_redis_value_ref(fields.get(name)?).ok();
        Self {
            kind: ServerKind::named(field("mode").as_deref()),
            role: field("role").map_or(Role::Hidden, |role| Role::named(&role)),
            version: field("version"),
        }
    }
}

impl ServerKind {
    fn named(mode: Option<&str>) -> Self {
        match mode {
            Some("standalone") => Self::Single,
            Some("sentinel") => Self::Sentinel,
            Some("cluster") => Self::Node,
            _ => Self::Hidden,
        }
    }
}

impl Role {
    /// Parses the reply to `ROLE`. An error that does not show the role stays an error: a busy
    /// replica is not a master.
    fn of(answer: RedisResult<Vec<Value>>) -> RedisResult<Self> {
        let answer = match answer {
            Err(error) if is_hidden(&error) => return Ok(Self::Hidden),
            answer => answer?,
        };
        let role = answer
            .first()
            .and_then(|role| String::from_redis_value_ref(role).ok());
        let role = role.as_deref().unwrap_or("server of an unknown role");
        Ok(Self::named(role))
    }

    fn named(role: &str) -> Self {
        match role {
            "master" => Self::Master,
            // `ROLE` has the older word.
            "slave" => Self::Other("replica".to_owned()),
            other => Self::Other(other.to_owned()),
        }
    }

    /// Rejects a replica: an event that is published on it reaches only its own subscribers.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        match self {
            Self::Master | Self::Hidden => Ok(()),
            Self::Other(role) => Err(ConnectError::Role { role: role.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::RedisError;

    use super::*;

    #[test]
    fn only_a_version_before_6_2_has_shortcomings() {
        for version in ["6.0.16", "5.0.14", "6.1.240"] {
            assert!(shortcoming(version).is_some(), "{version}");
        }
        for version in [
            "6.2.0",
            "6.2.14",
            "7.0.15",
            "8.0.2",
            "255.255.255",
            "10.0",
            "",
            "x.1",
            "6",
        ] {
            assert_eq!(shortcoming(version), None, "{version}");
        }
    }

    #[test]
    fn the_reply_to_hello_is_parsed() {
        let hello = |answer: &[u8]| Hello::of(redis::parse_redis_value(answer).unwrap());
        let replica = b"%3\r\n+version\r\n+6.2.14\r\n+mode\r\n+standalone\r\n+role\r\n+replica\r\n";
        let expected = Hello {
            kind: ServerKind::Single,
            role: Role::Other("replica".to_owned()),
            version: Some("6.2.14".to_owned()),
        };
        assert_eq!(hello(replica), expected);
        let node = b"%2\r\n+mode\r\n+cluster\r\n+role\r\n+master\r\n";
        assert_eq!(hello(node).kind, ServerKind::Node);
        assert_eq!(hello(node).role, Role::Master);
        for other in [&b"%1\r\n+proto\r\n:3\r\n"[..], b"+OK\r\n"] {
            assert_eq!(hello(other), Hello::default());
        }
    }

    #[test]
    fn the_role_is_hidden_only_if_the_command_is_denied_or_unknown() {
        let role = |answer: &[u8]| {
            let answer = redis::parse_redis_value(answer);
            Role::of(
                answer
                    .and_then(Value::extract_error)
                    .and_then(|answer| Vec::from_redis_value(answer).map_err(RedisError::from)),
            )
        };
        for hidden in [
            &b"-NOPERM this user has no permissions to run the 'role' command\r\n"[..],
            b"-ERR unknown command 'ROLE', with args beginning with:\r\n",
        ] {
            assert!(matches!(role(hidden), Ok(Role::Hidden)));
        }
        for error in [
            &b"-BUSY Redis is busy running a script\r\n"[..],
            b"-NOAUTH Authentication required.\r\n",
            b"+PONG\r\n",
        ] {
            assert!(role(error).is_err());
        }
        let master = role(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
        assert!(matches!(master, Ok(Role::Master)));
        let replica = role(b"*1\r\n$5\r\nslave\r\n").unwrap().check();
        assert!(replica.unwrap_err().to_string().contains("a replica"));
    }
}
