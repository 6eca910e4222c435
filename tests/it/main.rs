//! Integration tests: one binary, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "a test's helper may fail as loudly as the test itself")]

mod files;
mod tidy;
