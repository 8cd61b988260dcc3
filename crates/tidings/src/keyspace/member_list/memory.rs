//! The operations on the member list, in memory.

use tidings_codec::NodeId;

use crate::keyspace::answer::Answer;
use crate::keyspace::member_list::stored::StoredMembers;
use crate::keyspace::member_list::{Keys, Listed, MemberList, Renewal, Renewed};
use crate::keyspace::memory::{InMemory, MemoryKeys};

impl InMemory {
    fn member_list(&mut self, keys: Keys) -> &mut StoredMembers {
        self.member_lists.entry(keys).or_default()
    }
}

impl MemberList for MemoryKeys {
    fn renew(&self, keys: &Keys, renewal: Renewal) -> Answer<Renewed> {
        let keys = keys.clone();
        self.change(move |stored| stored.member_list(keys).renew(&renewal))
    }

    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()> {
        let keys = keys.clone();
        self.change(move |stored| ((), stored.member_list(keys).remove(id, "left")))
    }

    fn list(&self, keys: &Keys) -> Answer<Listed> {
        let keys = keys.clone();
        self.change(move |stored| (stored.member_list(keys).list(), None))
    }

    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
        let (keys, ids) = (keys.clone(), ids.to_vec());
        self.change(move |stored| {
            let member_list = stored.member_list(keys);
            (
                ids.iter().map(|id| member_list.description(*id)).collect(),
                None,
            )
        })
    }
}
