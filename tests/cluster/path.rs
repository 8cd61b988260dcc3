//! The nodes that a bus uses.

use tidings::{Bus, Connection};

/// The ports of the nodes that a bus receives from and sends through.
pub(crate) fn path(bus: &Bus) -> Option<(u16, u16)> {
    let Connection::Up { server, .. } = bus.health().connection else {
        return None;
    };
    let (receives, sends) = server.split_once(", sends through ")?;
    let port = |text: &str| text.rsplit_once(':')?.1.parse().ok();
    Some((port(receives)?, port(sends)?))
}
