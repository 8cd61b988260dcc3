//! Reads JSON frames.

use memchr::memchr;

use crate::frame::Span;
use crate::name::{check_name_bytes, name_len};
use crate::scan::{Bounds, Scanner, Text, Verdict};
use crate::{EventError, Format, FrameError, Header, Limits, NodeId, RawEvent, To};

/// Reads a frame that begins with `{`.
pub(crate) fn read(
    frame: &[u8],
    limits: &Limits,
    events: &mut Vec<Result<RawEvent, EventError>>,
) -> Result<Header, FrameError> {
    let mut scanner = Scanner::new(frame);
    let (mut version, mut from, mut seq, mut is_batch) = (None, None, None, false);
    let mut alone = Draft::new(0);

    let mut members = Members::open(&mut scanner)?;
    while let Some(key) = members.next_key(&mut scanner)? {
        if key.is_escaped() {
            return Err(FrameError::Escaped {
                position: key.start,
            });
        }
        let position = key.start;
        match key.bytes {
            b"v" => {
                once(version.is_some(), "v", position)?;
                version = Some(integer_field(&mut scanner, "v")?);
                check_version(version)?;
            }
            b"from" => {
                once(from.is_some(), "from", position)?;
                from = Some(node_field(&mut scanner)?);
            }
            b"seq" => {
                once(seq.is_some(), "seq", position)?;
                seq = Some(sequence_field(&mut scanner)?);
            }
            b"events" => {
                once(is_batch, "events", position)?;
                is_batch = true;
                read_events(&mut scanner, limits, events)?;
            }
            _ => alone.member(Key::of(&key), position, &mut scanner)?,
        }
    }
    if scanner.peek().is_some() {
        return Err(FrameError::Trailing {
            position: scanner.position(),
        });
    }

    if is_batch || from.is_some() || seq.is_some() {
        check_version(version)?;
    }
    if is_batch == alone.has_fields() {
        return Err(FrameError::Content);
    }
    if !is_batch {
        events.push(alone.finish(&mut 0));
    }
    header(from, seq, is_batch)
}

#[inline]
fn header(from: Option<NodeId>, seq: Option<u64>, is_batch: bool) -> Result<Header, FrameError> {
    if from.is_some() != seq.is_some() || (from.is_some() && !is_batch) {
        return Err(FrameError::Origin);
    }
    Ok(Header {
        format: Format::Json,
        from,
        seq,
    })
}

fn once(is_there: bool, field: &'static str, position: usize) -> Result<(), FrameError> {
    if is_there {
        Err(FrameError::Duplicate { field, position })
    } else {
        Ok(())
    }
}

fn check_version(version: Option<u64>) -> Result<(), FrameError> {
    if version == Some(1) {
        Ok(())
    } else {
        Err(FrameError::Version { version })
    }
}

fn integer_field(scanner: &mut Scanner<'_>, field: &'static str) -> Result<u64, FrameError> {
    scanner.peek();
    let position = scanner.position();
    scanner
        .scalar()?
        .and_then(integer)
        .ok_or(FrameError::Field { field, position })
}

fn sequence_field(scanner: &mut Scanner<'_>) -> Result<u64, FrameError> {
    scanner.peek();
    let position = scanner.position();
    match integer_field(scanner, "seq")? {
        0 => Err(FrameError::Field {
            field: "seq",
            position,
        }),
        seq => Ok(seq),
    }
}

fn node_field(scanner: &mut Scanner<'_>) -> Result<NodeId, FrameError> {
    scanner.peek();
    let position = scanner.position();
    let node = scanner
        .text()?
        .and_then(|text| NodeId::from_digits(text.bytes));
    node.ok_or(FrameError::Field {
        field: "from",
        position,
    })
}

fn read_events(
    scanner: &mut Scanner<'_>,
    limits: &Limits,
    events: &mut Vec<Result<RawEvent, EventError>>,
) -> Result<(), FrameError> {
    scanner.expect(b'[')?;
    // A tab here promises tabs between the events, and none within them.
    let mut is_tabbed = scanner.take_all(b"\t");
    if scanner.take(b']') {
        return Ok(());
    }
    let mut at = 0;
    loop {
        if events.len() == limits.events {
            return Err(FrameError::TooManyEvents {
                limit: limits.events,
            });
        }
        let event = match read_tabbed(scanner, at, &mut is_tabbed) {
            Some(event) => Ok(event),
            None => read_event(scanner, &mut at)?,
        };
        events.push(event);
        if !scanner.take(b',') {
            return scanner.expect(b']');
        }
    }
}

