//! A worker: claims runs, executes up to `worker.concurrency` of them at a time, and lets go of them in good
//! order. Any number of workers share the work; they meet only in Redis.
//!
//! Loops: [`claimer`] takes runs, [`heartbeat`] keeps their leases, [`tender`] does what any process may do for
//! the queue. Each run is a task of its own ([`execute`]); a [`suspect`] has its worker to itself.

mod announcer;
mod claimer;
mod dry_run;
mod execute;
pub mod health;
mod heartbeat;
mod journal;
mod leases;
#[cfg(feature = "planted")]
mod planted;
mod suspect;
mod tender;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use uuid::Uuid;

use crate::delivery::{Http as CourierHttp, HttpCourier};
use crate::egress::Egress;
use crate::engine::budget::Budget;
use crate::live::Connections;
use crate::seal::Sealer;
use crate::settings::Settings;
use crate::source::Http as SourceHttp;
use crate::store::Store;

use leases::Leases;
use webhooks::LiveWebhooks;

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No HTTP client could be made.
    #[error("the HTTP client can't be set up: {0}")]
    Http(#[from] reqwest::Error),
    /// The health check's address is taken or not ours.
    #[error("the health check can't listen on {address}: {error}")]
    Health {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

/// How long a worker that leaves waits for tokens that are being exchanged: a source may not give them twice.
pub(crate) const EXCHANGES_MAX: Duration = Duration::from_secs(25);

/// What the loops of one worker share.
struct Worker {
    name: String,
    settings: Settings,
    store: Store,
    connections: Connections,
    courier: Arc<HttpCourier<LiveWebhooks>>,
    budget: Budget,
    /// How many runs may evaluate expressions at once: as many as there are processors.
    evaluations: Arc<tokio::sync::Semaphore>,
    announcer: announcer::Announcer,
    leases: Leases,
    /// Rings when a slot may have become free.
    free: Notify,
    slots: Arc<tokio::sync::Semaphore>,
    /// Fires when the worker is asked to stop: no new claims; runs stop after the delivery in flight.
    leaving: CancellationToken,
    tasks: TaskTracker,
}

/// Runs a worker over `store` until `shutdown` fires, then drains it.
///
/// # Errors
/// When it could not start.
pub async fn run(settings: Settings, store: Store, shutdown: CancellationToken) -> Result<(), WorkerError> {
    let sealer = Arc::new(Sealer::new(settings.seal.key.clone(), settings.seal.previous.clone()));
    let egress = Egress::new(settings.egress.allow.clone());
    let source_http = SourceHttp::new(egress.clone(), settings.limits.page_bytes_max)?;
    let connections = Connections::new(store.clone(), sealer, source_http);
    let courier_http = CourierHttp { client: egress.plain_client()?, egress };
    let worker = Arc::new(Worker {
        name: name(),
        store,
        courier: Arc::new(HttpCourier::new(courier_http, LiveWebhooks(connections.live().clone()))),
        connections,
        budget: Budget::new(settings.worker.memory_budget_bytes, settings.limits.page_bytes_max),
        evaluations: Arc::new(tokio::sync::Semaphore::new(processors())),
        announcer: announcer::Announcer::default(),
        leases: Leases::default(),
        free: Notify::new(),
        slots: Arc::new(tokio::sync::Semaphore::new(settings.worker.concurrency)),
        leaving: CancellationToken::new(),
        tasks: TaskTracker::new(),
        settings,
    });
    let health = match worker.settings.worker.health_listen {
        None => None,
        Some(address) => {
            let bound = health::serve(address, Arc::clone(&worker)).await;
            Some(bound.map_err(|error| WorkerError::Health { address, error })?)
        }
    };
    info!(worker = worker.name, concurrency = worker.settings.worker.concurrency, "worker started");
    let heartbeat = tokio::spawn(heartbeat::run(Arc::clone(&worker)));
    let tender = tokio::spawn(tender::run(Arc::clone(&worker)));
    let claimer = tokio::spawn(claimer::run(Arc::clone(&worker)));
    shutdown.cancelled().await;
    worker.drain(claimer).await;
    if tokio::time::timeout(EXCHANGES_MAX, worker.connections.settled()).await.is_err() {
        warn!(worker = worker.name, "left while access was being renewed");
    }
    heartbeat.abort();
    tender.abort();
    drop(health);
    info!(worker = worker.name, "worker stopped");
    Ok(())
}

impl Worker {
    /// Lets every run finish its delivery in flight, then gives it back; what takes longer than the drain
    /// time-out is let go anyway, and may be delivered twice.
    async fn drain(&self, claimer: tokio::task::JoinHandle<()>) {
        info!(worker = self.name, runs = self.leases.len(), "worker leaves");
        self.leaving.cancel();
        if let Err(error) = claimer.await {
            warn!(%error, "the claiming loop broke");
        }
        self.tasks.close();
        let timeout = self.settings.worker.drain_timeout;
        if tokio::time::timeout(timeout, self.tasks.wait()).await.is_err() {
            warn!(
                worker = self.name,
                runs = self.leases.len(),
                "drain time-out: what is in flight is let go"
            );
            self.leases.let_go_of_all();
            // Their tasks see it at once and give their runs back; whoever waits for Redis is dropped with the process.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
        }
    }

    /// How many runs to keep on each ready stream: about twice the free slots.
    fn depth(&self) -> usize {
        2 * self.slots.available_permits()
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A name that no other worker has, and that tells a person which process it is.
fn name() -> String {
    let unique = Uuid::now_v7().simple().to_string();
    format!("worker-{}-{}", std::process::id(), &unique[unique.len() - 8..])
}
