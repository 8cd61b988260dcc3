//! What is said of a change of a map.

use serde::Deserialize;

use crate::keyspace::map::NOTICE;
use crate::keyspace::stamp::Stamp;
use crate::shared::registry::ChangeNotification;

/// Entries were written or taken away. Programs that are no bus may leave all but the map out.
#[derive(Debug, Deserialize)]
pub(crate) struct MapChanged {
    map: String,
    /// Which entry changed; `None` for any.
    pub(crate) key: Option<String>,
    version: Option<u64>,
    nonce: Option<String>,
    previous: Option<String>,
}

impl MapChanged {
    /// The map's stamp after the change, and the mark before it, from who knows them.
    pub(crate) fn moved(self) -> Option<(Stamp, String)> {
        let (version, nonce) = self.version.zip(self.nonce)?;
        Some((Stamp { version, nonce }, self.previous?))
    }
}

impl ChangeNotification for MapChanged {
    const EVENT: &'static str = NOTICE;
    const HEARERS: &'static str = "shared maps";

    fn name(&self) -> &str {
        &self.map
    }
}
