//! Reads the journal over one connection after the other, and hands its frames on in order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::poll;
use tidings_codec::NodeId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::heartbeat::Heartbeat;
use crate::connection::polling::PollSchedule;
use crate::error::connect::ConnectError;
use crate::error::failure::Failure;
use crate::error::gap::{Gap, GapReason};
use crate::event::position::{JournalPosition, Journaled};
use crate::journal::gathering::Gathering;
use crate::journal::ledger::Ledger;
use crate::journal::page_size::PageSize;
use crate::journal::position::finding::Finding;
use crate::journal::position::resync::{Query, Step};
use crate::journal::position::{Followed, Judgement, Place, RING};
use crate::journal::role::Role;
use crate::journal::state::JournalState;
use crate::keyspace::journal::answer::{Answered, JournalError};
use crate::keyspace::journal::{Content, Entry, Page};
use crate::observe::tap::{Contents, TappedFrame};
use crate::receive::receiver::{Reading, Receiver};
use crate::receive::sorter::Handing;
use crate::transport::journal::FollowHalf;

/// The time after which Redis must have answered, besides the time that it waits for an entry.
const ANSWER: Duration = Duration::from_secs(5);

/// The pause before a server is asked again that cannot answer now.
const PAUSE: Duration = Duration::from_millis(50);

/// The time between two reads after which the journal may be another one behind the same connection:
/// the server may have been a replica in between.
const UNWATCHED: Duration = Duration::from_secs(1);

/// The time that Redis waits for an entry where the role of the bus may change meanwhile.
const TAKEOVER: Duration = Duration::from_secs(1);

/// The count of numbers before the next one of a sender that are those of a frame sent again.
const SENT_AGAIN: u64 = 1 << 16;

/// Reads the journal.
pub(crate) struct Reader {
    pub(crate) receiver: Receiver,
    pub(crate) followed: Followed,
    page_size: PageSize,
    poll_schedule: PollSchedule,
    gathering: Gathering,
    heartbeat: Arc<Heartbeat>,
    state: Arc<JournalState>,
    /// The last entry when the bus started, or became the reader of its durable name.
    tail: JournalPosition,
    /// The role of the bus, if it has a durable name.
    role: Option<watch::Receiver<Role>>,
    /// True if another process reads for the durable name. Between two pages only, so that no entry is
    /// handed on before and after the change.
    is_standby: bool,
    /// The last entry that this bus read as a standby, of which it handled only what was for it alone.
    addressed_until: JournalPosition,
    /// The nodes that read for the durable name before this one.
    predecessors: Option<Arc<[NodeId]>>,
    /// For each sender, the number after the last event that this bus handed on before it became a
    /// standby. Empty once it has read all of that again.
    handed_on: HashMap<NodeId, u64, RandomState>,
    /// The time since which the server cannot answer.
    refused: Option<Instant>,
}

/// The reason why there is no page.
enum NoPage {
    /// The server cannot answer now.
    NotNow,
    Lost(ConnectError),
}

impl Reader {
    pub(crate) fn new(
        mut receiver: Receiver,
        (followed, tail): (Followed, JournalPosition),
        heartbeat: Arc<Heartbeat>,
        state: Arc<JournalState>,
    ) -> Self {
        receiver.waits_without_limit = state.durable.is_some();
        Self {
            receiver,
            followed,
            page_size: PageSize::new(),
            poll_schedule: PollSchedule::new(Instant::now()),
            gathering: Gathering::new(Instant::now()),
            heartbeat,
            role: state
                .durable
                .as_ref()
                .map(|durable| durable.role.subscribe()),
            state,
            tail,
            is_standby: false,
            addressed_until: JournalPosition::START,
            predecessors: None,
            handed_on: HashMap::default(),
            refused: None,
        }
    }

    /// Compares what was read with the journal, over a new connection or after something unexpected.
    /// Returns the entries that follow.
    pub(crate) async fn resync(
        &mut self,
        half: &mut FollowHalf,
    ) -> Result<Vec<Entry>, ConnectError> {
        self.state.meter.resyncs.add(1);
        let mut resync = self.followed.resync();
        loop {
            let asked = match resync.query() {
                Query::From(id) => {
                    let count = self.page_size.entries().max(2);
                    half.store.range(id, None, count)
                }
                Query::Entry(id) => half.store.range(id, Some(id), 1),
                Query::Newest => half.store.newest(),
            };
            let is_to_end = matches!(resync.query(), Query::From(_));
            let mut page = match self.page(half, asked).await {
                Ok(page) => page,
                Err(NoPage::NotNow) => {
                    sleep(PAUSE).await;
                    continue;
                }
                Err(NoPage::Lost(why)) => {
                    self.report_findings();
                    return Err(why);
                }
            };
            let step = self.followed.answer(&mut resync, &page);
            if step != Step::Ask {
                self.report_findings();
            }
            match step {
                Step::Ask => {}
                Step::Done { skip } => {
                    let next = page.entries.split_off(skip);
                    if next.is_empty() && is_to_end {
                        self.has_caught_up();
                    }
                    return Ok(next);
                }
                Step::NotMaster => return Err(not_master()),
            }
        }
    }

