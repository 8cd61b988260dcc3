//! The subscriptions of a bus, by the names that they want. It is changed in place: a registration
//! costs the same however many there are. No I/O.

use std::any::TypeId;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::error::subscribe::SubscribeError;
use crate::event::{Claim, Names};
use crate::receive::subscription::SubscriptionSlot;

/// The slot of a place whose subscription has ended.
const ENDED: usize = usize::MAX;

#[derive(Debug, Default)]
pub(crate) struct Table<S = RandomState> {
    /// By the name's bytes: a text would have to be checked for UTF-8 at each look.
    routes: HashMap<Box<[u8]>, Route, S>,
    /// The subscriptions to every name that no other one wants.
    others: Route,
    /// Each subscription in a slot of its own, which is used again after its end.
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_id: HashMap<u64, usize, S>,
    /// How many subscriptions were added so far.
    added: u64,
    /// No subscription is added any more.
    is_over: bool,
}

/// A subscription with what it wants.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) subscription: Arc<SubscriptionSlot>,
    /// The names that the items of its batches refer to.
    pub(crate) names: Arc<[Arc<str>]>,
    wanted: Names,
    order: u64,
}

/// The subscriptions to one name, in the order in which they were registered.
#[derive(Debug, Default)]
pub(crate) struct Route {
    places: Vec<Place>,
    /// How many of the places have ended.
    ended: usize,
    /// The type that claims the name, and how many subscriptions say so.
    claim: Option<(Claim, usize)>,
    /// The types that are decoded once for several subscriptions.
    shared: Vec<TypeId>,
}

/// A subscription's place in a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// When the subscription was added: the places of a route are sorted by it.
    order: u64,
    pub(crate) slot: usize,
    /// The index of the name in the subscription's list; behind the list where it wants all others.
    pub(crate) name: u32,
    /// The index of the decoded value that it shares with others.
    pub(crate) shared: Option<usize>,
}

impl<S: BuildHasher + Default> Table<S> {
    pub(crate) fn add(
        &mut self,
        subscription: Arc<SubscriptionSlot>,
        wanted: Names,
        shares: Option<TypeId>,
    ) -> Result<(), SubscribeError> {
        if self.is_over {
            return Err(SubscribeError::Closed);
        }
        self.refuse_conflicts(&wanted)?;
        let order = self.added;
        self.added += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        for (name, index) in wanted.list.iter().zip(0..) {
            let key = name.name.as_bytes();
            if !self.routes.contains_key(key) {
                self.routes.insert(key.into(), Route::default());
            }
            let route = self.routes.get_mut(key).expect("it was put in above");
            route.claim(name.claim);
            route.add(order, slot, index, shares);
        }
        let names: Arc<[Arc<str>]> = wanted.list.iter().map(|name| (*name.name).into()).collect();
        if wanted.other {
            let behind = u32::try_from(names.len()).expect("a type has fewer than 2^32 names");
            self.others.add(order, slot, behind, shares);
        }
        self.by_id.insert(subscription.id, slot);
        self.slots[slot] = Some(Entry {
            subscription,
            names,
            wanted,
            order,
        });
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: u64) {
        let Some(slot) = self.by_id.remove(&id) else {
            return;
        };
        let Some(Entry { wanted, order, .. }) = self.slots[slot].take() else {
            return;
        };
        self.free.push(slot);
        for name in &wanted.list {
            let key = name.name.as_bytes();
            let Some(route) = self.routes.get_mut(key) else {
                continue;
            };
            route.unclaim(name.claim);
            route.remove(order);
            if route.is_empty() {
                self.routes.remove(key);
            }
        }
        if wanted.other {
            self.others.remove(order);
        }
    }

    /// Takes all subscriptions out, and lets none in any more.
    pub(crate) fn end(&mut self) -> Vec<Arc<SubscriptionSlot>> {
        let ended = std::mem::replace(
            self,
            Self {
                is_over: true,
                ..Self::default()
            },
        );
        let mut entries: Vec<_> = ended.slots.into_iter().flatten().collect();
        entries.sort_by_key(|entry| entry.order);
        entries
            .into_iter()
            .map(|entry| entry.subscription)
            .collect()
    }

