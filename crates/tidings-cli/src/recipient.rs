//! Finds the members that an event is for.

use tidings::{Bus, Member};

use crate::args::To;
use crate::exit::{Exit, Problem};
use crate::terminal::escape;

/// The fewest digits of an id that name a node.
const DIGITS: usize = 8;

/// The receivers of an event.
#[derive(Debug)]
pub(crate) enum Recipients {
    All,
    Others,
    Members(Vec<Member>),
}

impl Recipients {
    /// Looks a name, an id or a role up in the list of members.
    pub(crate) async fn find(bus: &Bus, to: &To) -> anyhow::Result<Self> {
        let found = match to {
            To::All => return Ok(Self::All),
            To::Others => return Ok(Self::Others),
            To::Role(role) => with_role(bus.members().await?, role)?,
            To::Member(name) => vec![named(bus.members().await?, name)?],
        };
        Ok(Self::Members(found))
    }
}

fn with_role(mut members: Vec<Member>, role: &str) -> Result<Vec<Member>, Problem> {
    members.retain(|member| member.role.as_deref() == Some(role));
    if members.is_empty() {
        let text = format!("no member has the role `{}`", escape(role));
        return Err(Problem::new(Exit::Nobody, text).help("`tidings members` shows the roles"));
    }
    Ok(members)
}

/// Returns the only member with this name, this id or this beginning of an id.
pub(crate) fn named(mut members: Vec<Member>, name: &str) -> Result<Member, Problem> {
    members.retain(|member| {
        member.name == name || (name.len() >= DIGITS && member.id.to_string().starts_with(name))
    });
    let shown = escape(name);
    match members.len() {
        1 => Ok(members.remove(0)),
        0 => {
            let text = format!("no member has the name or the id `{shown}`");
            Err(Problem::new(Exit::Nobody, text).help("`tidings members` shows the names"))
        }
        several => {
            let ids: Vec<_> = members.iter().map(|member| member.id.to_string()).collect();
            let text = format!("{several} members have the name `{shown}`");
            Err(Problem::usage(text).help(format!("use one of their ids: {}", ids.join(", "))))
        }
    }
}