    /// Hands on these entries, which are the next ones, and reads on until the connection ends.
    pub(crate) async fn read(
        &mut self,
        half: &mut FollowHalf,
        mut entries: Vec<Entry>,
    ) -> Result<Infallible, ConnectError> {
        let mut answered = Instant::now();
        let mut is_unwatched = false;
        loop {
            while self.take_role(half).await? {
                entries = self.resync(half).await?;
                (answered, is_unwatched) = (Instant::now(), false);
            }
            if is_unwatched {
                self.hand_on(entries).await;
                entries = self.resync(half).await?;
                (answered, is_unwatched) = (Instant::now(), false);
                continue;
            }
            if self.next_read().is_some() {
                self.hand_on(entries).await;
                entries = Vec::new();
                self.pause().await;
            }
            let last = entries.last().map(|entry| entry.id);
            let after = last.unwrap_or(self.followed.position());
            // One page ahead and no more: what else was sent stays in Redis.
            let block = if self.role.is_some() {
                half.block.min(TAKEOVER)
            } else {
                half.block
            };
            let next = half
                .store
                .read_after(after, self.page_size.entries(), block);
            let asked = self.hand_on_and_write(half, entries).await;
            if asked.duration_since(answered) > UNWATCHED {
                entries = self.resync(half).await?;
                answered = Instant::now();
                continue;
            }
            // The page was read when it was asked for, and lay in the socket since then.
            is_unwatched = asked.elapsed() > UNWATCHED;
            entries = self.next_entries(half, next).await?;
            answered = Instant::now();
        }
    }

    /// Waits for a page, and returns the entries to hand on.
    async fn next_entries(
        &mut self,
        half: &mut FollowHalf,
        page: Answered<Page>,
    ) -> Result<Vec<Entry>, ConnectError> {
        match self.page_unless_role_changes(half, page).await {
            Some(Ok(page)) => match self.followed.judge(&page) {
                Judgement::HandOn => {
                    if page.entries.is_empty() {
                        self.has_caught_up();
                    }
                    return Ok(page.entries);
                }
                Judgement::Resync => {}
                Judgement::NotMaster => return Err(not_master()),
            },
            Some(Err(NoPage::NotNow)) => sleep(PAUSE).await,
            Some(Err(NoPage::Lost(why))) => return Err(why),
            None => self.change_role(),
        }
        self.resync(half).await
    }

    /// Takes the role that the bus has now; returns false if it has that one already. After a time in
    /// which the lease can have ended, the role is not known before the next renewal.
    async fn take_role(&mut self, half: &mut FollowHalf) -> Result<bool, ConnectError> {
        let Some(durable) = self.state.durable.clone() else {
            return Ok(false);
        };
        if durable.is_overdue() {
            let heartbeat = Arc::clone(&self.heartbeat);
            tokio::select! {
                biased;
                is_known = durable.knows_role() => if !is_known {
                    return Err(ConnectError::Lost);
                },
                () = heartbeat.broken.notified() => return Err(heartbeat.take_report().why),
                () = &mut half.driver => return Err(ConnectError::Lost),
            }
        }
        // A page may always be there before the wait for it looks at the role.
        let has_changed = self
            .role
            .as_ref()
            .is_some_and(|role| role.has_changed().unwrap_or(false));
        if has_changed {
            self.change_role();
        }
        Ok(has_changed)
    }

    /// The time of the next read: later if no part of the process waits for frames, or if more of them
    /// are about to come; `None` to read at once.
    fn next_read(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if !self.receiver.is_awaited() {
            return self.poll_schedule.next(now);
        }
        if self.receiver.window.is_awaited() {
            return None;
        }
        self.gathering.next(now)
    }

    /// Waits for the next read, or until frames are awaited.
    async fn pause(&mut self) {
        let dispatcher = Arc::clone(&self.receiver.dispatcher);
        let changed_handlers = dispatcher.changed.notified();
        // After the wait began: a handler may have been added just before it.
        let Some(next_read) = self.next_read() else {
            return;
        };
        tokio::select! {
            () = sleep_until(next_read) => {}
            () = changed_handlers => {}
            () = self.receiver.window.is_wanted.notified() => {}
        }
    }

