//! One try's failure: what it asks of the run, and whether another try at once may help.

use std::time::Duration;

use crate::engine::seam::FetchErrorKind;

/// Why one try did not bring a page. It does not name the request yet, and may hold secrets that a source
/// echoed: `HttpSource` adds the one and takes out the others when it makes a `FetchError` of it.
#[derive(Debug)]
pub(super) struct Failure {
    /// What it asks of the run when no further try is made.
    pub(super) kind: FetchErrorKind,
    /// Whether the next try may end otherwise.
    pub(super) again: bool,
    /// What happened, in a few words.
    pub(super) error: &'static str,
    /// What happened, and what to do next.
    pub(super) message: String,
    /// The source's status, when it answered.
    pub(super) status: Option<u16>,
    /// The beginning of the answer.
    pub(super) answer: Vec<u8>,
    /// Whether the body is right as far as it goes, and ends before its JSON does.
    pub(super) ends_early: bool,
}

impl Failure {
    fn new(kind: FetchErrorKind, again: bool, error: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            again,
            error,
            message: message.into(),
            status: None,
            answer: Vec::new(),
            ends_early: false,
        }
    }

    /// No further try will help.
    pub(super) fn permanent(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(FetchErrorKind::Permanent, false, error, message)
    }

    /// The answer is broken. It may have been an accident, so it is asked for again; the same answer each
    /// time is the source's nature.
    pub(super) fn broken(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(FetchErrorKind::Permanent, true, error, message)
    }

    /// The same failure of a body that may have been cut off without anybody saying so: it is what a lost connection
    /// looks like, if it ends early.
    pub(super) fn maybe_cut_off(self) -> Self {
        if !self.ends_early {
            return self;
        }
        let message = format!("the answer broke off: {}; nothing else says where it ends", self.message);
        Self { kind: FetchErrorKind::Transient, error: "broken_answer", message, ..self }
    }

    /// The source is out of reach, or in trouble.
    pub(super) fn transient(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(FetchErrorKind::Transient, true, error, message)
    }

    /// The source refuses the stored cursor.
    pub(super) fn cursor_refused(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(FetchErrorKind::CursorRefused, false, error, message)
    }

    /// The source refuses the credentials.
    pub(super) fn unauthorized(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(FetchErrorKind::Unauthorized, false, error, message)
    }

    /// The source limits the rate.
    pub(super) fn rate_limited(wait: Duration, error: &'static str, message: impl Into<String>) -> Self {
        Self::new(FetchErrorKind::RateLimited { wait }, false, error, message)
    }

    /// There is no memory for the page now.
    pub(super) fn no_room() -> Self {
        let what = "this worker has no memory for the page now (setting worker.memory_budget_bytes)";
        Self::new(FetchErrorKind::NoRoom, false, "no_room", what)
    }

    /// With what the source answered.
    pub(super) fn answered(self, status: u16, body: &[u8]) -> Self {
        Self { status: Some(status), answer: body.to_vec(), ..self }
    }
}
