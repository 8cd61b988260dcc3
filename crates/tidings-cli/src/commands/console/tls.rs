//! The certificate of the console, and the handshake of its connections.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::limits;
use super::private::{self, OTHERS_THAN_GROUP};
use crate::exit::Problem;
use crate::terminal::escape;

/// The first byte of a connection with TLS.
const HANDSHAKE: u8 = 22;

/// Reads the certificate and its key.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Problem> {
    let chain = certificates(certificate)?;
    let secret = secret(key)?;
    // Explicit, so that it does not depend on the process's default provider.
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of every version of TLS in use")
        .with_no_client_auth();
    let mut config = builder.with_single_cert(chain, secret).map_err(|error| {
        let (certificate, key) = (escape(certificate.display()), escape(key.display()));
        let why = match error {
            rustls::Error::InconsistentKeys(_) => "the key belongs to another one".to_owned(),
            error => error.to_string(),
        };
        Problem::usage(format!(
            "cannot use the certificate {certificate} with the key {key}: {why}"
        ))
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let not_read = |error: &dyn std::fmt::Display| {
        let shown = escape(path.display());
        Problem::usage(format!("cannot read the certificate {shown}: {error}"))
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| not_read(&words(error)))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|error| not_read(&words(error)))?;
    if found.is_empty() {
        return Err(not_read(&"it has no section `CERTIFICATE` in the form PEM"));
    }
    Ok(found)
}

fn secret(path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let text = private::read("the key", path, OTHERS_THAN_GROUP)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let shown = escape(path.display());
        let why = match error {
            pem::Error::NoItemsFound => {
                "it has no section `PRIVATE KEY` in the form PEM".to_owned()
            }
            error => words(error),
        };
        Problem::usage(format!("cannot read the key {shown}: {why}"))
    })
}

/// Says what is wrong with a PEM file, without its contents.
fn words(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        _ => "it is not valid PEM".to_owned(),
    }
}

/// Makes the handshake. A browser that speaks HTTP gets an answer that says what to do.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    mut stream: TcpStream,
    address: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    let shake = async {
        let read = stream.peek(&mut first).await.ok()?;
        if read == 0 {
            return None;
        }
        if first[0] != HANDSHAKE {
            let _ = stream.write_all(answer_to_http(address).as_bytes()).await;
            let _ = stream.shutdown().await;
            // A connection that is closed with something unread is reset, and the answer lost.
            let _ = timeout(limits::SECOND, drain(&mut stream)).await;
            return None;
        }
        acceptor.accept(stream).await.ok()
    };
    timeout(limits::HEAD_TIME, shake).await.ok().flatten()
}

/// Reads to the end.
async fn drain(stream: &mut TcpStream) {
    let mut rest = [0; 1_024];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

fn answer_to_http(address: SocketAddr) -> String {
    let port = address.port();
    let text = format!(
        "This port speaks HTTPS: open an address that begins with https://, at port {port}.\n"
    );
    let length = text.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}"
    )
}
