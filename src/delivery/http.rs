//! The courier over HTTP: sends one event to one webhook, a few times if need be.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use super::silence::Silence;
use super::verdict::{self, Answer};
use super::{failure, headers};
use crate::clock;
use crate::definition::Webhook;
use crate::definition::webhook::DeliveryRetry;
use crate::egress::Egress;
use crate::engine::seam::{Courier, Delivery, DeliveryError, SendGuard, Verdict};
use crate::id::WebhookId;
use crate::retry_after;

/// The longest wait that a receiver can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How much of an answer is read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How much of an answer is kept to find the receiver's reason in.
const EXCERPT_BYTES_MAX: usize = 4 * 1024;

/// How long the rest of an acknowledging answer is read to keep its connection. A page later is too late to gain.
const FINISH_ASIDE_MAX: Duration = Duration::from_secs(1);

/// The longest time of one try, whatever a webhook says: a run must not wait for one answer much longer.
const EXCHANGE_MAX: Duration = Duration::from_secs(600);

/// Where the courier looks a webhook up, before every try: its URL, secrets and state are read live.
pub trait WebhookBook: Send + Sync {
    /// The webhook as it is now; `None` when there is none.
    fn webhook(&self, id: &WebhookId)
    -> impl Future<Output = Result<Option<Arc<Webhook>>, BookError>> + Send;
}

/// Why a webhook could not be looked up, in words that continue "could not be read: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BookError(pub String);

/// What the courier sends with.
#[derive(Debug, Clone)]
pub struct Http {
    /// A client of [`Egress::plain_client`]: a receiver's answer is a few words.
    pub client: reqwest::Client,
    /// The same guard, asked about the URL before every try.
    pub egress: Egress,
}

/// Delivers events over HTTP.
#[derive(Debug, Clone)]
pub struct HttpCourier<B> {
    http: Http,
    book: B,
    silence: Silence,
}

impl<B: WebhookBook> HttpCourier<B> {
    /// A courier that reads webhooks from `book` and sends with `http`.
    pub fn new(http: Http, book: B) -> Self {
        Self { http, book, silence: Silence::default() }
    }
}

impl<B: WebhookBook> Courier for HttpCourier<B> {
    async fn deliver(&self, delivery: &Delivery, guard: &dyn SendGuard) -> Verdict {
        let seed = seed(&delivery.id);
        let mut last = failed("nothing was sent".to_owned(), 0);
        loop {
            let attempt = last.attempts + 1;
            let (error, retry) = match self.try_once(delivery, guard, attempt).await {
                Tried::Settled(verdict) => return verdict,
                Tried::NotOurs => {
                    return Verdict::Failed(DeliveryError {
                        message: "the run is no longer ours".to_owned(),
                        ..last
                    });
                }
                Tried::Unsendable(message) => return Verdict::Failed(failed(message, attempt)),
                Tried::Failed(error, retry) => (error, retry),
            };
            let Some(wait) = verdict::next_try(&error, &retry, seed) else { return Verdict::Failed(error) };
            tokio::select! {
                biased;
                () = guard.interrupted() => return Verdict::Failed(error),
                () = tokio::time::sleep(wait) => last = error,
            }
        }
    }
}

/// How one try ended.
enum Tried {
    /// With an answer that decides.
    Settled(Verdict),
    /// Without an acknowledgement; another try may follow by these rules.
    Failed(DeliveryError, DeliveryRetry),
    /// Nothing was sent, and another try at once would not change that.
    Unsendable(String),
    /// The guard did not permit it.
    NotOurs,
}

impl<B: WebhookBook> HttpCourier<B> {
    async fn try_once(&self, delivery: &Delivery, guard: &dyn SendGuard, attempt: u32) -> Tried {
        let webhook = match self.look_up(&delivery.webhook).await {
            Ok(webhook) => webhook,
            Err(message) => return Tried::Unsendable(message),
        };
        let patience = webhook.timeout.min(EXCHANGE_MAX);
        if delivery.run.is_some_and(|run| !self.silence.permits(&webhook.id, run, patience)) {
            let name = name(&webhook);
            return Tried::Unsendable(format!(
                "{name} answers nobody at present; another run tries it first, this one waits"
            ));
        }
        // After everything else that takes time: what the guard says is true only for a moment.
        let Some(epoch) = guard.permit() else { return Tried::NotOurs };
        let count = delivery.attempts_before.saturating_add(attempt);
        let headers = match headers::of(&webhook, delivery, epoch, count, clock::now()) {
            Ok(headers) => headers,
            Err(error) => return Tried::Unsendable(format!("webhook {} {error}", webhook.id)),
        };
        let started = clock::monotonic();
        let answer = self.exchange(&webhook, delivery, headers).await;
        match &answer {
            Ok(_) => self.silence.broken(&webhook.id),
            Err(Unanswered { is_silence: true, .. }) => {
                delivery.run.iter().for_each(|run| self.silence.met(&webhook.id, *run, patience));
            }
            Err(_) => {}
        }
        let answer = answer.map_err(|unanswered| unanswered.message);
        tracing::debug!(
            run = delivery.run.map(tracing::field::display),
            webhook = %webhook.id,
            event = %delivery.event,
            seq = delivery.seq,
            attempt = count,
            status = answer.as_ref().ok().map(|answer| answer.status),
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes = delivery.body.len(),
            "delivery tried"
        );
        judge(&webhook, delivery, answer, attempt)
    }

