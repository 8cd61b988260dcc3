//! The stub of TLS for a build without it. It is never called: addresses with TLS are rejected.

use std::io;
use std::time::Duration;

use redis::RedisError;

use crate::error::connect::ConnectError;
use crate::transport::server::tcp::{Agreed, Tcp};
use crate::transport::tls::Tls;

/// True in a build with TLS.
pub(crate) const IS_BUILT: bool = false;

#[expect(clippy::unused_async, reason = "as the one with TLS")]
pub(crate) async fn agree(
    (doing, _limit): (&'static str, Duration),
    _tls: &Tls,
    _host: &str,
    _tcp: Tcp,
) -> Result<Agreed, ConnectError> {
    let source = io::ErrorKind::Unsupported.into();
    Err(ConnectError::Io { doing, source })
}

pub(crate) fn explain(_doing: &'static str, _error: &RedisError) -> Option<ConnectError> {
    None
}

#[cfg(test)]
mod tests {
    use crate::namespace::Namespace;
    use crate::transport::url::parse;

    #[test]
    fn a_build_without_tls_names_the_feature() {
        let namespace = Namespace::parse("shop").unwrap();
        let error = parse("rediss://h", None, None, &namespace).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TLS needs the feature `tls` of the crate tidings, which is off in this build"
        );
    }
}
