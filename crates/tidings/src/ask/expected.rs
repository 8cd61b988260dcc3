//! Who is expected to answer: the members of the namespace.

use futures_util::stream::{BoxStream, StreamExt};
use tidings_codec::NodeId;

use super::summary::Who;
use crate::Bus;
use crate::error::members::MembersError;
use crate::members::{Member, MemberEvent};

/// Who leaves, from when it was asked for.
pub(crate) type Departures = BoxStream<'static, NodeId>;

/// Who is there now.
pub(crate) async fn expected(bus: &Bus) -> Result<Vec<Who>, MembersError> {
    let members = bus.expected().await?;
    Ok(members.into_iter().map(Who::from).collect())
}

/// Who leaves from now on.
pub(crate) fn departures(bus: &Bus) -> Departures {
    let left = async |change| match change {
        MemberEvent::Left { member, .. } => Some(member.id),
        MemberEvent::Joined(_) => None,
    };
    bus.departures().filter_map(left).boxed()
}

impl From<Member> for Who {
    fn from(member: Member) -> Self {
        Self {
            node: member.id,
            name: Some(member.name),
            role: member.role,
        }
    }
}
