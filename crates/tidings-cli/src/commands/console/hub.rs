//! The viewers, and what all of them see: one tap and one look for all.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tidings::{GapReason, NodeId, TapItem, TappedEvent};
use tokio::sync::watch;

use super::filter::Filter;
use super::limits::STREAMS;
use super::lock::lock;
use super::mask::Secrecy;
use super::row::{self, Seen};
use super::viewer::Viewer;
use crate::commands::listen::Rates;
use crate::time::milliseconds_of;

/// The number of seconds that are remembered.
const HISTORY: usize = 300;

/// The number of names whose rates are shown.
const NAMES: usize = 20;

/// The state that the viewers see.
pub(super) struct Hub {
    secrecy: Secrecy,
    viewers: Mutex<Vec<Arc<Viewer>>>,
    /// The number of viewers.
    pub(super) count: watch::Sender<usize>,
    /// The last look, as JSON; empty while nobody looks.
    pub(super) looks: watch::Sender<Arc<str>>,
    /// The names of the members, for those that the tap does not know.
    names: Mutex<HashMap<NodeId, String>>,
    rates: Mutex<Rates>,
    /// The rates before the last tick.
    last_rates: Mutex<Value>,
    history: Mutex<VecDeque<Value>>,
}

/// A viewer that leaves when this is dropped.
pub(super) struct Watching {
    hub: Arc<Hub>,
    pub(super) viewer: Arc<Viewer>,
}

impl Hub {
    pub(super) fn new(secrecy: Secrecy) -> Arc<Self> {
        Arc::new(Self {
            secrecy,
            viewers: Mutex::default(),
            count: watch::Sender::new(0),
            looks: watch::Sender::new("".into()),
            names: Mutex::default(),
            rates: Mutex::new(Rates::start()),
            last_rates: Mutex::new(no_rates()),
            history: Mutex::default(),
        })
    }

    /// Adds a viewer, unless there are too many.
    pub(super) fn enter(self: &Arc<Self>, filter: Filter) -> Option<Watching> {
        let mut viewers = lock(&self.viewers);
        if viewers.len() >= STREAMS {
            return None;
        }
        let viewer = Arc::new(Viewer::new(filter));
        viewers.push(Arc::clone(&viewer));
        self.count.send_replace(viewers.len());
        let hub = Arc::clone(self);
        Some(Watching { hub, viewer })
    }

    /// Shows an item of the tap to those who want it.
    pub(super) fn take(&self, item: &TapItem) {
        match item {
            TapItem::Event(event) => self.event(event),
            TapItem::Gap(gap) => {
                if let (GapReason::Overflow { .. }, Some(events)) = (&gap.reason, gap.missed) {
                    self.skip(events);
                } else {
                    let names = lock(&self.names);
                    let name = gap.sender.and_then(|sender| names.get(&sender));
                    self.remark(&row::gap(gap, name.map(String::as_str)));
                }
            }
            TapItem::Unreadable(frame) => self.remark(&row::unreadable(frame)),
            _ => {}
        }
    }

    fn event(&self, event: &TappedEvent) {
        if !event.is_control() {
            lock(&self.rates).count(event.name());
        }
        let names = lock(&self.names);
        let known = || names.get(&(*event.sender())?).map(String::as_str);
        let name = event.sender_name().or_else(known);
        let seen = Seen::new(event, name, &self.secrecy);
        for viewer in &*lock(&self.viewers) {
            viewer.event(&seen);
        }
    }

    /// Counts events that did not fit the queue of the tap.
    fn skip(&self, events: u64) {
        let viewers = lock(&self.viewers);
        let viewers = viewers.iter().filter(|viewer| viewer.wants_events());
        viewers.for_each(|viewer| viewer.skip(events));
    }

    fn remark(&self, row: &Value) {
        let row: Arc<str> = row.to_string().into();
        for viewer in &*lock(&self.viewers) {
            viewer.remark(&row);
        }
    }

    pub(super) fn name_members(&self, names: HashMap<NodeId, String>) {
        *lock(&self.names) = names;
    }

    /// Begins a second: the rates are those of the time since the last call, which is longer if a
    /// look took longer.
    pub(super) fn tick(&self) {
        let rates = lock(&self.rates).take_per_second();
        let total: u64 = rates.iter().map(|(_, rate)| rate).sum();
        let shown = rates.iter().take(NAMES);
        let names = shown.map(|(name, rate)| json!({ "name": name, "per_second": rate }));
        let names = names.collect::<Vec<_>>();
        *lock(&self.last_rates) = json!({ "per_second": total, "names": names });
        let shown = rates.into_iter().take(NAMES);
        let names: Map<_, _> = shown.map(|(name, rate)| (name, rate.into())).collect();
        let at = milliseconds_of(SystemTime::now());
        let mut history = lock(&self.history);
        if history.len() >= HISTORY {
            history.pop_front();
        }
        history.push_back(json!({ "at": at, "per_second": total, "names": names }));
    }

    /// Begins to count, as nobody looked before.
    pub(super) fn begin(&self) {
        *lock(&self.rates) = Rates::start();
    }

    /// Forgets the last look and the rates, which grow old.
    pub(super) fn end(&self) {
        self.looks.send_replace("".into());
        *lock(&self.last_rates) = no_rates();
    }

    pub(super) fn rates(&self) -> Value {
        lock(&self.last_rates).clone()
    }

    pub(super) fn history(&self) -> Vec<Value> {
        lock(&self.history).iter().cloned().collect()
    }
}

fn no_rates() -> Value {
    json!({ "per_second": 0, "names": [] })
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut viewers = lock(&self.hub.viewers);
        viewers.retain(|viewer| !Arc::ptr_eq(viewer, &self.viewer));
        self.hub.count.send_replace(viewers.len());
    }
}
