//! Keeps the leases: one call for all runs of a partition, three times a lease, apart from the work, so that a
//! receiver that takes a minute is harmless.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::Worker;
use super::leases::Lease;
use crate::clock;
use crate::store::StoreError;
use crate::store::lease::Renewal;

/// Leases renewed by one call; bounds the script.
const BATCH: usize = 250;

pub(super) async fn run(worker: Arc<Worker>) {
    let mut ticks = tokio::time::interval(worker.settings.worker.lease / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut partitions: HashMap<u16, Vec<Arc<Lease>>> = HashMap::new();
        for lease in worker.leases.all() {
            partitions.entry(lease.run.partition()).or_default().push(lease);
        }
        let batches = partitions.values().flat_map(|leases| leases.chunks(BATCH));
        futures::future::join_all(batches.map(|leases| renew(&worker, leases))).await;
    }
}

async fn renew(worker: &Worker, leases: &[Arc<Lease>]) {
    let sent = clock::monotonic();
    let runs: Vec<_> = leases.iter().map(|lease| (lease.run, lease.epoch, lease.owner.clone())).collect();
    let length = worker.settings.worker.lease;
    // The next turn renews again, and must not wait for a part of a cluster that does not answer.
    let renewal = tokio::time::timeout(length / 3, worker.store.renew(&runs, length)).await;
    let renewal = renewal.unwrap_or_else(|_| Err(StoreError::Unreachable("no answer in time".to_owned())));
    match renewal {
        Ok(renewals) => {
            for (lease, renewal) in leases.iter().zip(renewals) {
                match renewal {
                    Renewal::Held { stop } => {
                        lease.renewed(sent);
                        if let Some(reason) = stop {
                            lease.stop(reason);
                        }
                    }
                    Renewal::Lost => {
                        debug!(run = %lease.run, epoch = lease.epoch, "lease lost");
                        lease.lose();
                    }
                }
            }
        }
        Err(error) => error.report("leases not renewed"),
    }
}
