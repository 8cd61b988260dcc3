//! The journal in Redis, as a stream, over a connection that nobody else uses for a transaction.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value, cmd};
use tokio::sync::Mutex;

use crate::acl::Needs;
use crate::event::position::JournalPosition;
use crate::keyspace::journal::answer::{Answered, JournalError};
use crate::keyspace::journal::settings::{SECTIONS, ServerSettings};
use crate::keyspace::journal::{Entry, Floor, Generation, JournalStore, Page, Uses, check, reply};
use crate::namespace::JournalKeys;
use crate::redis_error::{is_denied, is_hidden, own_words, words};
use crate::resp::{Client, Unparsed, append_head, write_append};
use crate::task::milliseconds;

const EACH: &str = "each command has an answer";

/// The stream and the floor of a namespace.
#[derive(Clone)]
pub(crate) struct RedisJournal {
    pub(super) client: Client,
    pub(super) keys: JournalKeys,
    needs: Arc<Needs>,
    /// The server is about to get the slot of the keys: each command on them needs `ASKING`, and keys
    /// may be missing that are yet to come.
    pub(super) is_asking: bool,
    /// The part of each `XADD` before the frame.
    head: Arc<[u8]>,
    /// One transaction at a time: `WATCH` is a state of the connection.
    turn: Arc<Mutex<()>>,
}

/// The answer to a command on a slot that moves, without which the others are worth nothing.
fn moving() -> JournalError {
    JournalError::NotNow("the slot of the journal is moving".to_owned())
}

impl RedisJournal {
    pub(crate) fn new(
        client: Client,
        keys: JournalKeys,
        needs: Arc<Needs>,
        is_asking: bool,
    ) -> Self {
        Self {
            client,
            needs,
            is_asking,
            head: append_head(&keys.stream).into(),
            keys,
            turn: Arc::default(),
        }
    }

    /// Writes commands in one step.
    fn ask<const N: usize>(&self, commands: [Cmd; N]) -> [Unparsed; N] {
        let answers = self.client.unparsed(N, |out| {
            for command in commands {
                command.write_packed_command(out);
            }
        });
        let answers: Result<[Unparsed; N], _> = answers.try_into();
        answers.unwrap_or_else(|_| unreachable!("{EACH}"))
    }

    /// Writes one command on the keys.
    fn on_keys(&self, write: impl FnOnce(&mut Vec<u8>)) -> Unparsed {
        let commands = 1 + usize::from(self.is_asking);
        let mut answers = self.client.unparsed(commands, |out| {
            if self.is_asking {
                cmd("ASKING").write_packed_command(out);
            }
            write(out);
        });
        answers.pop().expect(EACH)
    }

    /// Fails while entries may be missing that are yet to come.
    pub(super) fn has_whole_slot(&self) -> Result<(), JournalError> {
        if self.is_asking {
            Err(moving())
        } else {
            Ok(())
        }
    }

    /// Writes the read of a page: some reads of the stream, the floor, and the role.
    ///
    /// Redis runs what follows a read that waits in the same turn as its answer, so the role is that
    /// of the page: a server that was demoted answers with an error or as a replica, and a replica that
    /// was promoted goes on with the history that it answered. Before the read, the answer to `ROLE`
    /// would come alone, and wake this process one more time for each page.
    fn page<const N: usize>(&self, reads: &[Cmd; N]) -> PageAnswers<N> {
        let asking = usize::from(self.is_asking);
        let answers = self.client.unparsed(2 + N + (N + 1) * asking, |out| {
            let mut get = cmd("GET");
            get.arg(&self.keys.floor);
            for read in reads.iter().chain([&get]) {
                if self.is_asking {
                    cmd("ASKING").write_packed_command(out);
                }
                read.write_packed_command(out);
            }
            cmd("ROLE").write_packed_command(out);
        });
        let mut answers = answers.into_iter();
        let role = answers.next_back().expect(EACH);
        let mut on_keys = answers.skip(asking).step_by(1 + asking);
        let mut next = || on_keys.next().expect(EACH);
        PageAnswers {
            reads: std::array::from_fn(|_| next()),
            floor: next(),
            role,
        }
    }

    fn range_of(&self, name: &str, from: String, to: String, count: usize) -> Cmd {
        let mut range = cmd(name);
        range.arg(&self.keys.stream).arg(from).arg(to);
        range.arg("COUNT").arg(count);
        range
    }

    fn first(&self) -> Cmd {
        self.range_of("XRANGE", "-".to_owned(), "+".to_owned(), 1)
    }

    fn newest_entry(&self) -> Cmd {
        self.range_of("XREVRANGE", "+".to_owned(), "-".to_owned(), 1)
    }