    /// Hands entries on, and writes the commands that are queued: afterwards, or while that takes time.
    /// Returns the time of writing.
    async fn hand_on_and_write(&mut self, half: &mut FollowHalf, entries: Vec<Entry>) -> Instant {
        let mut handing_on = pin!(self.hand_on(entries));
        if poll!(&mut handing_on).is_ready() {
            // The wait for the page writes them.
            return Instant::now();
        }
        half.write().await;
        let written = Instant::now();
        handing_on.await;
        written
    }

    /// The connection was lost.
    pub(crate) fn was_lost(&mut self) {
        self.page_size.was_lost();
    }

    /// Waits for a page; returns `None` if the bus became the reader of its durable name, or is it no
    /// more. A comparison goes on to its end instead: the new role may begin elsewhere.
    async fn page_unless_role_changes(
        &mut self,
        half: &mut FollowHalf,
        answer: Answered<Page>,
    ) -> Option<Result<Page, NoPage>> {
        let mut role = self.role.take();
        let page = tokio::select! {
            biased;
            page = self.page(half, answer) => Some(page),
            () = changed(&mut role) => None,
        };
        self.role = role;
        page
    }

    /// Waits for a page. Nothing else is waited for meanwhile, so that no entry is handed on by half.
    async fn page(
        &mut self,
        half: &mut FollowHalf,
        answer: Answered<Page>,
    ) -> Result<Page, NoPage> {
        let silence = half.block + ANSWER;
        let heartbeat = Arc::clone(&self.heartbeat);
        let answer = tokio::select! {
            biased;
            answer = half.drive(answer) => answer,
            () = heartbeat.broken.notified() => {
                return Err(NoPage::Lost(heartbeat.take_report().why));
            }
            () = sleep(silence) => {
                return Err(NoPage::Lost(ConnectError::Unanswered { silence }));
            }
        };
        match answer {
            Ok(page) => {
                self.refused = None;
                let bytes = page.entries.iter().map(Entry::len).sum();
                let (count, now) = (page.entries.len(), Instant::now());
                if count > 0 {
                    let is_full = count >= self.page_size.entries();
                    self.gathering.was_read(count, bytes, is_full, now);
                }
                self.page_size.was_read(count, bytes);
                self.poll_schedule.received(bytes, now);
                Ok(page)
            }
            Err(JournalError::NotNow(_)) if self.is_soon(silence) => Err(NoPage::NotNow),
            Err(error) => {
                self.refused = None;
                if let JournalError::Elsewhere(error) = &error {
                    (half.redirect)(error);
                }
                Err(NoPage::Lost(
                    error.into_connect_error("reading the journal"),
                ))
            }
        }
    }

    /// Returns true if the server is asked again that cannot answer now. After this time without an
    /// answer the connection is given up, so that the log and the health of the bus say why.
    fn is_soon(&mut self, patience: Duration) -> bool {
        let since = *self.refused.get_or_insert_with(Instant::now);
        since.elapsed() < patience
    }