    /// The webhook, if anything may be sent to it now.
    async fn look_up(&self, id: &WebhookId) -> Result<Arc<Webhook>, String> {
        let webhook = match self.book.webhook(id).await {
            Ok(Some(webhook)) => webhook,
            Ok(None) => {
                return Err(format!("there is no webhook {id}; apply its definition, then resume the run"));
            }
            Err(error) => return Err(format!("webhook {id} could not be read: {error}")),
        };
        if !webhook.is_active {
            return Err(format!("webhook {id} is not active; activate it, then resume the run"));
        }
        let checked = self.http.egress.check(&webhook.target_url);
        checked.map_err(|refused| format!("{}: {refused}", name(&webhook)))?;
        Ok(webhook)
    }

    /// One request and its answer, within the webhook's time.
    async fn exchange(
        &self,
        webhook: &Webhook,
        delivery: &Delivery,
        headers: HeaderMap,
    ) -> Result<Received, Unanswered> {
        let limit = webhook.timeout.min(EXCHANGE_MAX);
        let deadline = Instant::now() + limit;
        let request =
            self.http.client.post(webhook.target_url.clone()).headers(headers).body(delivery.body.clone());
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Err(Unanswered { message: failure::of(&error), is_silence: false });
            }
            Err(_) => {
                let message = format!("did not answer within {}", humantime::format_duration(limit));
                return Err(Unanswered { message, is_silence: true });
            }
        };
        let status = response.status().as_u16();
        let asked = response.headers().get_all(RETRY_AFTER).iter();
        let now = clock::now();
        let asked = asked.filter_map(|value| retry_after::parse(value.to_str().ok()?, now)).max();
        let retry_after = asked.map(|wait| wait.min(RETRY_AFTER_MAX));
        let body = if verdict::acknowledges(status, webhook.ack) {
            finish_aside(response);
            vec![]
        } else {
            excerpt(response, deadline).await
        };
        Ok(Received { status, retry_after, body })
    }
}

/// Why nothing came back.
struct Unanswered {
    message: String,
    /// Whether the receiver had the request and said nothing, for the webhook's whole time.
    is_silence: bool,
}

/// What came back.
struct Received {
    status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

fn judge(webhook: &Webhook, delivery: &Delivery, answer: Result<Received, String>, attempt: u32) -> Tried {
    let verdict = match answer {
        Ok(Received { status, retry_after, body }) => {
            let answer = Answer { status, retry_after, body: &body };
            verdict::of(&answer, webhook.ack, delivery.event, attempt)
        }
        Err(message) => Verdict::Failed(failed(message, attempt)),
    };
    match verdict {
        Verdict::Failed(error) => {
            let message = format!("{} {}", name(webhook), error.message);
            Tried::Failed(DeliveryError { message, ..error }, webhook.retry)
        }
        settled @ (Verdict::Acknowledged | Verdict::Refused { .. }) => Tried::Settled(settled),
    }
}

/// Lets an acknowledging answer end beside the run, which does not wait for it: many receivers send the body apart
/// from the head, and dropping it would cost the connection, with TLS two or three round trips a page.
fn finish_aside(response: reqwest::Response) {
    drop(tokio::spawn(excerpt(response, Instant::now() + FINISH_ASIDE_MAX)));
}

/// The start of the answer's body. Reads on for a while, so that a short body does not cost the connection; stops
/// at the limit or the deadline without complaint, since the status has said what matters.
async fn excerpt(mut response: reqwest::Response, deadline: Instant) -> Vec<u8> {
    let (mut kept, mut read) = (Vec::new(), 0);
    while read < ANSWER_BYTES_MAX
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await
    {
        read += chunk.len();
        let room = EXCERPT_BYTES_MAX - kept.len();
        kept.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    kept
}

/// The webhook in an error's words: its id and host. The rest of a URL may hold a token.
fn name(webhook: &Webhook) -> String {
    format!("webhook {} ({})", webhook.id, webhook.target_url.host_str().unwrap_or("no host"))
}

/// A failure without an answer.
fn failed(message: String, attempts: u32) -> DeliveryError {
    DeliveryError { status: None, message, retry_after: None, attempts }
}

/// Spreads the waits of different events; the same event waits the same on every worker.
fn seed(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
