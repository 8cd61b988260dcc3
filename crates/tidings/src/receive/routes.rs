//! The routing table: from an event's name to its subscriptions. It is changed in place, so the
//! cost of a registration does not depend on the size of the table. No I/O.

use std::any::TypeId;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::error::subscribe::SubscribeError;
use crate::event::name::is_control_event;
use crate::event::{Claim, Names};
use crate::receive::subscription::SubscriptionSlot;

/// The slot of a place whose subscription was removed.
const ENDED: usize = usize::MAX;

#[derive(Debug, Default)]
pub(crate) struct Table<S = RandomState> {
    /// Keyed by bytes: a `str` would need a UTF-8 check at each look-up.
    routes: HashMap<Box<[u8]>, Route, S>,
    /// The subscriptions to all names without a route.
    others: Route,
    /// The subscriptions to all events. They are among the others, too.
    all: Route,
    /// One slot for each subscription; slots are reused.
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_id: HashMap<u64, usize, S>,
    /// The number of subscriptions that were ever added.
    added: u64,
    /// True when no subscription can be added any more.
    is_over: bool,
}

/// A subscription with the names that it wants.
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
    /// The number of removed places.
    ended: usize,
    /// The payload type of the name, and the number of subscriptions that claim it.
    claim: Option<(Claim, usize)>,
    /// The types that are decoded once for several subscriptions.
    shared: Vec<TypeId>,
}

/// A subscription's place in a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The order of registration, by which the places of a route are sorted.
    order: u64,
    pub(crate) slot: usize,
    /// The index of the name in the subscription's list; the list's length for all other names.
    pub(crate) name: u32,
    /// The index of the decoded value that it shares with other subscriptions.
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
        self.check_conflicts(&wanted)?;
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
        if wanted.all {
            self.all.add(order, slot, 0, shares);
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
        if wanted.all {
            self.all.remove(order);
        }
    }

    /// Removes and returns all subscriptions, and accepts no more.
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

    /// The subscriptions that list this name, if there are any.
    pub(crate) fn route(&self, name: &[u8]) -> Option<&Route> {
        self.routes.get(name)
    }

    /// Returns true if a subscription wants events of this name.
    pub(crate) fn wants(&self, name: &[u8]) -> bool {
        let is_other = || !self.others.is_empty() && !is_control_event(name);
        self.routes.contains_key(name) || is_other()
    }

    /// The subscriptions to all names without a route.
    pub(crate) fn others(&self) -> &Route {
        &self.others
    }

    /// Those that want every name with a route, besides those of the route.
    pub(crate) fn all(&self) -> &Route {
        &self.all
    }

    pub(crate) fn entry(&self, slot: usize) -> &Entry {
        let entry = self.slots[slot].as_ref();
        entry.expect("a place that was not removed has its subscription")
    }

    /// All subscriptions with a name, in the order of registration.
    pub(crate) fn entries(&self) -> Vec<&Entry> {
        let is_named = |entry: &&Entry| !entry.names.is_empty() || entry.wants_others();
        let mut entries: Vec<_> = self.slots.iter().flatten().filter(is_named).collect();
        entries.sort_by_key(|entry| entry.order);
        entries
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns true if there are no subscriptions.
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.others.is_empty()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    fn check_conflicts(&self, wanted: &Names) -> Result<(), SubscribeError> {
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
    /// Returns true if it wants all names without a route.
    pub(crate) fn wants_others(&self) -> bool {
        self.wanted.other
    }
}

impl Route {
    /// The places that were not removed.
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

    /// The number of types that are decoded once for several subscriptions.
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

    /// Marks the place as removed. The list is compacted once over half of the places are removed.
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
    fn subscriptions_to_a_name_stay_in_order_of_registration() {
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
    fn the_payload_type_of_a_name_is_free_after_its_last_subscription() {
        let mut table = Table::<RandomState>::default();
        let first = add(&mut table, &["tick"]);
        let second = add(&mut table, &["tick"]);
        let other = || {
            let mut names = Names::default();
            names.add::<String>("tick");
            names
        };
        table.remove(first);
        let rejected = table.add(subscription(), other(), None);
        assert!(matches!(rejected, Err(SubscribeError::Conflict { .. })));
        table.remove(second);
        table.add(subscription(), other(), None).unwrap();
    }

    #[test]
    fn a_closed_table_accepts_no_subscription_even_after_a_removal() {
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
    fn the_cost_of_a_registration_does_not_depend_on_the_size_of_the_table() {
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
    fn removed_streams_leave_no_slots_and_few_places() {
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
