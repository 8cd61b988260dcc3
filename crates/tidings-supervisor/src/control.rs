//! A socket through which the same user's programs ask for reloads, more workers, or how it goes.

mod client;
mod protocol;
mod server;

#[cfg(test)]
mod tests;

pub use client::{RemoteError, RemoteReloadHandle, RemoteSupervisor};
pub use protocol::Rejection;
pub(crate) use server::serve;
