//! From an event's name to the subscriptions that want it. No I/O.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use foldhash::fast::RandomState;
use tidings_codec::{EventError, Header, NodeId, RawEvent, To};
use tokio::sync::Notify;

use crate::ask::asked::{Asked, Reply};
use crate::ask::asks::{Asks, question};
use crate::error::OnError;
use crate::event::{Claim, Names};
use crate::notices::{Listener, Notice, Notices, is_notice};
use crate::subscription::{Batch, Item, Seat, Shared};
use crate::trace::Remote;

/// Copy unless the wanted payloads are at least this part of the frame: a queue must not keep a
/// large frame alive for one small event of it.
const KEEP_FRAME_FROM: usize = 4;

/// Who listens to what.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    registered: Mutex<Vec<Registered>>,
    /// Made anew at each change, so that the receiver takes one lock per frame.
    table: RwLock<Arc<Table>>,
    /// Somebody listens who did not before, or does not any more.
    pub(crate) changed: Notify,
    /// What the bus's own parts hear.
    pub(crate) notices: Arc<Notices>,
    /// Who waits for answers, and who gives them.
    pub(crate) asks: Arc<Asks>,
}

#[derive(Debug)]
struct Registered {
    seat: Arc<Seat>,
    names: Names,
    shares: Option<TypeId>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By the name's bytes: a text would have to be checked for UTF-8 at each look.
    index: HashMap<Box<[u8]>, u32, RandomState>,
    names: Arc<[Arc<str>]>,
    /// For each name, the seats that want it.
    routes: Vec<Route>,
    /// The seats that want every name that nobody else does.
    others: Route,
    seats: Vec<Arc<Seat>>,
    /// There will be none any more.
    is_over: bool,
}

#[derive(Debug, Default)]
struct Route {
    seats: Vec<Place>,
    /// How many types are decoded once for several of the seats.
    shared: usize,
}

/// A seat by its index, and the decoded value that it shares with others.
#[derive(Clone, Copy, Debug)]
struct Place {
    seat: usize,
    shared: Option<usize>,
}

impl Dispatcher {
    pub(crate) fn new(asks: Asks) -> Self {
        Self {
            registered: Mutex::default(),
            table: RwLock::default(),
            changed: Notify::new(),
            notices: Arc::default(),
            asks: Arc::new(asks),
        }
    }

    /// Adds a subscription.
    pub(crate) fn add(
        &self,
        seat: Arc<Seat>,
        names: Names,
        shares: Option<TypeId>,
    ) -> Result<(), OnError> {
        let mut registered = self.lock();
        refuse_conflicts(&registered, &names)?;
        registered.push(Registered {
            seat,
            names,
            shares,
        });
        self.rebuild(&registered);
        Ok(())
    }

    /// Lets a part of the bus hear its own events.
    pub(crate) fn listen(&self, name: &'static str, listener: Arc<dyn Listener>) {
        self.notices.add(name, listener);
        self.changed.notify_one();
    }

    /// Takes a subscription out; its queue is left as it is.
    pub(crate) fn remove(&self, id: u64) {
        let mut registered = self.lock();
        registered.retain(|registered| registered.seat.id != id);
        self.rebuild(&registered);
    }

