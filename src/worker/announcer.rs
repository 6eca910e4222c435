//! Tells webhooks what happened outside any run. Whoever tends finds that something is due; it is told apart from the runs'
//! slots, a few at a time, and comes again with growing waits until everybody who names the event has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use super::Worker;
use crate::backoff;
use crate::clock;
use crate::definition::webhook::EventType;
use crate::definition::{Kind, Webhook};
use crate::engine::event::{Envelope, Subject};
use crate::engine::seam::{Courier as _, Delivery, SendGuard, Verdict};
use crate::store::StoreError;
use crate::store::announcements::Announcement;

/// The wait before the second try, and the longest between two.
const WAITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3600));
/// After so long it is news no more.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Whether this worker is telling something.
#[derive(Debug, Default)]
pub(super) struct Announcer(AtomicBool);

/// Tells what is due in these partitions, beside everything else, unless that is being done.
pub(super) fn tell(worker: &Arc<Worker>, partitions: Vec<u16>) {
    if partitions.is_empty() || worker.announcer.0.swap(true, Ordering::AcqRel) {
        return;
    }
    let busy = Busy(Arc::clone(worker));
    tokio::spawn(async move {
        for partition in partitions {
            if let Err(error) = tell_all(&busy.0, partition).await {
                error.report("what happened could not be told");
            }
        }
    });
}

/// While it is there, the worker is telling something.
struct Busy(Arc<Worker>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.announcer.0.store(false, Ordering::Release);
    }
}

async fn tell_all(worker: &Worker, partition: u16) -> Result<(), StoreError> {
    let due = worker.store.take_announcements(partition).await?;
    if due.is_empty() {
        return Ok(());
    }
    let webhooks = worker.connections.live().documents(Kind::Webhook).await?;
    let webhooks: Vec<Webhook> =
        webhooks.iter().filter_map(|document| Webhook::from_document(document).ok()).collect();
    // Side by side, so that one webhook that does not answer delays nobody else.
    let told = due.into_iter().map(async |(id, mut announcement)| {
        let is_over = tell_one(worker, &id, &mut announcement, &webhooks).await;
        let age = clock::now().since(announcement.at);
        if !is_over && age > AGE_MAX {
            warn!(event = announcement.event, id, "told nobody who wanted to know; given up");
        }
        let (base, max) = WAITS;
        let wait = backoff::delay(base, max, announcement.tries, announcement.at.0.unsigned_abs());
        let again = (!is_over && age <= AGE_MAX).then_some((&announcement, wait));
        worker.store.end_announcement(partition, &id, again).await
    });
    futures::future::join_all(told).await.into_iter().collect()
}

/// Whether all who want to know have been told.
async fn tell_one(worker: &Worker, id: &str, announcement: &mut Announcement, webhooks: &[Webhook]) -> bool {
    announcement.tries = announcement.tries.saturating_add(1);
    // One that a later version announced is its business.
    let Ok(event) = announcement.event.parse::<EventType>() else { return false };
    let wants = |webhook: &&Webhook| {
        webhook.is_active && webhook.takes(event) && !announcement.told.contains(&webhook.id)
    };
    let wanting = webhooks.iter().filter(wants);
    let attempts_before = announcement.tries - 1;
    let tell = async |webhook: &Webhook| {
        let envelope = Envelope {
            subject: Subject::Announcement(id),
            environment: worker.store.environment(),
            webhook: &webhook.id,
            event,
            ordinal: 0,
            created_at: announcement.at,
        };
        let (id, body) = envelope.seal(announcement.payload.as_str());
        let webhook = webhook.id.clone();
        let delivery = Delivery { webhook, event, id, body, run: None, seq: None, attempts_before };
        match worker.courier.deliver(&delivery, &Leaving(worker)).await {
            Verdict::Acknowledged => Some(delivery.webhook),
            Verdict::Refused { .. } | Verdict::Failed(_) => None,
        }
    };
    let told = futures::future::join_all(wanting.map(tell)).await;
    let is_over = told.iter().all(Option::is_some);
    for webhook in told.into_iter().flatten() {
        info!(%webhook, %event, "told");
        announcement.told.push(webhook);
    }
    is_over
}

/// Nobody else tells it meanwhile, but a worker that leaves tells no more.
struct Leaving<'w>(&'w Worker);

impl SendGuard for Leaving<'_> {
    fn permit(&self) -> Option<u64> {
        (!self.0.leaving.is_cancelled()).then_some(0)
    }

    fn interrupted(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.leaving.cancelled())
    }
}
