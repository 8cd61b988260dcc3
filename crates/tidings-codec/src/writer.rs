//! Writes frames.

use std::fmt;

use bytes::Bytes;
use memchr::memchr;

use crate::payload::check_bounds;
use crate::{EncodeError, Encoder, Format, Limits, NodeId, To, WriteError, check_name};

/// Writes a frame, event by event.
///
/// Events are encoded when they are added. The header is written last, into space reserved at the
/// start, because sequence numbers are assigned when the frame is sent.
///
/// ```
/// use tidings_codec::{Format, FrameWriter, NodeId, NewEvent, WriteError};
///
/// # fn main() -> Result<(), WriteError> {
/// let mut writer = FrameWriter::new(Format::Json, NodeId::new(7));
/// writer.push(NewEvent::to_all("tick"), |into| into.encode(&1))?;
/// let frame = writer.finish(41);
/// assert_eq!(
///     frame,
///     "{\"v\":1,\"from\":\"00000000000000000000000000000007\",\"seq\":41,\"events\":[\t\
///         {\"event\":\"tick\",\"data\":1}\t]}",
/// );
/// # Ok(())
/// # }
/// ```
pub struct FrameWriter {
    format: Format,
    from: NodeId,
    buffer: Vec<u8>,
    // Bytes after this belong to an event that was not completed.
    len: usize,
    events: u32,
    at: u64,
}

/// An event to be written into a frame, without its payload.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// The event's name.
    pub name: &'a str,
    /// The nodes that the event is addressed to.
    pub to: To,
    /// The time of sending, in milliseconds since 1970.
    pub at: Option<u64>,
    /// The headers of the event. If a key appears twice, the last text counts.
    pub meta: &'a [(&'a str, &'a str)],
}

impl<'a> NewEvent<'a> {
    /// Creates an event for all nodes, without time or `meta`.
    pub const fn to_all(name: &'a str) -> Self {
        Self {
            name,
            to: To::All,
            at: None,
            meta: &[],
        }
    }
}

impl FrameWriter {
    /// Creates an empty frame of the node `from`.
    pub fn new(format: Format, from: NodeId) -> Self {
        Self::with_buffer(format, from, Vec::new())
    }

    /// Creates an empty frame in the memory of `buffer`, whose contents are discarded.
    pub fn with_buffer(format: Format, from: NodeId, mut buffer: Vec<u8>) -> Self {
        let room = header_room(format);
        buffer.clear();
        buffer.resize(room, 0);
        Self {
            format,
            from,
            buffer,
            len: room,
            events: 0,
            at: 0,
        }
    }

