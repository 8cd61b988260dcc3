//! The wire format of tidings: reads and writes frames in JSON and MessagePack.
//!
//! A *frame* is the content of one `PUBLISH`. It carries one or more *events* of one *node*. Each
//! event has a name and a *payload*. This crate does no I/O and needs no runtime. It reads untrusted
//! input: every length, depth and count is checked against [`Limits`] before memory is allocated,
//! nothing recurses on its input, and no input makes it panic.
//!
//! A frame states the sequence number of its first event; each event counts as one.
//!
//! ```
//! use tidings_codec::{Format, FrameWriter, Limits, NodeId, NewEvent, read_frame};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = NodeId::new(7);
//! let mut writer = FrameWriter::new(Format::Json, node);
//! writer.push(NewEvent::to_all("cache.clear"), |into| into.encode("user:7"))?;
//! let frame = writer.finish(41);
//!
//! let mut events = Vec::new();
//! let header = read_frame(&frame, &Limits::default(), &mut events)?;
//! assert_eq!((header.from, header.seq), (Some(node), Some(41)));
//!
//! for event in events {
//!     let event = event?;
//!     assert_eq!(event.name(&frame), "cache.clear");
//!     let key: String = event.payload(header.format, &frame).decode()?;
//!     assert_eq!(key, "user:7");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Wire format
//!
//! A JSON frame is an object. Its keys may come in any order, and unknown keys are skipped:
//!
//! ```json
//! {"v":1,"from":"000102030405060708090a0b0c0d0e0f","seq":41,"events":[
//!   {"event":"cache.clear","data":"user:7"},
//!   {"event":"user.renamed","to":"others","at":1700000000000,"meta":{"trace":"4bf9"},"data":{"id":7}}]}
//! ```
//!
//! `to`, `at`, `meta` and `data` are optional. An `at` also applies to the following events, up to
//! the next `at`; 0 means unknown. In a frame without events, `seq` is the number of the sender's
//! next event. A sender that is not a node omits `from` and `seq`, and may write a single event as
//! the whole frame: `{"event":"cache.clear","data":"user:7"}`. Keys, names, `from` and `to` are
//! written without escapes.
//!
//! A tab directly after the `[` of `events` promises that a tab stands before and after each event,
//! and none within an event: a reader may search for tabs instead of matching brackets. Nodes write
//! frames this way; other senders may. JSON strings contain no unescaped tabs, and everywhere else a
//! space has the same meaning.
//!
//! A MessagePack frame has the same fields as arrays, `[1, from, seq, [event, …]]`. An event is
//! `[name, data, to, at, meta]`, of which the last three may be nil or omitted. `from` is a `bin` of
//! 16 bytes, `data` a `bin` that contains the payload. The first byte of a frame tells the formats
//! apart.
//!
//! Both formats are human-readable to serde: an `IpAddr` is a text in either.

mod encoder;
mod escaped;
mod format;
mod frame;
mod limits;
mod name;
mod node_id;
mod payload;
mod read;
mod writer;

mod error;
mod fast_path;
mod json;
mod msgpack;
mod number_keys;
mod scan;
mod strict;
mod walk;

pub use encoder::Encoder;
pub use error::{DecodeError, EncodeError, EventError, FrameError, NameError, WriteError};
pub use escaped::Escaped;
pub use format::{Format, ParseFormatError};
pub use frame::{Header, RawEvent, To};
pub use limits::Limits;
pub use name::check_name;
pub use node_id::{NodeId, ParseNodeIdError};
pub use payload::Payload;
pub use read::read_frame;
pub use writer::{FrameWriter, NewEvent, position_frame};