/// Reads an event that ends at a tab and consists of a name, optionally `"to":"others"`, and a
/// payload, as most events do. Finding the tab is much faster than finding the end of the payload.
/// The payload's syntax is checked when it is decoded.
///
/// The first event that does not end at a tab breaks the promise of its frame: if each were searched
/// for a tab, the rest of the frame would be read once per event.
#[inline]
fn read_tabbed(scanner: &mut Scanner<'_>, at: u64, is_tabbed: &mut bool) -> Option<RawEvent> {
    const NAME: &[u8] = b"{\"event\":\"";
    const TO_ALL: &[u8] = b"\",\"data\":";
    const TO_OTHERS: &[u8] = b"\",\"to\":\"others\",\"data\":";

    if !*is_tabbed {
        return None;
    }
    scanner.peek();
    let rest = scanner.rest();
    let name = NAME.len()..NAME.len() + name_len(rest.strip_prefix(NAME)?)?;
    let after = &rest[name.end..];
    let (to, between) = if after.starts_with(TO_ALL) {
        (To::All, TO_ALL)
    } else {
        (
            To::Others,
            after.starts_with(TO_OTHERS).then_some(TO_OTHERS)?,
        )
    };
    let event = memchr(b'\t', rest).map_or_else(Default::default, |tab| &rest[..tab]);
    let event = event.strip_suffix(b",").unwrap_or(event);
    let payload = name.end + between.len()..event.strip_suffix(b"}").map_or(0, <[u8]>::len);
    if payload.is_empty() {
        *is_tabbed = false;
        return None;
    }
    let start = scanner.position();
    scanner.advance(event.len());
    Some(RawEvent {
        to,
        at,
        name: Span::new(start + name.start, start + name.end),
        payload: Span::new(start + payload.start, start + payload.end),
        meta: Span::default(),
    })
}

/// Reads one event. The outer error concerns the frame, the inner one this event only.
#[inline]
fn read_event(
    scanner: &mut Scanner<'_>,
    at: &mut u64,
) -> Result<Result<RawEvent, EventError>, FrameError> {
    let is_object = scanner.peek() == Some(b'{');
    let position = scanner.position();
    if !is_object {
        scanner.value(Bounds::PAYLOAD)?;
        return Ok(Err(EventError::NotAnEvent { position }));
    }
    let mut draft = Draft::new(position);
    let mut members = Members::open(scanner)?;
    while members.is_next(scanner)? {
        scanner.peek();
        let key_position = scanner.position() + 1;
        let key = Key::take(scanner)?;
        draft.member(key, key_position, scanner)?;
    }
    Ok(draft.finish(at))
}

/// An iterator over the members of an object.
struct Members {
    is_first: bool,
}

impl Members {
    #[inline]
    fn open(scanner: &mut Scanner<'_>) -> Result<Self, FrameError> {
        scanner.expect(b'{')?;
        Ok(Self { is_first: true })
    }

    /// Returns whether another key follows; if not, takes the closing bracket.
    #[inline]
    fn is_next(&mut self, scanner: &mut Scanner<'_>) -> Result<bool, FrameError> {
        if scanner.take(b'}') {
            return Ok(false);
        }
        if !self.is_first {
            scanner.expect(b',')?;
        }
        self.is_first = false;
        Ok(true)
    }

    /// Takes the next key and its colon; `None` at the end of the object.
    fn next_key<'a>(&mut self, scanner: &mut Scanner<'a>) -> Result<Option<Text<'a>>, FrameError> {
        if self.is_next(scanner)? {
            scanner.key().map(Some)
        } else {
            Ok(None)
        }
    }
}

/// A key of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Event,
    Data,
    To,
    At,
    Meta,
    Unknown,
    /// A key with escapes. It may spell a known key, as which other readers would read it.
    Escaped,
}

impl Key {
    fn of(text: &Text<'_>) -> Self {
        match text.bytes {
            _ if text.is_escaped() => Self::Escaped,
            b"event" => Self::Event,
            b"data" => Self::Data,
            b"to" => Self::To,
            b"at" => Self::At,
            b"meta" => Self::Meta,
            _ => Self::Unknown,
        }
    }

