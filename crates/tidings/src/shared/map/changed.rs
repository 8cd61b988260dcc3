//! The change notification of a shared map.

use serde::Deserialize;

use crate::keyspace::map::CHANGE_EVENT;
use crate::keyspace::stamp::Stamp;
use crate::shared::registry::ChangeNotification;

/// Entries were written or removed. A foreign program may send the map's name alone.
#[derive(Debug, Deserialize)]
pub(crate) struct MapChanged {
    map: String,
    /// The changed entry; `None` for all.
    pub(crate) key: Option<String>,
    version: Option<u64>,
    nonce: Option<String>,
    previous: Option<String>,
}

impl MapChanged {
    /// The map's stamp after the change, and the nonce before it, if both were sent.
    pub(crate) fn transition(self) -> Option<(Stamp, String)> {
        let (version, nonce) = self.version.zip(self.nonce)?;
        Some((Stamp { version, nonce }, self.previous?))
    }
}

impl ChangeNotification for MapChanged {
    const EVENT: &'static str = CHANGE_EVENT;
    const HANDLER: &'static str = "shared maps";

    fn name(&self) -> &str {
        &self.map
    }
}
