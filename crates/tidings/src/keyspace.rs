//! All operations on the keys of a namespace. Each is atomic.

pub(crate) mod access;
pub(crate) mod answer;

pub(crate) mod counter;
pub(crate) mod journal;
pub(crate) mod map;
pub(crate) mod member_list;
pub(crate) mod memory;
pub(crate) mod redis;
pub(crate) mod stamp;
pub(crate) mod value;

use crate::keyspace::counter::Counts;
use crate::keyspace::map::Maps;
use crate::keyspace::member_list::MemberList;
use crate::keyspace::value::Values;

/// All operations. An answer comes only while the send connection is polled.
pub(crate) trait Keyspace: Counts + Maps + MemberList + Values + Send + Sync {}

impl<T: Counts + Maps + MemberList + Values + Send + Sync> Keyspace for T {}