    /// Takes a key and its colon. The most frequent keys are compared as a whole.
    #[inline]
    fn take(scanner: &mut Scanner<'_>) -> Result<Self, FrameError> {
        if scanner.take_all(b"\"event\":") {
            return Ok(Self::Event);
        }
        if scanner.take_all(b"\"data\":") {
            return Ok(Self::Data);
        }
        scanner.key().map(|text| Self::of(&text))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Data => "data",
            Self::To => "to",
            Self::At => "at",
            Self::Meta => "meta",
            Self::Unknown | Self::Escaped => "",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// An event whose members are being read.
struct Draft {
    position: usize,
    fields: u8,
    event: RawEvent,
    at: Option<u64>,
    error: Option<EventError>,
}

impl Draft {
    #[inline]
    fn new(position: usize) -> Self {
        let event = RawEvent {
            to: To::All,
            at: 0,
            name: Span::default(),
            payload: Span::default(),
            meta: Span::default(),
        };
        Self {
            position,
            fields: 0,
            event,
            at: None,
            error: None,
        }
    }

    /// Returns whether any member of an event was read.
    fn has_fields(&self) -> bool {
        self.fields != 0
    }

    /// Takes the value of a member. An error is kept for `finish`, unless the end of the value is
    /// unknown.
    #[inline]
    fn member(
        &mut self,
        key: Key,
        key_position: usize,
        scanner: &mut Scanner<'_>,
    ) -> Result<(), FrameError> {
        self.mark_seen(key, key_position);
        scanner.peek();
        let position = scanner.position();
        match key {
            Key::Event => self.name(scanner, position),
            Key::Data => self.payload(scanner, position),
            Key::To => self.to(scanner, position),
            Key::At => self.at(scanner, position),
            Key::Meta => self.meta(scanner, position),
            Key::Unknown | Key::Escaped => scanner.value(Bounds::PAYLOAD).map(|_| ()),
        }
    }

    #[inline]
    fn mark_seen(&mut self, key: Key, position: usize) {
        match key {
            Key::Unknown => {}
            Key::Escaped => self.set_error(EventError::Escaped { position }),
            _ if self.fields & key.bit() != 0 => {
                self.set_error(EventError::Duplicate {
                    field: key.name(),
                    position,
                });
            }
            _ => self.fields |= key.bit(),
        }
    }

    /// Returns the event, or the first error. `at` is the time that applies so far.
    #[inline]
    fn finish(self, at: &mut u64) -> Result<RawEvent, EventError> {
        *at = self.at.unwrap_or(*at);
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.fields & Key::Event.bit() == 0 {
            return Err(EventError::MissingName {
                position: self.position,
            });
        }
        Ok(RawEvent {
            at: *at,
            ..self.event
        })
    }

    #[inline]
    fn name(&mut self, scanner: &mut Scanner<'_>, position: usize) -> Result<(), FrameError> {
        match scanner.text()? {
            // Names contain no backslash, so this rejects escapes.
            Some(text) => match check_name_bytes(text.bytes) {
                Ok(()) => self.event.name = Span::new(text.start, text.start + text.bytes.len()),
                Err(source) => self.set_error(EventError::Name { position, source }),
            },
            None => self.invalid_field("event", position),
        }
        Ok(())
    }

    fn payload(&mut self, scanner: &mut Scanner<'_>, position: usize) -> Result<(), FrameError> {
        match scanner.value(Bounds::PAYLOAD)? {
            Verdict::Fine => self.event.payload = Span::new(position, scanner.position()),
            Verdict::TooDeep => self.set_error(EventError::TooDeep { position }),
            Verdict::TooManyValues => self.set_error(EventError::TooManyValues { position }),
        }
        Ok(())
    }

    fn to(&mut self, scanner: &mut Scanner<'_>, position: usize) -> Result<(), FrameError> {
        scanner.value(Bounds::PAYLOAD)?;
        let to = match scanner.slice(position..scanner.position()) {
            b"null" => Some(To::All),
            b"\"others\"" => Some(To::Others),
            [b'"', digits @ .., b'"'] => NodeId::from_digits(digits).map(To::Node),
            _ => None,
        };
        match to {
            Some(to) => self.event.to = to,
            None => self.invalid_field("to", position),
        }
        Ok(())
    }

    fn at(&mut self, scanner: &mut Scanner<'_>, position: usize) -> Result<(), FrameError> {
        let at = match scanner.scalar()? {
            Some(b"null") => return Ok(()),
            Some(scalar) => integer(scalar),
            None => None,
        };
        // An invalid `at` still ends the previous one.
        self.at = Some(at.unwrap_or(0));
        if at.is_none() {
            self.invalid_field("at", position);
        }
        Ok(())
    }

    fn meta(&mut self, scanner: &mut Scanner<'_>, position: usize) -> Result<(), FrameError> {
        let is_object = scanner.peek() == Some(b'{');
        let verdict = scanner.value(Bounds::META)?;
        let span = position..scanner.position();
        if is_object && verdict == Verdict::Fine {
            self.event.meta = Span::new(span.start, span.end);
        } else if scanner.slice(span) != b"null" {
            self.invalid_field("meta", position);
        }
        Ok(())
    }

    fn invalid_field(&mut self, field: &'static str, position: usize) {
        self.set_error(EventError::Field { field, position });
    }

    #[cold]
    fn set_error(&mut self, error: EventError) {
        self.error.get_or_insert(error);
    }
}

/// Parses an unsigned integer of JSON: digits without a leading zero.
fn integer(scalar: &[u8]) -> Option<u64> {
    if scalar.len() > 1 && scalar[0] == b'0' {
        return None;
    }
    scalar.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
