//! Registers the functions that are marked `#[tidings::on]`.

use std::fmt;

use crate::error::subscribe::SubscribeError;
use crate::{Bus, Subscription};

/// A handler that is registered at the start. `#[tidings::on]` generates these.
pub struct Collected {
    handler: &'static str,
    file: &'static str,
    line: u32,
    register: fn(&Bus) -> Result<Subscription, SubscribeError>,
}

inventory::collect!(Collected);

impl Collected {
    /// Creates a handler from its path, its place in the source, and the function that registers it.
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

/// Registers all collected handlers in the order of their places in the source, and logs each one.
pub(crate) fn register_all(bus: &Bus) -> Result<(), SubscribeError> {
    let mut collected: Vec<&Collected> = inventory::iter::<Collected>().collect();
    // The linker determines the order of collection, which changes from build to build.
    collected.sort_by_key(|one| (one.file, one.line, one.handler));
    for one in &collected {
        (one.register)(bus)?;
        tracing::info!(
            handler = one.handler,
            file = one.file,
            line = one.line,
            "handler registered"
        );
    }
    // The count shows whether a crate is missing: one that is never named in code is not linked.
    tracing::info!(
        count = collected.len(),
        "handlers marked `#[tidings::on]` were collected"
    );
    Ok(())
}