    /// Appends an event, and returns its size in bytes. `encode` writes the payload; if it writes
    /// nothing, the payload is null.
    ///
    /// On an error, and if `encode` panics, the frame is unchanged.
    ///
    /// # Errors
    ///
    /// When the name is invalid, `meta` has too many entries, the payload cannot be encoded or
    /// exceeds [`Limits::DEPTH`] or [`Limits::VALUES`], or the event does not fit: into any frame
    /// ([`WriteError::TooLarge`]) or into this one ([`WriteError::Full`]; it fits into a new one).
    pub fn push(
        &mut self,
        event: NewEvent<'_>,
        encode: impl FnOnce(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<usize, WriteError> {
        check_name(event.name)?;
        if event.meta.len() > Limits::META {
            return Err(WriteError::TooMuchMeta {
                entries: event.meta.len(),
            });
        }
        self.buffer.truncate(self.len);
        match self.format {
            Format::Json => self.append_json(&event, encode)?,
            Format::MessagePack => self.append_message_pack(&event, encode)?,
        }
        self.check_room(&event)?;

        let bytes = self.buffer.len() - self.len;
        self.len = self.buffer.len();
        self.events += 1;
        self.at = event.at.unwrap_or(0);
        Ok(bytes)
    }

    /// Returns the size in bytes so far, with the space for the header.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of events so far.
    pub const fn events(&self) -> u32 {
        self.events
    }

    /// Returns whether the frame has no events.
    pub const fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Completes the frame. Its first event gets the sequence number `seq`; a node begins at 1.
    pub fn finish(mut self, seq: u64) -> Bytes {
        self.buffer.truncate(self.len);
        self.buffer.extend_from_slice(match self.events {
            0 => tail(self.format).trim_ascii_start(),
            _ => tail(self.format),
        });
        let start = match self.format {
            Format::Json => self.write_json_header(seq),
            Format::MessagePack => self.write_message_pack_header(seq),
        };
        Bytes::from(self.buffer).slice(start..)
    }

    fn check_room(&self, event: &NewEvent<'_>) -> Result<(), WriteError> {
        let limit = Limits::FRAME - tail(self.format).len();
        if self.buffer.len() <= limit && (self.events as usize) < Limits::EVENTS {
            return Ok(());
        }
        let limit = limit - header_room(self.format);
        let bytes = self.bytes_alone(event)?;
        if bytes > limit {
            return Err(WriteError::TooLarge { bytes, limit });
        }
        Err(WriteError::Full)
    }

    /// Returns the size of the appended event in a frame of its own: without a comma, and with its own
    /// time.
    #[cold]
    fn bytes_alone(&self, event: &NewEvent<'_>) -> Result<usize, EncodeError> {
        let without_payload = |events, at| {
            let mut writer = Self {
                buffer: Vec::new(),
                len: 0,
                events,
                at,
                ..*self
            };
            match self.format {
                Format::Json => writer.append_json(event, |_| Ok(()))?,
                Format::MessagePack => writer.append_message_pack(event, |_| Ok(()))?,
            }
            Ok::<_, EncodeError>(writer.buffer.len())
        };
        let bytes = self.buffer.len() - self.len;
        Ok(bytes + without_payload(0, 0)? - without_payload(self.events, self.at)?)
    }

    /// Returns the `at` to write: `None` if the previous one applies, 0 to end it.
    #[inline]
    fn new_at(&self, event: &NewEvent<'_>) -> Option<u64> {
        Some(event.at.unwrap_or(0)).filter(|at| *at != self.at)
    }

    fn append_json(
        &mut self,
        event: &NewEvent<'_>,
        encode: impl FnOnce(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let new_at = self.new_at(event);
        let buffer = &mut self.buffer;
        if self.events > 0 {
            buffer.push(b',');
        }
        buffer.extend_from_slice(b"\t{\"event\":\"");
        buffer.extend_from_slice(event.name.as_bytes());
        buffer.push(b'"');
        match event.to {
            To::All => {}
            To::Others => buffer.extend_from_slice(b",\"to\":\"others\""),
            To::Node(node) => {
                buffer.extend_from_slice(b",\"to\":\"");
                buffer.extend_from_slice(&node.digits());
                buffer.push(b'"');
            }
        }
        if let Some(at) = new_at {
            buffer.extend_from_slice(b",\"at\":");
            Format::Json.encode(&at, buffer)?;
        }
        if !event.meta.is_empty() {
            buffer.extend_from_slice(b",\"meta\":");
            Format::Json.encode(&Meta(event.meta), buffer)?;
        }
        buffer.extend_from_slice(b",\"data\":");
        let start = buffer.len();
        encode(Encoder::new(Format::Json, buffer))?;
        if buffer.len() == start {
            buffer.extend_from_slice(b"null");
        }
        check_bounds(Format::Json, &buffer[start..])?;
        remove_tabs(&mut buffer[start..]);
        buffer.push(b'}');
        Ok(())
    }

    fn append_message_pack(
        &mut self,
        event: &NewEvent<'_>,
        encode: impl FnOnce(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        const NIL: u8 = 0xc0;
        let new_at = self.new_at(event);
        let buffer = &mut self.buffer;
        let fields = match (event.meta, new_at, event.to) {
            ([_, ..], _, _) => 5,
            ([], Some(_), _) => 4,
            ([], None, To::Others | To::Node(_)) => 3,
            ([], None, To::All) => 2,
        };
        buffer.push(0x90 | fields);
        append_text(buffer, event.name);
        append_bin(buffer, |buffer| {
            encode(Encoder::new(Format::MessagePack, buffer))
        })?;
        if fields > 2 {
            match event.to {
                To::All => buffer.push(NIL),
                To::Others => append_text(buffer, "others"),
                To::Node(node) => {
                    buffer.extend_from_slice(&[0xc4, 16]);
                    buffer.extend_from_slice(node.as_bytes());
                }
            }
        }
        if fields > 3 {
            Format::MessagePack.encode(&new_at, buffer)?;
        }
        if fields > 4 {
            Format::MessagePack.encode(&Meta(event.meta), buffer)?;
        }
        Ok(())
    }

    /// Writes the header directly before the events, and returns its position.
    fn write_json_header(&mut self, seq: u64) -> usize {
        let mut text = Vec::with_capacity(JSON_HEADER_ROOM);
        text.extend_from_slice(b"{\"v\":1,\"from\":\"");
        text.extend_from_slice(&self.from.digits());
        text.extend_from_slice(b"\",\"seq\":");
        text.extend_from_slice(seq.to_string().as_bytes());
        text.extend_from_slice(b",\"events\":[");
        let start = JSON_HEADER_ROOM - text.len();
        self.buffer[start..JSON_HEADER_ROOM].copy_from_slice(&text);
        start
    }

    fn write_message_pack_header(&mut self, seq: u64) -> usize {
        let header = &mut self.buffer[..MESSAGE_PACK_HEADER];
        // An array of 4: the version, bin 8 of 16 bytes, uint 64, array 32.
        header[..4].copy_from_slice(&[0x94, 1, 0xc4, 16]);
        header[4..20].copy_from_slice(self.from.as_bytes());
        header[20] = 0xcf;
        header[21..29].copy_from_slice(&seq.to_be_bytes());
        header[29] = 0xdd;
        header[30..].copy_from_slice(&self.events.to_be_bytes());
        0
    }
}

impl fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter")
            .field("format", &self.format)
            .field("from", &self.from)
            .field("events", &self.events)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Writes a frame without events, which states the sequence number of the next event of `from`.
pub fn position_frame(format: Format, from: NodeId, next: u64) -> Bytes {
    FrameWriter::new(format, from).finish(next)
}

/// The longest header: 32 digits of a node id, 20 of a number, and 34 other characters.
const JSON_HEADER_ROOM: usize = 86;
const MESSAGE_PACK_HEADER: usize = 34;

const fn header_room(format: Format) -> usize {
    match format {
        Format::Json => JSON_HEADER_ROOM,
        Format::MessagePack => MESSAGE_PACK_HEADER,
    }
}

/// Replaces tabs by spaces: readers find the ends of events by tabs. JSON strings contain no
/// unescaped tabs.
#[inline]
fn remove_tabs(mut payload: &mut [u8]) {
    while let Some(position) = memchr(b'\t', payload) {
        payload[position] = b' ';
        payload = &mut payload[position + 1..];
    }
}

/// Returns the end of a frame, after its last event.
const fn tail(format: Format) -> &'static [u8] {
    match format {
        Format::Json => b"\t]}",
        Format::MessagePack => b"",
    }
}

struct Meta<'a>(&'a [(&'a str, &'a str)]);

impl serde::Serialize for Meta<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Appends a string of at most 128 bytes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "names have at most 128 bytes"
)]
#[inline]
fn append_text(buffer: &mut Vec<u8>, text: &str) {
    let len = text.len() as u8;
    if len < 32 {
        buffer.push(0xa0 | len);
    } else {
        buffer.extend_from_slice(&[0xd9, len]);
    }
    buffer.extend_from_slice(text.as_bytes());
}

/// Appends the output of `encode` as a `bin`. Its length is known last and mostly small, so the
/// header is enlarged only if necessary.
fn append_bin(
    buffer: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0xc4, 0]);
    encode(buffer)?;
    check_bounds(Format::MessagePack, &buffer[start + 2..])?;
    let len = buffer.len() - start - 2;
    if let Ok(len) = u8::try_from(len) {
        buffer[start + 1] = len;
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        buffer.splice(start..start + 2, [0xc5, high, low]);
    } else {
        // A payload beyond 32 bits exceeds the limit of a frame: `check_room` rejects it.
        let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        buffer.splice(start..start + 2, [0xc6].into_iter().chain(len));
    }
    Ok(())
}