    /// Reads some entries, the first entry, and the floor.
    fn read(&self, range: Cmd) -> Answered<Page> {
        let answers = self.page(&[range, self.first()]);
        let this = self.clone();
        Box::pin(async move {
            let PageAnswers { reads, floor, role } = answers;
            let is_master = this.role(role).await?;
            let [entries, first] = reads;
            let entries = reply::range(this.answer(entries).await?)?;
            let first = reply::range(this.answer(first).await?)?;
            let page = Page {
                is_master,
                entries,
                first: first.first().map(|entry| entry.id),
                floor: this.floor(floor).await?,
            };
            if this.is_asking && page.first.is_none() {
                return Err(moving());
            }
            Ok(page)
        })
    }

    async fn answer(&self, answer: Unparsed) -> Result<Bytes, JournalError> {
        let answer = answer.answer().await;
        answer.map_err(|error| self.error(error))
    }

    async fn role(&self, answer: Unparsed) -> Result<bool, JournalError> {
        match answer.answer().await {
            Ok(answer) => Ok(reply::is_master(answer)?),
            // A user who may not ask is told by `READONLY`.
            Err(error) if is_hidden(&error) => Ok(true),
            Err(error) => Err(self.error(error)),
        }
    }

    /// A floor that has left before its stream, or comes after it, tells nothing.
    async fn floor(&self, answer: Unparsed) -> Result<Option<Floor>, JournalError> {
        match self.answer(answer).await {
            Ok(answer) => match reply::floor(answer)? {
                None if self.is_asking => Err(moving()),
                floor => Ok(floor),
            },
            Err(JournalError::Elsewhere(error)) if is_redirect(&error) => Err(moving()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn error(&self, error: RedisError) -> JournalError {
        JournalError::of(error, &self.needs)
    }

    /// Creates the stream with its floor. Returns `None` if something came in between.
    async fn try_create(&self, frame: &Bytes) -> Result<Option<bool>, JournalError> {
        let (mut watch, mut length) = (cmd("WATCH"), cmd("XLEN"));
        watch.arg(&self.keys.stream).arg(&self.keys.floor);
        length.arg(&self.keys.stream);
        let [watched, length] = self.ask([watch, length]);
        self.answer(watched).await?;
        let length = self.answer(length).await;
        match length.and_then(|length| Ok(reply::number(length)?)) {
            Ok(0) => {}
            there => {
                self.unwatch();
                return there.map(|_| Some(false));
            }
        }
        let floor = Floor {
            generation: Generation::random(),
            id: JournalPosition::START,
        };
        let mut add = cmd("XADD");
        add.arg(&self.keys.stream).arg("*").arg("f").arg(&**frame);
        let is_done = self.execute([self.set_floor(floor), add]).await?;
        Ok(is_done.then_some(true))
    }

    async fn try_trim(&self, to: JournalPosition) -> Result<bool, JournalError> {
        let (mut watch, mut get) = (cmd("WATCH"), cmd("GET"));
        watch.arg(&self.keys.floor);
        get.arg(&self.keys.floor);
        let [watched, floor, newest] = self.ask([watch, get, self.newest_entry()]);
        self.answer(watched).await?;
        let found = async {
            let floor = reply::floor(self.answer(floor).await?)?;
            let newest = reply::range(self.answer(newest).await?)?;
            Ok::<_, JournalError>((floor, newest.first().map(|entry| entry.id)))
        };
        let trim = found
            .await
            .map(|(floor, newest)| Floor::after_trim(floor, newest?, to));
        let Ok(Some((floor, to))) = trim else {
            self.unwatch();
            return trim.map(|_| false);
        };
        self.execute([self.set_floor(floor), self.trim_to(to)])
            .await
    }

    fn unwatch(&self) {
        let [_answer] = self.ask([cmd("UNWATCH")]);
    }

    fn set_floor(&self, floor: Floor) -> Cmd {
        let mut set = cmd("SET");
        set.arg(&self.keys.floor).arg(floor.to_string());
        set
    }

    fn trim_to(&self, to: JournalPosition) -> Cmd {
        let mut trim = cmd("XTRIM");
        trim.arg(&self.keys.stream)
            .arg("MINID")
            .arg("~")
            .arg(to.to_string());
        trim
    }

    /// Runs commands as a transaction. Returns false if a watched key was changed.
    async fn execute(&self, [first, second]: [Cmd; 2]) -> Result<bool, JournalError> {
        let [multi, first, second, exec] = self.ask([cmd("MULTI"), first, second, cmd("EXEC")]);
        // The error of a command that is refused says more than that of `EXEC`.
        for queued in [multi, first, second] {
            self.answer(queued).await?;
        }
        Ok(self.value(exec).await? != Value::Nil)
    }

    fn number(&self, command: &Cmd) -> Answered<u64> {
        let answer = self.on_keys(|out| command.write_packed_command(out));
        let this = self.clone();
        Box::pin(async move { Ok(reply::number(this.answer(answer).await?)?) })
    }

    /// The answer to a command, parsed.
    async fn value(&self, answer: Unparsed) -> Result<Value, JournalError> {
        let answer = self.answer(answer).await?;
        let answer = redis::parse_redis_value(&answer).and_then(Value::extract_error);
        answer.map_err(|error| self.error(error))
    }
}

/// The answers to the read of a page.
struct PageAnswers<const N: usize> {
    reads: [Unparsed; N],
    floor: Unparsed,
    role: Unparsed,
}

impl JournalStore for RedisJournal {
    fn check(&self, uses: Uses) -> Answered<()> {
        let types = check::types(&self.keys);
        let types = types.map(|(key, wanted)| (key.to_owned(), wanted));
        let mut commands = check::commands(&self.keys, uses);
        let of_types = types.iter().map(|(key, _)| check::command(&["TYPE", key]));
        commands.splice(..0, of_types);
        let answers = self.client.unparsed(commands.len(), |out| {
            for command in commands {
                command.write_packed_command(out);
            }
        });
        let this = self.clone();
        Box::pin(async move {
            if this.is_asking {
                return Ok(());
            }
            let mut answers = answers.into_iter();
            for ((key, wanted), answer) in types.into_iter().zip(&mut answers) {
                // A user who may not ask for the type sees the error of each use.
                if let Ok(answer) = this.answer(answer).await {
                    reply::check_type(answer, &key, wanted)?;
                }
            }
            let (mut denials, mut other) = (Vec::new(), None);
            for answer in answers {
                match answer.answer().await {
                    Err(error) if is_denied(&error) => denials.push(words(&error)),
                    Err(error) if is_telling(&error) => other = other.or(Some(error)),
                    _ => {}
                }
            }
            // With the first denial, and a hint for all of them.
            if let Some(first) = denials.first() {
                let cure = this.needs.cure_all(denials.iter().map(String::as_str));
                let words = first.clone();
                return Err(JournalError::Denied { words, cure });
            }
            other.map_or(Ok(()), |error| Err(this.error(error)))
        })
    }

    fn settings(&self) -> Answered<ServerSettings> {
        // Before Redis 7, a command names one section.
        let sections = SECTIONS.map(|section| {
            let mut info = cmd("INFO");
            info.arg(section);
            info
        });
        let sections = self.ask(sections);
        let this = self.clone();
        Box::pin(async move {
            let mut info = String::new();
            for section in sections {
                let section = this.value(section).await?;
                info += &String::from_redis_value(section).map_err(|_| JournalError::Lost)?;
            }
            Ok(ServerSettings::parse(&info))
        })
    }

    fn append(&self, frame: Bytes, attempt: u32) -> Answered<Option<JournalPosition>> {
        if self.is_asking {
            let answer = self.on_keys(|out| write_append(out, &self.head, &frame, attempt));
            let this = self.clone();
            return Box::pin(async move {
                match position(this.value(answer).await?)? {
                    // The stream may only not have come yet.
                    None => Err(moving()),
                    position => Ok(position),
                }
            });
        }
        let answer = self.client.append(&self.head, &frame, attempt);
        let needs = Arc::clone(&self.needs);
        Box::pin(async move {
            let answer = answer.await.and_then(Value::extract_error);
            position(answer.map_err(|error| JournalError::of(error, &needs))?)
        })
    }

    fn create(&self, frame: Bytes) -> Answered<bool> {
        let this = self.clone();
        Box::pin(async move {
            this.has_whole_slot()?;
            let _turn = this.turn.lock().await;
            loop {
                if let Some(is_ours) = this.try_create(&frame).await? {
                    return Ok(is_ours);
                }
            }
        })
    }

    fn read_after(&self, after: JournalPosition, count: usize, block: Duration) -> Answered<Page> {
        let mut read = cmd("XREAD");
        read.arg("COUNT")
            .arg(count)
            .arg("BLOCK")
            .arg(milliseconds(block).max(1));
        read.arg("STREAMS")
            .arg(&self.keys.stream)
            .arg(after.to_string());
        let PageAnswers { reads, floor, role } = self.page(&[read]);
        let this = self.clone();
        Box::pin(async move {
            let [entries] = reads;
            Ok(Page {
                is_master: this.role(role).await?,
                entries: reply::read(this.answer(entries).await?)?,
                first: None,
                floor: this.floor(floor).await?,
            })
        })
    }

    fn range(
        &self,
        from: JournalPosition,
        to: Option<JournalPosition>,
        count: usize,
    ) -> Answered<Page> {
        let to = to.map_or_else(|| "+".to_owned(), |to| to.to_string());
        self.read(self.range_of("XRANGE", from.to_string(), to, count))
    }

    fn newest(&self) -> Answered<Page> {
        self.read(self.newest_entry())
    }

    fn time(&self) -> Answered<u64> {
        let [time] = self.ask([cmd("TIME")]);
        let this = self.clone();
        Box::pin(async move { Ok(reply::time(this.answer(time).await?)?) })
    }

    fn bytes(&self) -> Answered<u64> {
        // With samples, it was wrong by a factor of 22.
        let mut usage = cmd("MEMORY");
        usage
            .arg("USAGE")
            .arg(&self.keys.stream)
            .arg("SAMPLES")
            .arg(0);
        self.number(&usage)
    }

    fn length(&self) -> Answered<u64> {
        let mut length = cmd("XLEN");
        length.arg(&self.keys.stream);
        self.number(&length)
    }

    fn trim(&self, to: JournalPosition) -> Answered<bool> {
        let this = self.clone();
        Box::pin(async move {
            this.has_whole_slot()?;
            let _turn = this.turn.lock().await;
            this.try_trim(to).await
        })
    }

    fn trim_when_full(&self, to: JournalPosition) -> Answered<()> {
        let this = self.clone();
        Box::pin(async move {
            this.has_whole_slot()?;
            let [newest] = this.ask([this.newest_entry()]);
            let newest = reply::range(this.answer(newest).await?)?;
            let Some(newest) = newest.first() else {
                return Ok(());
            };
            // No transaction: a full Redis refuses each command in one. In between there is no floor,
            // so that no page is handed on unless the position is compared.
            let mut delete = cmd("DEL");
            delete.arg(&this.keys.floor);
            let trim = this.trim_to(to.min(newest.id));
            let [deleted, trimmed, first] = this.ask([delete, trim, this.first()]);
            this.answer(deleted).await?;
            this.answer(trimmed).await?;
            let first = reply::range(this.answer(first).await?)?;
            let Some(Entry { id, .. }) = first.first() else {
                return Ok(());
            };
            // Another trim may have run at the same time: only a new generation is true of both.
            let mut set = this.set_floor(Floor {
                generation: Generation::random(),
                id: *id,
            });
            set.arg("NX");
            let [set] = this.ask([set]);
            this.answer(set).await.map(drop)
        })
    }

    fn wait(&self, replicas: u32, timeout: Duration) -> Answered<u32> {
        let mut wait = cmd("WAIT");
        wait.arg(replicas).arg(milliseconds(timeout).max(1));
        let confirmed = self.number(&wait);
        confirmed
            .map(|number| Ok(u32::try_from(number?).unwrap_or(u32::MAX)))
            .boxed()
    }
}

/// The answer to `XADD`; `None` if there is no stream.
fn position(answer: Value) -> Result<Option<JournalPosition>, JournalError> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(id) => Ok(Some(reply::id(&id)?)),
        _ => Err(JournalError::Lost),
    }
}

fn is_redirect(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved};
    matches!(error.kind(), ErrorKind::Server(Ask | Moved))
}