    /// The subscriptions that want this name, if any names it.
    pub(crate) fn route(&self, name: &[u8]) -> Option<&Route> {
        self.routes.get(name)
    }

    /// Those that want every name without a route.
    pub(crate) fn others(&self) -> &Route {
        &self.others
    }

    pub(crate) fn entry(&self, slot: usize) -> &Entry {
        let entry = self.slots[slot].as_ref();
        entry.expect("a place that has not ended has its subscription")
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Whether no event can have a handler here.
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.others.is_empty()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    fn refuse_conflicts(&self, wanted: &Names) -> Result<(), SubscribeError> {
        let mut own: HashMap<&str, Claim> = HashMap::new();
        for name in &wanted.list {
            let Some(claim) = name.claim else { continue };
            let claimed = self.route(name.name.as_bytes());
            let first = match claimed.and_then(|route| route.claim) {
                Some((first, _)) => first,
                None => *own.entry(&name.name).or_insert(claim),
            };
            if first.payload != claim.payload {
                return Err(SubscribeError::Conflict {
                    event: name.name.to_string(),
                    first: first.type_name,
                    second: claim.type_name,
                });
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Whether it wants the names that no other one does.
    pub(crate) fn wants_others(&self) -> bool {
        self.wanted.other
    }
}

impl Route {
    /// The places of the subscriptions that have not ended.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.slot != ENDED)
    }

    /// The place of the only subscription, if there is one.
    pub(crate) fn only(&self) -> Option<&Place> {
        match &*self.places {
            [only] => Some(only),
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.ended
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many types are decoded once for several subscriptions.
    pub(crate) fn shared(&self) -> usize {
        self.shared.len()
    }

    fn add(&mut self, order: u64, slot: usize, name: u32, shares: Option<TypeId>) {
        // An enum can name one event twice, through a variant and the variant's own enum.
        if self.places.last().is_some_and(|last| last.order == order) {
            return;
        }
        let shared = shares.map(|shares| {
            let known = self.shared.iter().position(|known| *known == shares);
            known.unwrap_or_else(|| {
                self.shared.push(shares);
                self.shared.len() - 1
            })
        });
        self.places.push(Place {
            order,
            slot,
            name,
            shared,
        });
    }

    /// Only marks the place: to close the gap moves all that follow, and is worth it once half of
    /// them have ended.
    fn remove(&mut self, order: u64) {
        let place = self
            .places
            .binary_search_by_key(&order, |place| place.order);
        let Some(place) = place.ok().map(|index| &mut self.places[index]) else {
            return;
        };
        if place.slot == ENDED {
            return;
        }
        place.slot = ENDED;
        self.ended += 1;
        if self.ended * 2 > self.places.len() {
            self.places.retain(|place| place.slot != ENDED);
            self.ended = 0;
        }
    }

    fn claim(&mut self, claim: Option<Claim>) {
        let Some(claim) = claim else { return };
        let (_, claims) = self.claim.get_or_insert((claim, 0));
        *claims += 1;
    }

    fn unclaim(&mut self, claim: Option<Claim>) {
        if claim.is_none() {
            return;
        }
        self.claim = self.claim.take().and_then(|(claim, claims)| {
            let left = claims - 1;
            (left > 0).then_some((claim, left))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::receive::subscription::HandlerOptions;

    const MANY: u64 = 10_000;

    fn subscription() -> Arc<SubscriptionSlot> {
        Arc::new(SubscriptionSlot::new(
            Arc::from("tick (a test)"),
            HandlerOptions::new(),
        ))
    }

    fn names(list: &[&'static str]) -> Names {
        let mut names = Names::default();
        for name in list {
            names.add::<u64>(name);
        }
        names
    }

    fn add<S: BuildHasher + Default>(table: &mut Table<S>, list: &[&'static str]) -> u64 {
        let subscription = subscription();
        table
            .add(Arc::clone(&subscription), names(list), None)
            .unwrap();
        subscription.id
    }

    fn ids(table: &Table, name: &str) -> Vec<u64> {
        let places = table
            .route(name.as_bytes())
            .into_iter()
            .flat_map(Route::places);
        places
            .map(|place| table.entry(place.slot).subscription.id)
            .collect()
    }

    #[test]
    fn subscriptions_to_a_name_stay_in_the_order_of_their_registration() {
        let mut table = Table::default();
        let added: Vec<_> = (0..9).map(|_| add(&mut table, &["tick"])).collect();
        for index in [1, 4, 7, 0] {
            table.remove(added[index]);
        }
        let last = add(&mut table, &["tick"]);
        assert_eq!(
            ids(&table, "tick"),
            [added[2], added[3], added[5], added[6], added[8], last]
        );
    }

    #[test]
    fn a_name_without_a_subscription_has_no_route() {
        let mut table = Table::<RandomState>::default();
        let both = add(&mut table, &["tick", "tock"]);
        let tick = add(&mut table, &["tick"]);
        table.remove(both);
        assert!(table.route(b"tock").is_none() && table.route(b"tick").is_some());
        table.remove(tick);
        table.remove(tick);
        assert!(table.route(b"tick").is_none() && table.is_empty());
    }

    #[test]
    fn a_claim_ends_with_the_last_subscription_that_makes_it() {
        let mut table = Table::<RandomState>::default();
        let first = add(&mut table, &["tick"]);
        let second = add(&mut table, &["tick"]);
        let other = || {
            let mut names = Names::default();
            names.add::<String>("tick");
            names
        };
        table.remove(first);
        let refused = table.add(subscription(), other(), None);
        assert!(matches!(refused, Err(SubscribeError::Conflict { .. })));
        table.remove(second);
        table.add(subscription(), other(), None).unwrap();
    }

    #[test]
    fn nothing_is_registered_after_the_end_and_no_removal_reopens_the_table() {
        let mut table = Table::<RandomState>::default();
        let tick = add(&mut table, &["tick"]);
        assert_eq!(table.end().len(), 1);
        table.remove(tick);
        let late = table.add(subscription(), names(&["tick"]), None);
        assert!(matches!(late, Err(SubscribeError::Closed)));
        assert!(table.is_over() && table.is_empty());
    }

    static HASHED: AtomicU64 = AtomicU64::new(0);

    /// Counts how often a key is hashed.
    #[derive(Default)]
    struct Counting(DefaultHasher);

    impl Hasher for Counting {
        fn write(&mut self, bytes: &[u8]) {
            self.0.write(bytes);
        }

        fn finish(&self) -> u64 {
            HASHED.fetch_add(1, Ordering::Relaxed);
            self.0.finish()
        }
    }

    #[test]
    fn registering_looks_at_no_other_subscription() {
        let mut table = Table::<BuildHasherDefault<Counting>>::default();
        for n in 0..MANY {
            add(
                &mut table,
                &[Box::leak(format!("event.{n}").into_boxed_str())],
            );
        }
        // Three look-ups of the name and one of the id; a map that grows hashes its keys again.
        assert!(HASHED.load(Ordering::Relaxed) <= 8 * MANY);
    }

    #[test]
    fn streams_that_begin_and_end_beside_many_leave_nothing_behind() {
        let mut table = Table::<RandomState>::default();
        for _ in 0..MANY {
            add(&mut table, &["tick"]);
        }
        for _ in 0..3 * MANY {
            let stream = add(&mut table, &["tick"]);
            table.remove(stream);
        }
        let others = usize::try_from(MANY).unwrap();
        let route = table.route(b"tick").unwrap();
        assert_eq!((route.len(), table.slots()), (others, others + 1));
        assert!(route.places.len() <= 2 * others + 1);
    }
}
