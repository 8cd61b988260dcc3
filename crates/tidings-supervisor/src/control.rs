//! A socket through which the same user's programs ask for reloads, more workers, or how it goes.

use std::io;
use std::path::Path;

use tokio::net::UnixListener;

use crate::workers::WeakWorkers;

/// Ends with this.
#[derive(Debug)]
pub(crate) struct Serving;

pub(crate) fn serve(path: &Path, _workers: WeakWorkers) -> io::Result<Serving> {
    let _listener = UnixListener::bind(path)?;
    Ok(Serving)
}
