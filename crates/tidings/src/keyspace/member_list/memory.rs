//! The operations on the member list, in memory.

use tidings_codec::NodeId;

use crate::keyspace::answer::Answer;
use crate::keyspace::member_list::stored::StoredMembers;
use crate::keyspace::member_list::{Listed, MemberList, Renewal, Renewed};
use crate::keyspace::memory::{InMemory, MemoryKeys};
use crate::namespace::MemberKeys;

impl InMemory {
    fn member_list(&mut self, keys: MemberKeys) -> &mut StoredMembers {
        let member_list = self.member_lists.entry(keys).or_default();
        member_list.expire_all();
        member_list
    }
}

impl MemberList for MemoryKeys {
    fn renew(&self, keys: &MemberKeys, renewal: Renewal) -> Answer<Renewed> {
        let keys = keys.clone();
        self.change(move |stored| stored.member_list(keys).renew(&renewal))
    }

    fn leave(&self, keys: &MemberKeys, id: NodeId) -> Answer<()> {
        let keys = keys.clone();
        self.change(move |stored| ((), stored.member_list(keys).remove(id, "left")))
    }

    fn list(&self, keys: &MemberKeys) -> Answer<Listed> {
        self.query(|stored| stored.member_list(keys.clone()).list())
    }

    fn describe(&self, keys: &MemberKeys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
        self.query(|stored| {
            let member_list = stored.member_list(keys.clone());
            ids.iter().map(|id| member_list.description(*id)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keyspace::member_list::renewal_gaps::RECONNECT_TIME;
    use crate::memory::Place;
    use crate::namespace::Namespace;

    #[tokio::test(start_paused = true)]
    async fn an_expired_list_has_no_descriptions() {
        let keys = Namespace::parse("shop").unwrap().members();
        let (id, lease) = (NodeId::new(7), Duration::from_secs(15));
        let place = Place::of("an expired list", "shop");
        let memory = MemoryKeys { place };
        let renewal = Renewal {
            id,
            lease,
            description: "{}".to_owned(),
            started: None,
        };
        memory.renew(&keys, renewal).await.unwrap();
        assert!(memory.describe(&keys, &[id]).await.unwrap()[0].is_some());

        tokio::time::advance(2 * lease + RECONNECT_TIME).await;

        assert_eq!(memory.describe(&keys, &[id]).await.unwrap(), [None]);
    }
}
