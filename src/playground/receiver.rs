//! A customer's webhook endpoint with a ledger. It checks every signature with the standard's own crate, and
//! judges each run by what arrives: gaps, repeats, order, epochs, and ids that mean two things.
//!
//! One receiver stands for one webhook: `seq` counts for each (run, webhook). Any path is taken.

mod ledger;
mod message;
mod signature;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;

use super::answer::Answer;
use super::server::{HangUp, Server};
use super::switch::{Switch, lock};
use super::watched::{TimedOut, Watched};
use crate::clock;
pub use ledger::{Duplicates, EventLedger, Ledger, ResourceLedger, Rewind, RunLedger};
use message::Message;

/// The largest body it takes.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// How the receiver behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port it listens on; 0 for a free one.
    pub port: u16,
    /// The webhook's secret: base64 after `whsec_`, any other text as it is.
    pub secret: String,
    /// Which of its own answers the receiver counts as acknowledgements; must agree with the webhook.
    pub acknowledges_with: Acknowledgement,
    /// How many bytes of bodies the ledger keeps, the first ones; 0 for digests alone.
    pub keep_bytes_max: usize,
}

/// Which answers are acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// 200 alone.
    Status200,
    /// Any 2xx.
    Any2xx,
}

impl Acknowledgement {
    fn is_given_by(self, status: Option<u16>) -> bool {
        match self {
            Self::Status200 => status == Some(200),
            Self::Any2xx => status.is_some_and(|status| (200..300).contains(&status)),
        }
    }
}

impl Default for Settings {
    /// Secret `receiver-secret`, 200 acknowledges, no bodies are kept.
    fn default() -> Self {
        Self {
            port: 0,
            secret: "receiver-secret".to_owned(),
            acknowledges_with: Acknowledgement::Status200,
            keep_bytes_max: 0,
        }
    }
}

/// One request with a good signature.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its place in the ledger's list, in order of arrival.
    pub index: usize,
    /// When its last byte was here.
    pub at: Instant,
    /// Where it was posted.
    pub path: String,
    /// All its headers.
    pub headers: HeaderMap,
    /// Its `webhook-id`.
    pub id: String,
    /// What it is (`sync_job_run:record`); empty when the body does not say.
    pub event: String,
    /// The run (`rapidbridge-run`).
    pub run: Option<String>,
    /// The page's number (`rapidbridge-seq`).
    pub seq: Option<u64>,
    /// The worker's fencing token (`rapidbridge-epoch`).
    pub epoch: Option<u64>,
    /// Which try this is (`rapidbridge-attempt`).
    pub attempt: Option<u64>,
    /// The payload's `resource`.
    pub resource: Option<String>,
    /// How many records it carries.
    pub records: usize,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The body: for a script always, in the ledger as far as `keep_bytes_max` goes.
    pub body: Option<Bytes>,
    /// What the receiver did with it; `None` while it waits at the gate, and for ever when the sender left it there.
    pub given: Option<Given>,
}

/// What the receiver did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// It answered with this status.
    Status(u16),
    /// It closed the connection.
    HungUp,
}

type Script = Arc<dyn Fn(&Received) -> Option<Answer> + Send + Sync>;

/// A running receiver. Dropping it closes it.
#[derive(Debug)]
pub struct Receiver {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    secret: Mutex<String>,
    ledger: Watched<Ledger>,
    switch: Switch,
    script: Mutex<Option<Script>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Receiver {
    /// Starts it on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let port = settings.port;
        let shared = Arc::new(Shared {
            secret: Mutex::new(settings.secret.clone()),
            ledger: Watched::new(Ledger::new(settings.keep_bytes_max)),
            switch: Switch::new(),
            script: Mutex::new(None),
            settings,
        });
        let serving = shared.clone();
        let server = Server::start(
            port,
            Arc::new(move |request| {
                let shared = serving.clone();
                Box::pin(async move { shared.serve(request).await })
            }),
        )
        .await?;
        Ok(Self { server, shared })
    }

    /// Where to post: `http://127.0.0.1:…/webhook`.
    pub fn url(&self) -> String {
        format!("{}/webhook", self.server.url())
    }

    /// Reads the ledger. Keep it brief: the server waits meanwhile.
    pub fn read<R>(&self, read: impl FnOnce(&Ledger) -> R) -> R {
        self.shared.ledger.read(read)
    }

    /// Returns when the ledger satisfies `predicate`; `what` names that in the error.
    ///
    /// # Errors
    /// When it does not come true `within` this time; the error tells the ledger's state.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        predicate: impl FnMut(&Ledger) -> bool,
    ) -> Result<(), TimedOut> {
        self.shared.ledger.wait_for(what, within, predicate).await
    }

    /// Answers nothing until [`Receiver::release`]; requests are booked and wait.
    pub fn hold(&self) {
        self.shared.switch.hold();
    }

    /// Lets held requests go on.
    pub fn release(&self) {
        self.shared.switch.release();
    }

    /// Closes every connection without an answer, until [`Receiver::up`]. What arrives is booked, not acknowledged.
    pub fn down(&self) {
        self.shared.switch.down();
    }

    /// Answers everything with `status`, until [`Receiver::up`].
    pub fn down_with(&self, status: u16) {
        self.shared.switch.down_with(status);
    }

    /// Ends [`Receiver::down`].
    pub fn up(&self) {
        self.shared.switch.up();
    }

    /// Answers the next `count` requests with `status`.
    pub fn fail_next(&self, count: u64, status: u16) {
        self.shared.switch.fail_next(count, status);
    }

    /// Answers by `script`; where it says `None`, with 200. Bad signatures never reach it.
    pub fn script(&self, script: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static) {
        *lock(&self.shared.script) = Some(Arc::new(script));
    }

    /// Ends the script.
    pub fn unscript(&self) {
        *lock(&self.shared.script) = None;
    }

    /// Expects signatures of another secret from now on.
    pub fn set_secret(&self, secret: &str) {
        secret.clone_into(&mut lock(&self.shared.secret));
    }
}

impl Shared {
    async fn serve(&self, request: Request) -> Result<Response, HangUp> {
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
            // Too large, or the sender broke off; who broke off does not read this.
            return Answer::status(413).finish();
        };
        let secret = lock(&self.secret).clone();
        let signatures = match signature::verify(&secret, &head.headers, &body) {
            Ok(signatures) => signatures,
            Err(why) => {
                self.ledger.change(|ledger| ledger.refused(&why));
                return Answer::status(401).body(why).finish();
            }
        };
        let mut message = Message::read(head.uri.path(), head.headers, body, clock::monotonic());
        self.ledger.change(|ledger| ledger.arrived(&mut message, signatures));
        self.switch.pass().await;
        let answer = self.answer(&message.received);
        if answer.held {
            self.switch.pass().await;
        }
        if answer.then_down {
            self.switch.down();
        }
        // From here to the answer nothing waits: what the ledger calls acknowledged is on its way.
        let status = answer.code();
        let acknowledged = self.settings.acknowledges_with.is_given_by(status);
        self.ledger.change(|ledger| ledger.answered(&message, status, acknowledged));
        answer.finish()
    }

    fn answer(&self, received: &Received) -> Answer {
        let script = lock(&self.script).clone();
        self.switch
            .verdict()
            .or_else(|| script.and_then(|script| script(received)))
            .unwrap_or_else(|| Answer::ok().body(Body::empty()))
    }
}
