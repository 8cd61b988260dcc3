//! The frames of tidings: what travels over one publish, as JSON or as MessagePack.
//!
//! A *frame* carries one or more *events* of one *node*. Each event has a name and a *payload*.
//! This crate writes frames and reads them again, and does nothing else: no sockets, no runtime.
//! It reads what strangers wrote, so every length, depth and count is checked against [`Limits`]
//! before anything is allocated, nothing recurses on its input, and no input makes it panic.
//!
//! A frame states the number of its first event; the following events count on from it.
//!
//! ```
//! use tidings_codec::{Format, FrameWriter, Limits, NodeId, Outgoing, read_frame};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = NodeId::new(7);
//! let mut writer = FrameWriter::new(Format::Json, node);
//! writer.push(Outgoing::to_all("cache.clear"), |into| into.encode("user:7"))?;
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
//! # The wire
//!
//! A JSON frame is an object. Its keys may come in any order, unknown keys are skipped:
//!
//! ```json
//! {"v":1,"from":"000102030405060708090a0b0c0d0e0f","seq":41,"events":[
//!   {"event":"cache.clear","data":"user:7"},
//!   {"event":"user.renamed","to":"others","at":1700000000000,"meta":{"trace":"4bf9"},"data":{"id":7}}]}
//! ```
//!
//! `to`, `at`, `meta` and `data` may be missing. An `at` holds for the events after it until
//! another one; 0 is none. A frame without events announces its sender's position: `seq` is the
//! number that the next event will get. A sender that is no node leaves `from` and `seq` away,
//! and may write a single event as the whole frame: `{"event":"cache.clear","data":"user:7"}`.
//! Keys, names, `from` and `to` are written without escapes.
//!
//! A tab right after the `[` of `events` promises that there is one before and after each event and
//! none within: a reader may look for tabs instead of brackets. Nodes write frames so; others need
//! not. Within a text JSON has no tabs, and elsewhere a space does as well.
//!
//! A MessagePack frame holds the same as arrays, `[1, from, seq, [event, …]]`, and an event is
//! `[name, data, to, at, meta]`, of which the last three may be left away or nil. `from` is a
//! `bin` of 16 bytes, `data` a `bin` whose content is the payload. The first byte of a frame
//! tells the formats apart.
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
mod writer;

mod error;
mod json;
mod msgpack;
mod number_keys;
mod scan;
mod strict;
mod walk;

pub use encoder::Encoder;
pub use error::{DecodeError, EncodeError, EventError, FrameError, NameError, WriteError};
pub use escaped::Escaped;
pub use format::{Format, UnknownFormat};
pub use frame::{Header, RawEvent, To, read_frame};
pub use limits::Limits;
pub use name::check_name;
pub use node_id::{NodeId, NotANodeId};
pub use payload::Payload;
pub use writer::{FrameWriter, Outgoing, announce};
