//! Reads MessagePack frames.

use crate::frame::Span;
use crate::name::check_name_bytes;
use crate::walk::{Token, TokenError, Walker};
use crate::{EventError, Format, FrameError, Header, Limits, NodeId, RawEvent, To};

/// Reads a frame that begins with the marker of an array.
pub(crate) fn read(
    frame: &[u8],
    limits: &Limits,
    events: &mut Vec<Result<RawEvent, EventError>>,
) -> Result<Header, FrameError> {
    let mut reader = Reader {
        walker: Walker::new(frame),
    };
    let header = reader.header()?;
    let (position, token) = reader.token()?;
    let Token::Array(count) = token else {
        return Err(FrameError::Field {
            field: "events",
            position,
        });
    };
    if count > limits.events {
        return Err(FrameError::TooManyEvents {
            limit: limits.events,
        });
    }
    let mut at = 0;
    for _ in 0..count {
        events.push(reader.event(&mut at)?);
    }
    if reader.walker.remaining() > 0 {
        return Err(FrameError::Trailing {
            position: reader.walker.position(),
        });
    }
    Ok(header)
}

struct Reader<'a> {
    walker: Walker<'a>,
}

impl Reader<'_> {
    fn header(&mut self) -> Result<Header, FrameError> {
        let (_, outer) = self.token()?;
        // Check the version first: another version may have other fields.
        if outer == Token::Array(0) {
            return Err(FrameError::Version { version: None });
        }
        match self.token()? {
            (_, Token::Unsigned(1)) => {}
            (_, Token::Unsigned(version)) => {
                return Err(FrameError::Version {
                    version: Some(version),
                });
            }
            (position, _) => {
                return Err(FrameError::Field {
                    field: "v",
                    position,
                });
            }
        }
        if outer != Token::Array(4) {
            return Err(FrameError::Syntax { position: 0 });
        }
        let from = match self.token()? {
            (_, Token::Nil) => None,
            (_, Token::Bin(16)) => Some(self.node()),
            (position, _) => {
                return Err(FrameError::Field {
                    field: "from",
                    position,
                });
            }
        };
        let seq = match self.token()? {
            (_, Token::Nil) => None,
            (_, Token::Unsigned(seq @ 1..)) => Some(seq),
            (position, _) => {
                return Err(FrameError::Field {
                    field: "seq",
                    position,
                });
            }
        };
        if from.is_some() != seq.is_some() {
            return Err(FrameError::Origin);
        }
        Ok(Header {
            format: Format::MessagePack,
            from,
            seq,
        })
    }

    /// Reads one event. The outer error concerns the frame, the inner one this event only.
    fn event(&mut self, at: &mut u64) -> Result<Result<RawEvent, EventError>, FrameError> {
        let (position, token) = self.token()?;
        let Token::Array(fields @ 2..=5) = token else {
            self.skip(token)?;
            return Ok(Err(EventError::NotAnEvent { position }));
        };
        let name = self.name()?;
        let payload = self.payload()?;
        let to = if fields > 2 { self.to()? } else { Ok(To::All) };
        let new_at = if fields > 3 { self.at()? } else { Ok(None) };
        let meta = if fields > 4 {
            self.meta()?
        } else {
            Ok(Span::default())
        };

        // An invalid `at` still ends the previous one.
        *at = new_at.unwrap_or(Some(0)).unwrap_or(*at);
        Ok(complete(name, payload, to, new_at.map(|_| *at), meta))
    }

    fn name(&mut self) -> Result<Result<Span, EventError>, FrameError> {
        let (position, token) = self.token()?;
        let Token::Str(len) = token else {
            return self.invalid_field(token, "event", position);
        };
        let start = self.walker.position();
        Ok(match check_name_bytes(self.walker.content(len)) {
            Ok(()) => Ok(Span::new(start, start + len)),
            Err(source) => Err(EventError::Name { position, source }),
        })
    }

    fn payload(&mut self) -> Result<Result<Span, EventError>, FrameError> {
        let (position, token) = self.token()?;
        let Token::Bin(len) = token else {
            return self.invalid_field(token, "data", position);
        };
        let start = self.walker.position();
        self.walker.content(len);
        Ok(Ok(Span::new(start, start + len)))
    }

    fn to(&mut self) -> Result<Result<To, EventError>, FrameError> {
        let (position, token) = self.token()?;
        match token {
            Token::Nil => Ok(Ok(To::All)),
            Token::Bin(16) => Ok(Ok(To::Node(self.node()))),
            Token::Str(len) if self.walker.content(len) == b"others" => Ok(Ok(To::Others)),
            Token::Str(_) => Ok(Err(EventError::Field {
                field: "to",
                position,
            })),
            _ => self.invalid_field(token, "to", position),
        }
    }

    fn at(&mut self) -> Result<Result<Option<u64>, EventError>, FrameError> {
        let (position, token) = self.token()?;
        match token {
            Token::Nil => Ok(Ok(None)),
            Token::Unsigned(at) => Ok(Ok(Some(at))),
            _ => self.invalid_field(token, "at", position),
        }
    }

    fn meta(&mut self) -> Result<Result<Span, EventError>, FrameError> {
        let (position, token) = self.token()?;
        match token {
            Token::Nil => Ok(Ok(Span::default())),
            Token::Map(texts) if texts <= 2 * Limits::META => self.texts(texts, position),
            _ => self.invalid_field(token, "meta", position),
        }
    }

    /// Takes the keys and values of a map that begins at `start`. All must be strings.
    fn texts(
        &mut self,
        count: usize,
        start: usize,
    ) -> Result<Result<Span, EventError>, FrameError> {
        let mut are_texts = true;
        for _ in 0..count {
            let (_, token) = self.token()?;
            are_texts &= matches!(token, Token::Str(_));
            self.skip(token)?;
        }
        let span = Span::new(start, self.walker.position());
        Ok(if are_texts {
            Ok(span)
        } else {
            Err(EventError::Field {
                field: "meta",
                position: start,
            })
        })
    }

    /// Takes the 16 bytes of a node id, after its token.
    fn node(&mut self) -> NodeId {
        let bytes = self.walker.content(16).first_chunk();
        NodeId::from_bytes(*bytes.expect("`content(16)` returns 16 bytes"))
    }

    /// Takes a token, and returns it with its position.
    #[inline]
    fn token(&mut self) -> Result<(usize, Token), FrameError> {
        let position = self.walker.position();
        self.walker
            .token()
            .map(|token| (position, token))
            .map_err(|error| frame_error(error, position))
    }

    /// Skips the content or the elements of a token.
    fn skip(&mut self, token: Token) -> Result<(), FrameError> {
        self.walker
            .skip(token)
            .map_err(|error| frame_error(error, self.walker.position()))
    }

    fn invalid_field<T>(
        &mut self,
        token: Token,
        field: &'static str,
        position: usize,
    ) -> Result<Result<T, EventError>, FrameError> {
        self.skip(token)?;
        Ok(Err(EventError::Field { field, position }))
    }
}

fn complete(
    name: Result<Span, EventError>,
    payload: Result<Span, EventError>,
    to: Result<To, EventError>,
    at: Result<u64, EventError>,
    meta: Result<Span, EventError>,
) -> Result<RawEvent, EventError> {
    Ok(RawEvent {
        name: name?,
        payload: payload?,
        to: to?,
        at: at?,
        meta: meta?,
    })
}

#[cold]
fn frame_error(error: TokenError, position: usize) -> FrameError {
    match error {
        TokenError::Truncated => FrameError::Truncated { position },
        TokenError::ReservedMarker => FrameError::Syntax { position },
    }
}
