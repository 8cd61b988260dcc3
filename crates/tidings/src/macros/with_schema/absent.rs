//! Stands in for the macro that keeps what a contract needs, without the feature `schema`.

/// Expands to nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_schema {
    ($($code:tt)*) => {};
}
