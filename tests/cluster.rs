//! A Redis Cluster whose nodes fail, move slots, and are reached at other addresses.

mod addresses;
mod events;
mod keys;
mod path;
mod sharded;
mod users;