    /// Hands entries on, in order.
    async fn hand_on(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|entry| entry.id) else {
            return;
        };
        self.state.mark(&entries);
        let count = entries.len();
        for entry in entries {
            self.hand_on_entry(&entry).await;
        }
        self.receiver.report(Instant::now());
        self.state.meter.read(count, self.followed.position());
        if last >= self.tail {
            self.has_caught_up();
        }
    }

    async fn hand_on_entry(&mut self, entry: &Entry) {
        let ledger = self
            .state
            .durable
            .as_ref()
            .map(|durable| Arc::clone(&durable.ledger));
        let unfinished = ledger.as_ref().map(Ledger::enter);
        let numbered = match &entry.content {
            Content::Frame { frame, .. } => {
                let is_rereading = self.followed.is_rereading(entry.id);
                let handing = self.handing(entry);
                let reading = Reading {
                    journaled: Some(self.journaled(entry.id)),
                    known: if is_rereading { u64::MAX } else { SENT_AGAIN },
                    handing,
                    predecessors: self.predecessors(entry.id, handing),
                    unfinished: unfinished.clone().map(|unfinished| unfinished as _),
                };
                self.receiver.receive_entry(frame.clone(), reading).await
            }
            Content::Foreign(_) => {
                let (position, reports) = (entry.id.to_string(), &self.receiver.reports);
                let journaled = Some(self.journaled(entry.id));
                let frame = TappedFrame::new(&Bytes::new(), journaled, Contents::Foreign(entry.id));
                reports.taps.frame(frame);
                reports.unreadable(Failure::ForeignEntry { position });
                None
            }
        };
        let numbers = numbered.map(|(numbers, _)| numbers);
        let is_new = numbered.is_none_or(|(_, is_new)| is_new);
        self.followed.read(entry, numbers, is_new);
        if let Some(ledger) = ledger {
            if self.receiver.dispatcher.is_over() {
                ledger.seal();
            }
            ledger.read(self.followed.place());
        }
    }

    fn journaled(&self, position: JournalPosition) -> Journaled {
        Journaled {
            position,
            is_replayed: position <= self.tail,
        }
    }

    /// Returns which events of this entry are handed on.
    fn handing(&mut self, entry: &Entry) -> Handing {
        if self.is_standby {
            return Handing::Addressed;
        }
        if entry.id > self.addressed_until {
            self.handed_on.clear();
            return Handing::All;
        }
        // Another process may have stored an earlier position than the one of this bus.
        let numbers = entry.numbers();
        let handed_on = numbers.and_then(|numbers| {
            let until = self.handed_on.get(&numbers.sender)?;
            Some(numbers.first < *until)
        });
        match handed_on {
            Some(true) => Handing::Nothing,
            _ => Handing::Unaddressed,
        }
    }

    /// Returns the former readers of the durable name for an entry of before the takeover, which none of
    /// them handles any more. Later ones are for a former reader that goes on as a standby.
    fn predecessors(&self, id: JournalPosition, handing: Handing) -> Option<Arc<[NodeId]>> {
        let is_for_reader = matches!(handing, Handing::All | Handing::Unaddressed);
        let predecessors = self.predecessors.as_ref();
        predecessors
            .filter(|_| is_for_reader && id <= self.tail)
            .cloned()
    }

    /// Begins at the stored place, if the bus is the reader of its durable name now. The numbers of
    /// what it read as a standby do not count: that is read again, and is no gap.
    pub(crate) fn change_role(&mut self) {
        let Some(role) = &mut self.role else {
            return;
        };
        let role = role.borrow_and_update().clone();
        if !self.is_standby {
            for (sender, next) in self.receiver.next_numbers() {
                let until = self.handed_on.entry(sender).or_default();
                *until = next.max(*until);
            }
        }
        self.is_standby = matches!(role, Role::Standby { .. });
        let Role::Holder { from, predecessors } = role else {
            return;
        };
        self.predecessors = (!predecessors.is_empty()).then(|| predecessors.into());
        self.report_findings();
        let place = from.unwrap_or(Place::START);
        self.addressed_until = self.addressed_until.max(self.followed.position());
        self.tail = self.tail.max(self.addressed_until);
        self.followed = Followed::begin(place, JournalPosition::START, RING);
        self.receiver.forget_numbers();
        if let Some(durable) = &self.state.durable {
            durable.ledger.restart(place);
        }
        if from.is_none() {
            self.followed.find_trimmed();
        }
    }

    fn has_caught_up(&self) {
        self.state
            .caught_up
            .send_if_modified(|caught_up| !std::mem::replace(caught_up, true));
    }

    fn report_findings(&mut self) {
        for finding in self.followed.take_findings() {
            self.report(finding);
        }
    }

    /// Reports what was lost.
    fn report(&mut self, finding: Finding) {
        let unknown = |reason| Gap {
            sender: None,
            missed: None,
            reason,
        };
        let reports = &self.receiver.reports;
        match finding {
            Finding::Trimmed => {
                self.receiver.holes.begin(GapReason::Trimmed);
                reports.gap(&unknown(GapReason::Trimmed));
            }
            Finding::Lost => {
                self.receiver.holes.begin(GapReason::JournalLost);
                reports.gap(&unknown(GapReason::JournalLost));
            }
            Finding::DivergedUnknown => {
                reports.gap(&unknown(GapReason::Diverged { forgotten: None }));
            }
            Finding::Diverged(forgotten) => {
                for one in forgotten {
                    let last = one.numbers.end - 1;
                    reports.gap(&Gap {
                        sender: Some(one.sender),
                        missed: Some(one.numbers.end - one.numbers.start),
                        reason: GapReason::Diverged {
                            forgotten: Some(one.numbers.start..=last),
                        },
                    });
                }
            }
        }
    }
}

/// Waits for another role; waits for ever without one.
async fn changed(role: &mut Option<watch::Receiver<Role>>) {
    if let Some(role) = role
        && role.changed().await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}

fn not_master() -> ConnectError {
    ConnectError::Role {
        role: "replica".to_owned(),
    }
}
