//! The operations on the roll, in memory.

use tidings_codec::NodeId;

use crate::keyspace::answer::Answer;
use crate::keyspace::member_list::entries::Entries;
use crate::keyspace::member_list::{Beat, Keys, Listed, Renewed, Roll};
use crate::keyspace::memory::{InMemory, MemoryKeys};

impl InMemory {
    fn roll(&mut self, keys: Keys) -> &mut Entries {
        self.rolls.entry(keys).or_default()
    }
}

impl Roll for MemoryKeys {
    fn beat(&self, keys: &Keys, beat: Beat) -> Answer<Renewed> {
        let keys = keys.clone();
        self.change(move |kept| kept.roll(keys).beat(&beat))
    }

    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()> {
        let keys = keys.clone();
        self.change(move |kept| ((), kept.roll(keys).remove(id, "left")))
    }

    fn list(&self, keys: &Keys) -> Answer<Listed> {
        let keys = keys.clone();
        self.change(move |kept| (kept.roll(keys).list(), None))
    }

    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
        let (keys, ids) = (keys.clone(), ids.to_vec());
        self.change(move |kept| {
            let roll = kept.roll(keys);
            (ids.iter().map(|id| roll.description(*id)).collect(), None)
        })
    }
}
