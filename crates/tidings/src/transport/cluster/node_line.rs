//! A line of the answer to `CLUSTER NODES`.

use crate::transport::cluster::nodes::SLOTS;

/// A node, as another one lists it: `id host:port@bus,name flags master ping pong epoch link slots…`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NodeLine<'a> {
    pub(crate) id: &'a str,
    /// Empty if the node that was asked does not know its own.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// Its flags, separated by commas.
    pub(crate) flags: &'a str,
    /// The id of the master of a replica.
    pub(crate) master: Option<&'a str>,
    /// The first and the last slot of each range that it has.
    pub(crate) slots: Vec<(u16, u16)>,
}

impl<'a> NodeLine<'a> {
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let (id, address, flags) = (fields.next()?, fields.next()?, fields.next()?);
        let master = fields.next().filter(|master| *master != "-");
        let (host, port) = address.split('@').next()?.rsplit_once(':')?;
        Some(Self {
            id,
            host,
            port: port.parse().ok()?,
            flags,
            master,
            slots: fields.skip(4).filter_map(slots).collect(),
        })
    }

    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(',').any(|it| it == flag)
    }
}

/// Parses `5` or `5-9`. A slot that moves, `[5->-id]`, is among the others, too.
fn slots(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < SLOTS).then_some((first, last))
}
