//! A connection to one server, and questions over it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, ProtocolVersion, RedisConnectionInfo,
    RedisError, RedisResult, ServerErrorKind,
};
use tokio::time::timeout;

use crate::acl::{Needs, Permissions};
use crate::error::ConnectError;
use crate::tls::Tls;
use crate::transport::stream::{self, Allowance, Metered};
use crate::transport::tls;
use crate::transport::watch::Watch;

/// How long each step of connecting may take.
const STEP: Duration = Duration::from_secs(5);

/// How to reach a server, and who we are there.
#[derive(Clone)]
pub(crate) struct Access {
    settings: RedisConnectionInfo,
    tls: Option<Tls>,
    pub(crate) needs: Arc<Needs>,
    /// A connection could be made before, so its way to speak was right.
    has_worked: Arc<AtomicBool>,
}

/// A connection together with the future that makes it move.
pub(crate) struct Line {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Driver,
}

/// A driver that may be asked again after its end.
pub(crate) type Driver = Fuse<BoxFuture<'static, ()>>;

impl Access {
    pub(crate) fn new(
        settings: &RedisConnectionInfo,
        tls: Option<Tls>,
        permissions: Permissions,
    ) -> Self {
        // Only RESP3 pushes what it hears on a connection that also answers.
        let settings = settings.clone().set_protocol(ProtocolVersion::RESP3);
        let settings = settings.set_lib_name("tidings", env!("CARGO_PKG_VERSION"));
        // Without a password no user is sent. What was meant for a password may be there instead.
        let user = settings
            .username()
            .filter(|_| settings.password().is_some());
        let user = user.unwrap_or("default").to_owned();
        let permissions = match settings.db() {
            0 => permissions,
            _ => permissions.select_database(),
        };
        Self {
            settings,
            tls,
            needs: Arc::new(Needs { user, permissions }),
            has_worked: Arc::default(),
        }
    }

    /// How an address begins that is reached so.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        }
    }

    /// Connects. What is read is bounded by the allowance.
    pub(crate) async fn open(
        &self,
        at: &ConnectionAddr,
        doing: &'static str,
        config: AsyncConnectionConfig,
        allowance: Allowance,
        watch: Watch,
    ) -> Result<Line, ConnectError> {
        // Each call has a time-out around it; the crate's own would hide what it was doing.
        let config = config.set_response_timeout(None);
        let opening = async {
            let stream = stream::open(doing, at, self.tls.as_ref(), watch).await?;
            let stream = Metered { stream, allowance };
            MultiplexedConnection::new_with_config(&self.settings, stream, config)
                .await
                .map_err(|error| {
                    self.hung_up(at, doing, &error)
                        .unwrap_or_else(|| self.explain(doing, &error))
                })
        };
        let opened = timeout(STEP, opening)
            .await
            .map_err(|_| ConnectError::timed_out(doing))?;
        let (connection, driver) = opened?;
        self.has_worked.store(true, Ordering::Relaxed);
        Ok(Line {
            connection,
            driver: driver.boxed().fuse(),
        })
    }

    /// What a server that wants TLS does at the first word without; so does one that ends.
    fn hung_up(
        &self,
        at: &ConnectionAddr,
        doing: &'static str,
        error: &RedisError,
    ) -> Option<ConnectError> {
        let is_plain = self.tls.is_none() && matches!(at, ConnectionAddr::Tcp(..));
        let is_strange = is_plain && !self.has_worked.load(Ordering::Relaxed);
        (is_strange && error.is_connection_dropped()).then(|| {
            let hint = "the server hung up; if it speaks TLS on this port, write `rediss:`";
            let source = std::io::Error::other(format!("{error} ({hint})"));
            ConnectError::Io { doing, source }
        })
    }

    /// What an error means, and what would cure it.
    pub(crate) fn explain(&self, doing: &'static str, error: &RedisError) -> ConnectError {
        if let Some(problem) = tls::explain(doing, error) {
            return problem;
        }
        if error.is_io_error() || error.is_connection_dropped() {
            let source = std::io::Error::other(error.to_string());
            return ConnectError::Io { doing, source };
        }
        let words = words(error);
        let is_denied = error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
            || words.contains("no permissions");
        let is_no_database = words.contains("DB index");
        let is_wrong = error.kind() == ErrorKind::AuthenticationFailed
            || ["WRONGPASS", "NOAUTH"]
                .iter()
                .any(|code| words.contains(code));
        let cure = if is_denied {
            Some(self.needs.cure(&words))
        } else if is_wrong {
            Some("check the user and the password in the address".to_owned())
        } else if words.contains("HELLO") || words.contains("NOPROTO") {
            Some("tidings needs Redis 6 or newer".to_owned())
        } else if is_no_database {
            Some("the server has no database of this number".to_owned())
        } else {
            None
        };
        ConnectError::Redis {
            doing,
            words,
            cure,
            is_final: is_denied || is_wrong || is_no_database,
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: they hold the password.
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Line {
    /// Drives the connection while something waits for an answer over it. The outer error is the
    /// connection's.
    pub(crate) async fn ask<T>(
        &mut self,
        doing: &'static str,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<RedisResult<T>, ConnectError> {
        let asking = async {
            tokio::select! {
                biased;
                answer = question(&mut self.connection) => Ok(answer),
                () = &mut self.driver => Err(ConnectError::Lost),
            }
        };
        timeout(STEP, asking)
            .await
            .unwrap_or(Err(ConnectError::timed_out(doing)))
    }
}

/// Redis's own words, without the crate's.
pub(crate) fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_view_holds_no_secret() {
        let info = redis::IntoConnectionInfo::into_connection_info("redis://u:hush@h").unwrap();
        let access = Access::new(info.redis_settings(), None, Permissions::of_sentinel());
        assert!(!format!("{access:?}").contains("hush"));
    }

    #[test]
    fn a_user_without_a_password_is_not_named_in_a_cure() {
        let info = redis::IntoConnectionInfo::into_connection_info("redis://hush@h").unwrap();
        let access = Access::new(info.redis_settings(), None, Permissions::of_sentinel());
        assert_eq!(access.needs.user, "default");
    }
}