/// Returns true for an error that comes neither from the form of a command, nor from a Redis that
/// rejects all writes for now: a bus that does not start cannot trim the journal that filled Redis.
fn is_telling(error: &RedisError) -> bool {
    use ServerErrorKind::{NoScript, ResponseError};
    let is_from_form = matches!(error.kind(), ErrorKind::Server(NoScript | ResponseError));
    let may_pass = matches!(error.code(), Some("OOM" | "NOREPLICAS" | "MISCONF"));
    !is_from_form && !may_pass
}

impl JournalError {
    fn of(error: RedisError, needs: &Needs) -> Self {
        use ServerErrorKind::{
            Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain,
        };
        let words = words(&error);
        match error.kind() {
            ErrorKind::Server(ReadOnly | Moved | Ask) => Self::Elsewhere(error),
            // A read that was blocked while the server became a replica.
            _ if error.code() == Some("UNBLOCKED") => Self::Elsewhere(error),
            ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | TryAgain) => {
                Self::NotNow(own_words(&error))
            }
            _ if error.code() == Some("BUSY") => Self::NotNow(words),
            _ if is_denied(&error) => Self::Denied {
                cure: needs.cure(&words),
                words,
            },
            _ if error.code().is_some() => Self::Refused {
                is_out_of_memory: error.code() == Some("OOM"),
                words,
            },
            _ => Self::Lost,
        }
    }
}
