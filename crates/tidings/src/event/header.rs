//! Headers of events: texts by name, which travel next to the payload.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_codec::check_name;

use crate::error::header::HeaderError;

/// The largest number of headers that an application gives to an event. The wire allows twice as
/// many: the rest is for tidings and for trace context.
const COUNT: usize = 32;

/// The largest number of bytes of all names and values of an event's headers.
const BYTES: usize = 8 << 10;

/// Names that tidings and the propagators of trace context use.
const RESERVED: [&str; 6] = [
    "request",
    "outcome",
    "error",
    "traceparent",
    "tracestate",
    "baggage",
];

/// Checks the headers of an event before it is sent. An error names the header that breaks a rule.
pub(crate) fn check<'a>(headers: &[(&'a str, &str)]) -> Result<(), (&'a str, HeaderError)> {
    let mut bytes = 0;
    for (index, (name, value)) in headers.iter().enumerate() {
        let fail = |error| Err((*name, error));
        if let Err(error) = check_name(name) {
            return fail(error.into());
        }
        if is_reserved(name) {
            return fail(HeaderError::Reserved);
        }
        if index == COUNT {
            return fail(HeaderError::TooMany { limit: COUNT });
        }
        bytes += name.len() + value.len();
        if bytes > BYTES {
            return fail(HeaderError::TooLong { limit: BYTES });
        }
    }
    Ok(())
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("tidings.") || RESERVED.contains(&name)
}

/// The headers of a received event, without the reserved ones. There is at least one.
#[derive(Debug)]
pub(crate) struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Returns the headers in an event's `meta`, if there are any.
    pub(crate) fn of(mut meta: BTreeMap<String, String>) -> Option<Arc<Self>> {
        meta.retain(|name, _| !is_reserved(name));
        (!meta.is_empty()).then(|| Arc::new(Self(meta)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the number of bytes of all names and values.
    pub(crate) fn bytes(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_takes_headers_up_to_the_limits() {
        assert_eq!(check(&[("tenant", "")]), Ok(()));
        let many = vec![("h", "v"); COUNT + 1];
        assert_eq!(check(&many[1..]), Ok(()));
        let too_many = HeaderError::TooMany { limit: COUNT };
        assert_eq!(check(&many), Err(("h", too_many)));

        let long = "v".repeat(BYTES);
        assert_eq!(check(&[("h", &long[1..])]), Ok(()));
        let too_long = HeaderError::TooLong { limit: BYTES };
        assert_eq!(check(&[("a", ""), ("h", &long[1..])]), Err(("h", too_long)));
    }

    #[test]
    fn reserved_names_are_neither_sent_nor_received() {
        for name in RESERVED.into_iter().chain(["tidings.future"]) {
            assert_eq!(check(&[(name, "")]), Err((name, HeaderError::Reserved)));
            let meta = BTreeMap::from([(name.to_owned(), String::new())]);
            assert!(Headers::of(meta).is_none(), "{name}");
        }
    }
}
