//! `tidings doctor`: each check finds the fault that it is for, and nothing else.

mod cluster;
mod connection;
mod contracts;
mod examination;
mod foreign;
mod journal;
mod members;
mod output;
mod permissions;
mod replication;
mod security;
mod sentinel;
mod settings;
