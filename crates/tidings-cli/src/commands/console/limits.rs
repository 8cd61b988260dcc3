//! The limits of the console.

use std::time::Duration;

/// The maximum number of connections. Further ones are closed at once.
pub(super) const CONNECTIONS: usize = 64;

/// The maximum number of streams, and so of pages that show something.
pub(super) const STREAMS: usize = 16;

/// The maximum length of the head of a request, in bytes.
pub(super) const HEAD: usize = 16 * 1024;

/// The maximum length of the body of a request that changes something, in bytes.
pub(super) const BODY: usize = 1 << 20;

/// The time in which the head of a request must arrive, and after it the body.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);

/// The time in which a peer that is written to must read something.
pub(super) const WRITE_TIME: Duration = Duration::from_secs(30);

/// The number of wrong tokens in a minute after which further ones are not looked at.
pub(super) const FAILURES: usize = 10;

/// The maximum number of rows that wait for a slow viewer.
pub(super) const ROWS: usize = 256;

/// The maximum length of the rows that wait for one viewer, in bytes: 20 MiB for all viewers.
pub(super) const ROW_BYTES: usize = (20 << 20) / STREAMS;

/// The maximum length of a payload that is shown, in bytes.
pub(super) const PREVIEW: usize = 64 * 1024;

/// The maximum number of values within a payload that is shown.
pub(super) const PREVIEW_NODES: usize = 4_096;

/// The maximum length of a payload that is shown as it was sent, in bytes.
pub(super) const RAW: usize = 4_096;

/// The time between two messages with rows.
pub(super) const ROWS_TIME: Duration = Duration::from_millis(100);

/// The time between two looks, and for which an answer of Redis is shown to all viewers.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The maximum number of contracts that are shown and compared: those with the most members.
pub(super) const CONTRACTS: usize = 16;

/// The maximum length of a contract, in bytes.
pub(super) const CONTRACT: usize = 1 << 20;

/// The maximum length of a document of a contract, in bytes: each schema has the definitions it needs.
pub(super) const DOCUMENT: usize = 16 << 20;
