//! A socket through which the same user's programs ask for reloads, more workers, or how it goes.

mod client;
mod protocol;
mod server;

#[cfg(test)]
mod tests;

pub use client::{Remote, RemoteError, RemoteReloading};
pub use protocol::Refusal;
pub(crate) use server::serve;
