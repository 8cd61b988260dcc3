//! How functions marked `#[tidings::on]` reach the builder.

use std::fmt;

use crate::error::subscribe::SubscribeError;
use crate::{Bus, Subscription};

/// A handler found at start wherever it is linked in. `#[tidings::on]` writes these.
pub struct Collected {
    handler: &'static str,
    file: &'static str,
    line: u32,
    register: fn(&Bus) -> Result<Subscription, SubscribeError>,
}

inventory::collect!(Collected);

impl Collected {
    /// A handler, where it stands, and how it is registered.
    pub const fn new(
        handler: &'static str,
        file: &'static str,
        line: u32,
        register: fn(&Bus) -> Result<Subscription, SubscribeError>,
    ) -> Self {
        Self {
            handler,
            file,
            line,
            register,
        }
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.handler, self.file, self.line)
    }
}

/// Registers all collected handlers, in the order of their places, and logs each.
pub(crate) fn register_all(bus: &Bus) -> Result<(), SubscribeError> {
    let mut collected: Vec<&Collected> = inventory::iter::<Collected>().collect();
    // The order of collection is the linker's, and it changes from build to build.
    collected.sort_by_key(|one| (one.file, one.line, one.handler));
    for one in &collected {
        (one.register)(bus)?;
        tracing::info!(
            handler = one.handler,
            file = one.file,
            line = one.line,
            "collected"
        );
    }
    // A crate that is declared and never named is not linked: the count tells.
    tracing::info!(
        count = collected.len(),
        "handlers marked `#[tidings::on]` were collected"
    );
    Ok(())
}
