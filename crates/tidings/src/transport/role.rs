//! Whether a server is the master, as it says itself.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, Value};

use crate::error::ConnectError;

/// What a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Other(String),
    /// The user may not ask, or the server does not know the question.
    Hidden,
}

pub(crate) async fn ask_role(connection: &mut MultiplexedConnection) -> RedisResult<Role> {
    let answer = redis::cmd("ROLE").query_async(connection).await;
    Role::of(answer)
}

/// Whether the server is a node of a Redis Cluster. Every user may ask this.
pub(crate) async fn is_of_cluster(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let mut hello = redis::cmd("HELLO");
    let answer: Value = hello.arg(3).query_async(connection).await?;
    Ok(has_mode(answer, "cluster"))
}

fn has_mode(hello: Value, mode: &str) -> bool {
    let fields = HashMap::<String, Value>::from_redis_value(hello).unwrap_or_default();
    let own = fields.get("mode");
    own.is_some_and(|own| String::from_redis_value_ref(own).is_ok_and(|own| own == mode))
}

impl Role {
    /// An error that says nothing of the role is one: a replica that is busy is no master.
    fn of(answer: RedisResult<Vec<Value>>) -> RedisResult<Self> {
        use ServerErrorKind::{NoPerm, ResponseError};
        let answer = match answer {
            Ok(answer) => answer,
            // The second is what a server says to a command that it does not have.
            Err(error) => match error.kind() {
                ErrorKind::Server(NoPerm | ResponseError) => return Ok(Self::Hidden),
                _ => return Err(error),
            },
        };
        let role = answer
            .first()
            .and_then(|role| String::from_redis_value_ref(role).ok());
        Ok(match role.as_deref() {
            Some("master") => Self::Master,
            // Redis's own word is older than today's.
            Some("slave") => Self::Other("replica".to_owned()),
            other => Self::Other(other.unwrap_or("server of an unknown role").to_owned()),
        })
    }

    /// What is published on a replica reaches only that replica's hearers.
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
    fn only_a_server_that_may_not_be_asked_hides_its_role() {
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