    /// Takes all subscriptions out: the bus ends.
    pub(crate) fn clear(&self) -> Vec<Arc<Seat>> {
        let mut registered = self.lock();
        let all = registered
            .drain(..)
            .map(|registered| registered.seat)
            .collect();
        self.replace(Table {
            is_over: true,
            ..Table::default()
        });
        all
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn rebuild(&self, registered: &[Registered]) {
        self.replace(Table::of(registered));
    }

    fn replace(&self, table: Table) {
        let table = Arc::new(table);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Registered>> {
        self.registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse_conflicts(registered: &[Registered], names: &Names) -> Result<(), OnError> {
    let known = registered
        .iter()
        .flat_map(|registered| &registered.names.list);
    let mut claims: HashMap<&str, Claim> = HashMap::new();
    for name in known.chain(&names.list) {
        let Some(claim) = name.claim else { continue };
        let first = *claims.entry(&name.name).or_insert(claim);
        if first.payload != claim.payload {
            return Err(OnError::Conflict {
                event: name.name.to_string(),
                first: first.type_name,
                second: claim.type_name,
            });
        }
    }
    Ok(())
}

impl Table {
    fn of(registered: &[Registered]) -> Self {
        let mut table = Self::default();
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut sharing: Vec<Vec<TypeId>> = Vec::new();
        let mut sharing_others = Vec::new();
        for (seat, one) in registered.iter().enumerate() {
            table.seats.push(Arc::clone(&one.seat));
            for name in &one.names.list {
                let next = u32::try_from(names.len()).expect("fewer than 2^32 names");
                let name: Arc<str> = Arc::from(&*name.name);
                let entry = *table.index.entry(name.as_bytes().into()).or_insert(next) as usize;
                if entry == names.len() {
                    names.push(name);
                    table.routes.push(Route::default());
                    sharing.push(Vec::new());
                }
                table.routes[entry].add(seat, one.shares, &mut sharing[entry]);
            }
            if one.names.other {
                table.others.add(seat, one.shares, &mut sharing_others);
            }
        }
        table.names = names.into();
        table
    }

    /// Whether no event can have a handler here.
    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }
}

impl Route {
    fn add(&mut self, seat: usize, shares: Option<TypeId>, types: &mut Vec<TypeId>) {
        // An enum can name one event twice, through a variant and the variant's own enum.
        if self.seats.last().is_some_and(|last| last.seat == seat) {
            return;
        }
        let shared = shares.map(|shares| {
            types
                .iter()
                .position(|known| *known == shares)
                .unwrap_or_else(|| {
                    types.push(shares);
                    types.len() - 1
                })
        });
        self.seats.push(Place { seat, shared });
        self.shared = types.len();
    }
}

/// Sorts the events of a frame by the subscriptions that want them.
#[derive(Debug)]
pub(crate) struct Sorter {
    me: NodeId,
    notices: Arc<Notices>,
    asks: Arc<Asks>,
    /// For each seat, what it gets of the frame at hand.
    wanted: Vec<Vec<Item>>,
}

/// A frame with its events, and what the sequence said of it.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) bytes: &'a Bytes,
    pub(crate) header: Header,
    pub(crate) events: &'a mut Vec<Result<RawEvent, EventError>>,
    /// How many events at its beginning were heard before.
    pub(crate) known: usize,
}

impl Sorter {
    pub(crate) fn new(me: NodeId, dispatcher: &Dispatcher) -> Self {
        Self {
            me,
            notices: Arc::clone(&dispatcher.notices),
            asks: Arc::clone(&dispatcher.asks),
            wanted: Vec::new(),
        }
    }

    /// Makes one batch for each subscription that wants something of this frame. Malformed events
    /// are given to `report`.
    pub(crate) fn sort(
        &mut self,
        table: &Table,
        arrived: Arrived<'_>,
        mut report: impl FnMut(EventError),
    ) -> Vec<(Arc<Seat>, Batch)> {
        let Arrived {
            bytes,
            header,
            events,
            known,
        } = arrived;
        self.wanted.resize_with(table.seats.len(), Vec::new);
        let mut unknown_names = Vec::new();
        for (index, event) in events.drain(..).enumerate().skip(known) {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    report(error);
                    continue;
                }
            };
            if !self.is_for_me(event.to, header.from) {
                continue;
            }
            let (name, route) = match table.index.get(event.name_bytes(bytes)) {
                Some(entry) => (*entry, &table.routes[*entry as usize]),
                None if is_notice(event.name_bytes(bytes)) => {
                    self.notices
                        .hear(event.name(bytes), &Notice::of(&event, header, bytes));
                    continue;
                }
                None if table.others.seats.is_empty() => {
                    if let Some(question) = question(&event, header, bytes) {
                        let reply = Reply::without_handler(table.is_over);
                        self.asks.reply(question, reply);
                    }
                    continue;
                }
                None => {
                    unknown_names.push(Arc::from(event.name(bytes)));
                    let index = table.names.len() + unknown_names.len() - 1;
                    let index = u32::try_from(index).expect("a frame has fewer names than bytes");
                    (index, &table.others)
                }
            };
            let number = header.seq.map_or(0, |first| first + index as u64);
            let remote = Remote::of(&event, header.format, bytes);
            let asked = question(&event, header, bytes)
                .map(|question| Asked::new(&self.asks, question, route.seats.len()));
            self.put(route, asked.as_ref(), |shared| Item {
                name,
                payload: event.payload_range(),
                number,
                at: event.at,
                remote: remote.clone(),
                shared,
            });
        }
        let names = if unknown_names.is_empty() {
            Arc::clone(&table.names)
        } else {
            table.names.iter().cloned().chain(unknown_names).collect()
        };
        self.batches(table, bytes, header, &names)
    }

    fn is_for_me(&self, to: To, from: Option<NodeId>) -> bool {
        match to {
            To::All => true,
            To::Others => from != Some(self.me),
            To::Node(node) => node == self.me,
        }
    }

    fn put(
        &mut self,
        route: &Route,
        asked: Option<&Arc<Asked>>,
        item: impl Fn(Option<Arc<Shared>>) -> Item,
    ) {
        if let ([only], None) = (&*route.seats, asked) {
            self.wanted[only.seat].push(item(None));
            return;
        }
        let shared: Vec<_> = (0..route.shared).map(|_| Shared::new(asked)).collect();
        for place in &route.seats {
            let shared = match place.shared {
                Some(index) => Some(Arc::clone(&shared[index])),
                None => asked.map(|asked| Shared::new(Some(asked))),
            };
            self.wanted[place.seat].push(item(shared));
        }
    }

    fn batches(
        &mut self,
        table: &Table,
        frame: &Bytes,
        header: Header,
        names: &Arc<[Arc<str>]>,
    ) -> Vec<(Arc<Seat>, Batch)> {
        let mut batches = Vec::new();
        for (seat, wanted) in table.seats.iter().zip(&mut self.wanted) {
            if wanted.is_empty() {
                continue;
            }
            let next = Vec::with_capacity(wanted.len());
            let mut events = std::mem::replace(wanted, next);
            let bytes = keep_or_copy(frame, &mut events);
            let names = Arc::clone(names);
            let (format, from) = (header.format, header.from);
            batches.push((
                Arc::clone(seat),
                Batch {
                    bytes,
                    format,
                    from,
                    names,
                    events,
                },
            ));
        }
        batches
    }
}

/// The frame itself, or a copy of the payloads when they are a small part of it.
fn keep_or_copy(frame: &Bytes, events: &mut [Item]) -> Bytes {
    let wanted: usize = events.iter().map(|event| event.payload.len()).sum();
    if wanted * KEEP_FRAME_FROM >= frame.len() {
        return frame.clone();
    }
    let mut copy = Vec::with_capacity(wanted);
    for event in events {
        let start = u32::try_from(copy.len()).expect("a copy is smaller than its frame");
        copy.extend_from_slice(&frame[event.payload.start as usize..event.payload.end as usize]);
        event.payload = start..start + (event.payload.end - event.payload.start);
    }
    copy.into()
}
