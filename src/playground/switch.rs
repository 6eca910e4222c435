//! The hand on a running server: hold it at a gate, take it down, make the next answers fail.

use std::sync::Mutex;

use tokio::sync::watch;

use super::answer::Answer;

/// What a server that is down does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    HangsUp,
    Answers(u16),
}

/// The controls both servers share.
#[derive(Debug)]
pub(super) struct Switch {
    held: watch::Sender<bool>,
    state: Mutex<State>,
    failures: Mutex<(u64, u16)>,
}

impl Switch {
    pub(super) fn new() -> Self {
        Self { held: watch::Sender::new(false), state: Mutex::new(State::Up), failures: Mutex::new((0, 500)) }
    }

    pub(super) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(super) fn release(&self) {
        self.held.send_replace(false);
    }

    /// Returns when nothing is held.
    pub(super) async fn pass(&self) {
        // The sender lives as long as `self`, so the wait can't fail.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    pub(super) fn up(&self) {
        *lock(&self.state) = State::Up;
    }

    pub(super) fn down(&self) {
        *lock(&self.state) = State::HangsUp;
    }

    pub(super) fn down_with(&self, status: u16) {
        *lock(&self.state) = State::Answers(status);
    }

    pub(super) fn fail_next(&self, count: u64, status: u16) {
        *lock(&self.failures) = (count, status);
    }

    /// The answer that the controls ask for, if any.
    pub(super) fn verdict(&self) -> Option<Answer> {
        match *lock(&self.state) {
            State::HangsUp => return Some(Answer::hang_up()),
            State::Answers(status) => return Some(Answer::status(status)),
            State::Up => {}
        }
        let mut failures = lock(&self.failures);
        let (left, status) = *failures;
        failures.0 = left.checked_sub(1)?;
        Some(Answer::status(status))
    }
}

/// Locks, also after a panic elsewhere: what these locks guard is never half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
