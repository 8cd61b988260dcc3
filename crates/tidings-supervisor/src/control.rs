//! The control socket, through which programs of the same user request reloads, a number of workers, the
//! status, or the stop.

mod client;
mod protocol;
mod server;

#[cfg(test)]
mod tests;

pub use client::{RemoteError, RemoteReloadHandle, RemoteSupervisor};
pub use protocol::Rejection;
pub(crate) use server::{ControlServer, serve};
