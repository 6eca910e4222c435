//! How a receiver misbehaves.

use std::time::Duration;

use rapidbridge::playground::{Answer, Receiver, hostile};

use crate::plan::ReceiverFault;

/// The pause between two bytes of a body that drips.
const DRIP: Duration = Duration::from_millis(100);

/// Begins or ends a fault.
pub(crate) fn turn(receiver: &Receiver, fault: Option<ReceiverFault>) {
    let Some(fault) = fault else { return receiver.unscript() };
    receiver.script(move |_| {
        Some(match fault {
            ReceiverFault::Error => Answer::status(500).body("out of order"),
            ReceiverFault::Unavailable => Answer::status(503).header("retry-after", "1"),
            ReceiverFault::Silence => Answer::ok().body(hostile::silent("{")),
            ReceiverFault::Drip => Answer::ok().body(hostile::drip("{", DRIP)),
            ReceiverFault::HangUp => Answer::hang_up(),
        })
    });
}
