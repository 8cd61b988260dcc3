//! The certificate of a server.

use redis::ConnectionAddr;

use crate::transport::server::redis_connection::Access;
use crate::transport::server::socket::{Socket, endpoints};
use crate::transport::server::tls;

const DOING: &str = "asking for the certificate";

/// Connects once more, and returns the certificate of the server, in DER. `None` without TLS, and if the
/// connection fails.
pub(crate) async fn certificate(access: &Access, at: &ConnectionAddr) -> Option<Vec<u8>> {
    let (Some(tls), ConnectionAddr::Tcp(host, _)) = (access.tls(), at) else {
        return None;
    };
    for endpoint in endpoints(at).await.ok()? {
        if let Ok(Socket::Tcp(tcp, _)) = endpoint.connect().await {
            return tls::certificate((DOING, access.handshake()), tls, host, tcp)
                .await
                .ok()?;
        }
    }
    None
}
