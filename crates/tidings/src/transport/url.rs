//! Chooses the transport of an address.

use std::env::{self, VarError};
use std::sync::Arc;

use crate::error::connect::UrlError;
use crate::error::start::StartError;
use crate::namespace::Namespace;
use crate::transport::address::{Address, Given};
use crate::transport::cluster::Cluster;
use crate::transport::credentials::CredentialSource;
use crate::transport::journal::JournalTransport;
use crate::transport::memory::Memory;
use crate::transport::sentinel::Sentinel;
use crate::transport::server::Server;
use crate::transport::server::tls::IS_BUILT;
use crate::transport::tls::Tls;
use crate::transport::topology::{Found, Standalone};

/// The environment variable with the address.
const VARIABLE: &str = "TIDINGS_URL";

/// The default address.
const DEFAULT: &str = "redis://127.0.0.1:6379";

/// Returns the address in the environment variable, or the default.
pub(crate) fn from_environment() -> Result<String, StartError> {
    match env::var(VARIABLE) {
        Ok(url) => Ok(url),
        Err(VarError::NotPresent) => Ok(DEFAULT.to_owned()),
        Err(VarError::NotUnicode(_)) => Err(StartError::Url {
            url: "…".to_owned(),
            source: UrlError::Malformed {
                reason: format!("`{VARIABLE}` is not UTF-8"),
            },
        }),
    }
}

/// Parses an address that this build can use.
pub(crate) fn address(
    url: &str,
    tls: Option<&Tls>,
    has_credentials: bool,
) -> Result<Address, UrlError> {
    let given = Given {
        tls,
        has_credentials,
    };
    let parsed = Address::parse(url, given)?;
    if parsed.wants_tls() && !IS_BUILT {
        return Err(UrlError::Feature {
            what: "TLS",
            feature: "tls",
        });
    }
    Ok(parsed)
}

/// Returns the transport of an address.
pub(crate) fn parse(
    url: &str,
    tls: Option<&Tls>,
    credentials: Option<CredentialSource>,
    namespace: &Namespace,
) -> Result<Arc<dyn JournalTransport>, UrlError> {
    let parsed = address(url, tls, credentials.is_some())?;
    let address = parsed.to_string();
    Ok(match parsed {
        Address::Memory(name) => Arc::new(Memory::new(&name, &namespace.channel())),
        Address::Server { at, login, tls } => Arc::new(Found {
            address,
            topology: Arc::new(Standalone { at }),
            server: Server::new(&login, tls, credentials, namespace),
        }),
        Address::Cluster {
            nodes,
            pubsub,
            login,
            tls,
        } => {
            let server = Server::of_cluster(&login, tls, credentials, namespace, pubsub);
            Arc::new(Cluster::new(address, nodes, namespace, server))
        }
        Address::Sentinels {
            sentinels,
            master,
            login,
            sentinel_login,
            tls,
        } => {
            let server = Server::new(&login, tls.clone(), credentials, namespace);
            let own = (&sentinel_login, tls);
            let sentinel = Sentinel::new(sentinels, &master, own, server.clone());
            Arc::new(Found {
                address,
                topology: Arc::new(sentinel),
                server,
            })
        }
    })
}
