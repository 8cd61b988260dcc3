//! TLS over a socket, with rustls.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, ClientConfig, RootCertStore};

use crate::error::connect::ConnectError;
use crate::transport::server::tcp::{Agreed, Tcp};
use crate::transport::tls::{ClientCertificate, Tls};

/// True in a build with TLS.
pub(crate) const IS_BUILT: bool = true;

/// Does the TLS handshake over a connection. `limit` is its timeout, with the time to read the files.
pub(crate) async fn agree(
    (doing, limit): (&'static str, Duration),
    tls: &Tls,
    host: &str,
    tcp: Tcp,
) -> Result<Agreed, ConnectError> {
    let until = Instant::now() + limit;
    let agreeing = async {
        let name = server_name(tls, host)?;
        let settings = tls.clone();
        // Reading the files blocks for a few milliseconds: the system has over a hundred authorities.
        let config = spawn_blocking(move || configuration(&settings))
            .await
            .map_err(|ended| Problem::passing("cannot read the TLS files", ended))??;
        let connector = TlsConnector::from(Arc::new(config));
        let connecting = timeout_at(until, connector.connect(name, tcp));
        match connecting.await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Problem::of(error)),
            Err(late) => Err(Problem::passing(
                "the TLS handshake timed out: does the server speak TLS on this port?",
                late,
            )),
        }
    };
    let stream = agreeing.await;
    let stream = stream.map_err(|problem| problem.into_error(doing))?;
    let chain = stream.get_ref().1.peer_certificates();
    let own = chain.and_then(|chain| chain.first());
    let certificate = own.map(|certificate| certificate.to_vec());
    Ok((Box::pin(stream), certificate))
}

/// Returns the TLS error that ended a connection after the handshake: the server's verdict on the
/// client's certificate arrives only then.
pub(crate) fn explain(doing: &'static str, error: &RedisError) -> Option<ConnectError> {
    let cause = error.source()?;
    let cause = cause.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    let cause = problem_in(cause.downcast_ref()?)?;
    Some(Problem::of_tls(cause.clone()).into_error(doing))
}

fn server_name(tls: &Tls, host: &str) -> Result<ServerName<'static>, Problem> {
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let words = format!("`{name}` is not a valid server name");
    ServerName::try_from(name).map_err(|why| Problem::lasting(words, why))
}

fn configuration(tls: &Tls) -> Result<ClientConfig, Problem> {
    // Explicit, so that it does not depend on the process's default provider.
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of every version of TLS in use")
        .with_root_certificates(authorities(tls)?);
    let Some(ClientCertificate { chain, key }) = &tls.client else {
        return Ok(config.with_no_client_auth());
    };
    let certificates = certificates(chain)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| unreadable(key, why))?;
    config
        .with_client_auth_cert(certificates, secret)
        .map_err(|why| {
            let (chain, key) = (chain.display(), key.display());
            let words = format!("`{chain}` and `{key}` are not a certificate and its key");
            Problem::lasting(words, why)
        })
}

fn authorities(tls: &Tls) -> Result<RootCertStore, Problem> {
    let mut authorities = RootCertStore::empty();
    if let Some(path) = &tls.ca_file {
        for certificate in certificates(path)? {
            authorities
                .add(certificate)
                .map_err(|why| unreadable(path, why))?;
        }
        return Ok(authorities);
    }
    let found = rustls_native_certs::load_native_certs();
    authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        let words = "the system has no trusted authority (give one with `Tls::ca_file` or `?ca=…`)";
        let why = found.errors.into_iter().next().map_or_else(
            || io::Error::from(io::ErrorKind::NotFound),
            io::Error::other,
        );
        return Err(Problem::lasting(words, why));
    }
    Ok(authorities)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(unreadable(path, pem::Error::NoItemsFound))
        }
        Ok(certificates) => Ok(certificates),
        Err(why) => Err(unreadable(path, why)),
    }
}

fn unreadable(path: &Path, why: impl Error + Send + Sync + 'static) -> Problem {
    Problem::lasting(format!("cannot use the file `{}`", path.display()), why)
}

/// A TLS error.
struct Problem {
    words: String,
    source: Box<dyn Error + Send + Sync>,
    is_final: bool,
}

impl Problem {
    /// An error that a retry cannot help.
    fn lasting(words: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            words: words.into(),
            source: source.into(),
            is_final: true,
        }
    }

    fn passing(words: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            is_final: false,
            ..Self::lasting(words, source)
        }
    }

    fn of(error: io::Error) -> Self {
        match problem_in(&error) {
            Some(problem) => Self::of_tls(problem.clone()),
            None => Self::passing("the connection ended during the TLS handshake", error),
        }
    }

    fn of_tls(problem: rustls::Error) -> Self {
        let words = words(&problem);
        if is_lasting(&problem) {
            Self::lasting(words, problem)
        } else {
            Self::passing(words, problem)
        }
    }

    fn into_error(self, doing: &'static str) -> ConnectError {
        ConnectError::Tls {
            doing,
            problem: self.words,
            source: self.source,
            is_final: self.is_final,
        }
    }
}

fn problem_in(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Returns true only for errors of certificates. Other errors can pass: a load balancer without a
/// server rejects everything for a while, and a clock can be slow.
fn is_lasting(problem: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    use CertificateError as Certificate;
    match problem {
        rustls::Error::InvalidCertificate(why) => !matches!(
            why,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. }
        ),
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
        ),
        _ => false,
    }
}

/// Describes a TLS error, with a hint.
fn words(problem: &rustls::Error) -> &'static str {
    use AlertDescription as Alert;
    use CertificateError as Certificate;
    match problem {
        rustls::Error::InvalidCertificate(why) => match why {
            // `BadSignature`: an authority with the name of a trusted one and another key.
            Certificate::UnknownIssuer | Certificate::BadSignature => {
                "the server's certificate is not signed by a trusted authority \
                 (give its authority with `Tls::ca_file` or `?ca=…`)"
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                "the server's certificate is for another name \
                 (give that name with `Tls::server_name` or `?server_name=…`)"
            }
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                "the server's certificate has expired"
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet"
            }
            _ => "the server's certificate cannot be trusted",
        },
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS on this port (write `redis:` for one without)"
        }
        rustls::Error::AlertReceived(Alert::CertificateRequired | Alert::NoCertificate) => {
            "the server requires a client certificate \
             (give one with `Tls::client_certificate` or `?cert=…&key=…`)"
        }
        rustls::Error::AlertReceived(_) if is_lasting(problem) => {
            "the server does not accept the client's certificate"
        }
        _ => "the TLS handshake failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_certificates_are_final() {
        use rustls::Error::{AlertReceived, General, InvalidCertificate, InvalidMessage};
        for (problem, is_final) in [
            (InvalidCertificate(CertificateError::UnknownIssuer), true),
            (InvalidCertificate(CertificateError::Expired), true),
            (InvalidCertificate(CertificateError::NotValidYet), false),
            (AlertReceived(AlertDescription::CertificateRequired), true),
            (AlertReceived(AlertDescription::UnknownCA), true),
            (AlertReceived(AlertDescription::InternalError), false),
            (AlertReceived(AlertDescription::HandshakeFailure), false),
            (
                InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                false,
            ),
            (General("other".to_owned()), false),
        ] {
            let error = Problem::of_tls(problem).into_error("connecting");
            assert_eq!(error.is_final(), is_final, "{error:?}");
        }
    }
}
