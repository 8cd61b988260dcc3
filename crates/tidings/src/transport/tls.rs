//! Options of TLS connections: trusted certificates, and the client's certificate.

use std::path::PathBuf;

use crate::error::connect::UrlError;
use crate::transport::options::Options;

/// Options of TLS connections, for [`BusBuilder::tls`](crate::BusBuilder::tls).
///
/// An address that begins with `rediss:` is enough if the system trusts the server's certificate.
/// Each option can also be written in the address, which takes precedence:
///
/// | | in the address | default |
/// |---|---|---|
/// | [`ca_file`](Self::ca_file) | `ca=/path` | the system's authorities |
/// | [`client_certificate`](Self::client_certificate) | `cert=/path&key=/path` | none |
/// | [`server_name`](Self::server_name) | `server_name=redis.example` | the address's host |
///
/// The files are PEM. They are read for each connection, so a renewed certificate is used from the
/// next connection on. TLS needs the feature `tls` of this crate.
///
/// ```no_run
/// use tidings::Tls;
/// use tidings::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::new()
///     .ca_file("/etc/redis/ca.pem")
///     .client_certificate("/etc/shop/shop.pem", "/etc/shop/shop.key");
/// let bus = Bus::builder("rediss://10.0.0.7:6380").tls(tls).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until a builder has it"]
pub struct Tls {
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client: Option<ClientCertificate>,
    pub(crate) server_name: Option<String>,
}

/// The client's certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Tls {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts only certificates that are signed by those in this file.
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self {
            ca_file: Some(path.into()),
            ..self
        }
    }

    /// Authenticates to the server with a certificate chain and its key: for a server with
    /// `tls-auth-clients yes`, which is Redis's default.
    pub fn client_certificate(
        self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            client: Some(ClientCertificate {
                chain: certificate.into(),
                key: key.into(),
            }),
            ..self
        }
    }

    /// The name or IP address that the server's certificate must have, if not the address's host.
    pub fn server_name(self, name: impl Into<String>) -> Self {
        Self {
            server_name: Some(name.into()),
            ..self
        }
    }

    /// Takes the TLS options out of an address's options. They take precedence over `given`.
    pub(crate) fn with_options(
        given: Option<&Self>,
        options: &mut Options,
    ) -> Result<Self, UrlError> {
        let mut tls = given.cloned().unwrap_or_default();
        if let Some(path) = file(options, "ca")? {
            tls.ca_file = Some(path);
        }
        if let Some(name) = options.take("server_name") {
            tls.server_name = Some(name);
        }
        match (file(options, "cert")?, file(options, "key")?) {
            (Some(chain), Some(key)) => Ok(tls.client_certificate(chain, key)),
            (None, None) => Ok(tls),
            _ => Err(UrlError::Malformed {
                reason: "`cert` and `key` have to be given together".to_owned(),
            }),
        }
    }
}

/// Takes a path. The content of the file is rejected, because paths are printed.
fn file(options: &mut Options, name: &str) -> Result<Option<PathBuf>, UrlError> {
    let path = options.take(name);
    match path {
        Some(path) if path.contains("-----") || path.contains(char::is_control) => {
            Err(UrlError::Malformed {
                reason: format!("`{name}` has to be the path of a file, not its content"),
            })
        }
        path => Ok(path.map(PathBuf::from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str, given: Option<&Tls>) -> Result<Tls, UrlError> {
        Tls::with_options(given, &mut Options::parse(query).expect("UTF-8"))
    }

    #[test]
    fn an_address_can_have_all_options() {
        let query = "ca=/etc/my%20ca.pem&cert=/c&key=/k&server_name=redis.example";

        let tls = parsed(query, None).unwrap();

        let expected = Tls::new()
            .ca_file("/etc/my ca.pem")
            .client_certificate("/c", "/k")
            .server_name("redis.example");
        assert_eq!(tls, expected);
    }

    #[test]
    fn options_in_the_address_take_precedence() {
        let given = Tls::new().ca_file("/given").server_name("given");

        let tls = parsed("ca=/address", Some(&given)).unwrap();

        assert_eq!(tls, Tls::new().ca_file("/address").server_name("given"));
    }

    #[test]
    fn the_content_of_a_file_is_rejected_as_its_path() {
        for query in [
            "cert=/c&key=-----BEGIN%20PRIVATE%20KEY-----hush-hush",
            "cert=/c&key=hush%0Ahush",
            "ca=-----BEGIN%20CERTIFICATE-----hush-hush",
        ] {
            let error = parsed(query, None).unwrap_err().to_string();
            assert!(error.contains("the path of a file"), "{query}: {error}");
            assert!(!error.contains("hush"), "a key is shown");
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_rejected() {
        for query in ["cert=/c", "key=/k"] {
            let error = parsed(query, None).unwrap_err();
            assert_eq!(
                error.to_string(),
                "`cert` and `key` have to be given together",
                "{query}"
            );
        }
    }
}
