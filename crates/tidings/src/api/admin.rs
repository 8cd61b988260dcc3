//! The view of the servers behind a bus.

use crate::admin::Admin;
use crate::api::builder::BusBuilder;
use crate::error::start::StartError;
use crate::transport::address::Address;
use crate::transport::servers::Servers;

impl BusBuilder {
    /// Returns the view of the Redis servers behind the address, with the namespace, the TLS options and
    /// the credentials of this builder. It does not connect yet. Needs the feature `admin`.
    ///
    /// ```no_run
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let admin = Bus::builder("redis://10.0.0.7").password_file("/run/secrets/redis").admin()?;
    /// println!("{:?}", admin.servers().await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the address or the namespace is not valid, and at a `memory:` address, which has no
    /// servers.
    pub fn admin(self) -> Result<Admin, StartError> {
        let namespace = self.parsed_namespace()?;
        let url = self.url?;
        let servers = Servers::parse(&url, self.tls.as_ref(), self.credentials, &namespace);
        let servers = servers.map_err(|source| {
            let url = Address::shown(&url);
            StartError::Url { url, source }
        })?;
        Ok(Admin::new(servers, namespace))
    }
}
