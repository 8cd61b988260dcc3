//! The same interface without the feature `opentelemetry`, doing nothing.
#![expect(
    clippy::unused_self,
    reason = "whoever calls this need not know that nobody traces"
)]

use tidings_codec::{Format, NodeId, RawEvent};

#[derive(Debug)]
pub(crate) struct Carried;

impl Carried {
    pub(crate) const NOTHING: Self = Self;

    #[inline]
    pub(crate) fn current() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn meta(&self) -> [(&str, &str); 0] {
        []
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Remote {}

impl Remote {
    #[inline]
    pub(crate) fn of(_event: &RawEvent, _format: Format, _frame: &[u8]) -> Self {
        Self {}
    }
}

#[derive(Debug)]
pub(crate) struct Call;

impl Call {
    #[inline]
    pub(crate) fn new(
        _remote: &Remote,
        _event: &str,
        _from: Option<NodeId>,
        _number: Option<u64>,
        _handler: &str,
    ) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn around<F>(&self, call: F) -> F {
        call
    }

    #[inline]
    pub(crate) fn end(&self, _is_ok: bool) {}
}

#[inline]
pub(crate) fn sending<F>(_event: &str, sending: F) -> F {
    sending
}
