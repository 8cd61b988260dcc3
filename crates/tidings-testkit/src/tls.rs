//! A certificate authority for one test, and the certificates that it signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fmt, fs};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// A server certificate, valid for `localhost` and 127.0.0.1 by default. Used by
/// [`RedisBuilder::tls_with`](crate::RedisBuilder::tls_with).
///
/// ```
/// use tidings_testkit::{Certificate, Redis};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let stale = Certificate::new().names(["redis.example"]).expired();
/// let redis = Redis::builder().tls_with(stale).start().await;
/// assert!(redis.tls_url().starts_with("rediss://127.0.0.1:"));
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a server has to be given it"]
pub struct Certificate {
    names: Vec<String>,
    is_expired: bool,
    /// The time for which it is valid, if it is not a long one.
    validity: Option<Duration>,
}

impl Certificate {
    /// Returns a valid certificate for `localhost` and 127.0.0.1.
    pub fn new() -> Self {
        Self {
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            is_expired: false,
            validity: None,
        }
    }

    /// Sets other names or IP addresses.
    pub fn names(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Ends the validity of the certificate this long after the start of the server.
    pub fn valid_for(self, validity: Duration) -> Self {
        Self {
            validity: Some(validity),
            ..self
        }
    }

    /// Makes the certificate an expired one.
    pub fn expired(self) -> Self {
        Self {
            is_expired: true,
            ..self
        }
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

/// The paths of one server's certificates.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    /// The files in this server directory.
    pub(crate) fn of(directory: &Path) -> Self {
        let directory = directory.join("tls");
        Self { directory }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    pub(crate) fn certificate(&self, owner: &str) -> PathBuf {
        self.directory.join(format!("{owner}.pem"))
    }

    pub(crate) fn key(&self, owner: &str) -> PathBuf {
        self.directory.join(format!("{owner}.key"))
    }

    /// Makes certificates for the server and for a client.
    pub(crate) fn make(&self, server: &Certificate, authority: &Authority) {
        let write = |path: PathBuf, pem: String| {
            fs::write(path, pem).expect("the server's directory can be written");
        };
        fs::create_dir_all(&self.directory).expect("the server's directory can be written");
        write(self.ca(), authority.pem.clone());
        for (owner, certificate) in [
            ("server", server),
            ("client", &Certificate::new().names(["client"])),
        ] {
            let key = key();
            let signed = parameters(certificate).signed_by(&key, &authority.issuer);
            write(
                self.certificate(owner),
                signed.expect("it can sign for others").pem(),
            );
            write(self.key(owner), key.serialize_pem());
        }
    }
}

/// Signs the certificates of one server, or of the servers of one cluster.
#[derive(Clone)]
pub(crate) struct Authority {
    pem: String,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

impl Default for Authority {
    fn default() -> Self {
        let (parameters, key) = (parameters_of_authority(), key());
        let signed = parameters.self_signed(&key);
        Self {
            pem: signed.expect("it can sign for itself").pem(),
            issuer: Arc::new(Issuer::new(parameters, key)),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system has randomness")
}

fn parameters_of_authority() -> CertificateParams {
    let mut authority = CertificateParams::default();
    // Authorities need different names: a client that trusts one would otherwise take the signature
    // of another for a forged one.
    let name = format!("authority {:016x} of one test", rand::random::<u64>());
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
}

fn parameters(certificate: &Certificate) -> CertificateParams {
    let mut parameters =
        CertificateParams::new(certificate.names.clone()).expect("the names are names");
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    if let Some(validity) = certificate.validity {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.expect("it is later than 1970");
        parameters.not_after = date_time_ymd(1970, 1, 1) + now + validity;
    }
    if certificate.is_expired {
        parameters.not_before = date_time_ymd(2000, 1, 1);
        parameters.not_after = date_time_ymd(2001, 1, 1);
    }
    parameters
}
