//! Writes frames, event by event, into one buffer.

use std::fmt;

use bytes::Bytes;
use memchr::memchr;

use crate::payload::check_bounds;
use crate::{EncodeError, Encoder, Format, Limits, NodeId, To, WriteError, check_name};

/// A frame that grows.
///
/// Each event is appended already encoded. The header is written last, into room kept free in
/// front of them, because numbers are given when the frame leaves.
///
/// ```
/// use tidings_codec::{Format, FrameWriter, NodeId, Outgoing, WriteError};
///
/// # fn main() -> Result<(), WriteError> {
/// let mut writer = FrameWriter::new(Format::Json, NodeId::new(7));
/// writer.push(Outgoing::to_all("tick"), |into| into.encode(&1))?;
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
    // What the buffer has beyond this belongs to an event that never was finished.
    len: usize,
    events: u32,
    at: u64,
}

/// An event on its way into a frame: all but its payload.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Which nodes it is for.
    pub to: To,
    /// When it was sent, in milliseconds since 1970.
    pub at: Option<u64>,
    /// What else travels with it. A key that is there twice counts once, with its last text.
    pub meta: &'a [(&'a str, &'a str)],
}

impl<'a> Outgoing<'a> {
    /// An event for every node, without time or `meta`.
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
    /// An empty frame of the node `from`.
    pub fn new(format: Format, from: NodeId) -> Self {
        Self::with_capacity(format, from, 0)
    }

    /// The same, with room for `bytes` of events before memory is asked for again.
    pub fn with_capacity(format: Format, from: NodeId, bytes: usize) -> Self {
        let room = header_room(format);
        let mut buffer = Vec::with_capacity(room + bytes + tail(format).len());
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

    /// Appends an event, and returns how many bytes it took. `encode` writes the payload; where it
    /// writes none, that is null.
    ///
    /// On an error, and if `encode` panics, the frame is left as it was.
    ///
    /// # Errors
    ///
    /// When the name is not allowed, there is too much `meta`, the payload cannot be written or
    /// exceeds [`Limits::DEPTH`] or [`Limits::NODES`], or there is no room: in any frame
    /// ([`WriteError::TooLarge`]) or in this one ([`WriteError::Full`], and a new frame takes the
    /// event).
    pub fn push(
        &mut self,
        event: Outgoing<'_>,
        encode: impl FnOnce(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<usize, WriteError> {
        check_name(event.name)?;
        if event.meta.len() > Limits::META {
            return Err(WriteError::Meta {
                entries: event.meta.len(),
            });
        }
        self.buffer.truncate(self.len);
        match self.format {
            Format::Json => self.append_json(&event, encode)?,
            Format::MessagePack => self.append_message_pack(&event, encode)?,
        }
        self.check_room()?;

        let bytes = self.buffer.len() - self.len;
        self.len = self.buffer.len();
        self.events += 1;
        self.at = event.at.unwrap_or(0);
        Ok(bytes)
    }

    /// Bytes so far, the room for the header included.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Events so far.
    pub const fn events(&self) -> u32 {
        self.events
    }

    /// Whether there is no event yet.
    pub const fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// The frame, whose first event gets the number `seq`; the first number of a node is 1.
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

    fn check_room(&self) -> Result<(), WriteError> {
        let bytes = self.buffer.len() - self.len;
        let limit = Limits::FRAME - header_room(self.format) - tail(self.format).len();
        if bytes > limit {
            return Err(WriteError::TooLarge { bytes, limit });
        }
        if self.buffer.len() + tail(self.format).len() > Limits::FRAME
            || self.events as usize == Limits::EVENTS
        {
            return Err(WriteError::Full);
        }
        Ok(())
    }

    /// The time to write beside an event: none where the one before it holds, 0 to end that.
    fn new_at(&self, event: &Outgoing<'_>) -> Option<u64> {
        Some(event.at.unwrap_or(0)).filter(|at| *at != self.at)
    }

    fn append_json(
        &mut self,
        event: &Outgoing<'_>,
        encode: impl FnOnce(Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let new_at = self.new_at(event);
        let buffer = &mut self.buffer;
        buffer.extend_from_slice(if self.events == 0 {
            b"\t{\"event\":\""
        } else {
            b",\t{\"event\":\""
        });
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
        event: &Outgoing<'_>,
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

    /// Writes the header so that it ends where the events begin, and returns where it begins.
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

/// The frame without events that says which number the next event of `from` will get.
pub fn announce(format: Format, from: NodeId, next: u64) -> Bytes {
    FrameWriter::new(format, from).finish(next)
}

/// The longest header: 32 digits of a node, 20 of a number, and 34 characters around them.
const JSON_HEADER_ROOM: usize = 86;
const MESSAGE_PACK_HEADER: usize = 34;

const fn header_room(format: Format) -> usize {
    match format {
        Format::Json => JSON_HEADER_ROOM,
        Format::MessagePack => MESSAGE_PACK_HEADER,
    }
}

/// Tabs stand between events and nowhere else, so that a reader finds their ends. Outside of texts
/// a tab is a space like any other; within them JSON has none.
fn remove_tabs(mut payload: &mut [u8]) {
    while let Some(position) = memchr(b'\t', payload) {
        payload[position] = b' ';
        payload = &mut payload[position + 1..];
    }
}

/// What a frame ends with, after its last event.
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

/// Appends a text that was checked to have at most 128 bytes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "names have at most 128 bytes"
)]
fn append_text(buffer: &mut Vec<u8>, text: &str) {
    let len = text.len() as u8;
    if len < 32 {
        buffer.push(0xa0 | len);
    } else {
        buffer.extend_from_slice(&[0xd9, len]);
    }
    buffer.extend_from_slice(text.as_bytes());
}

/// Appends what `encode` appends, as bytes. Their length is known last, and mostly small, so room
/// is made for a larger one only where it is needed.
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
        // A payload beyond 32 bits is beyond the limit of a frame, and refused right after this.
        let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        buffer.splice(start..start + 2, [0xc6].into_iter().chain(len));
    }
    Ok(())
}
