//! What the tests stand on: a [`Cluster`] of real processes around a helpdesk and a receiver, an [`Api`] client, and
//! small definitions. Everything is killed when it is dropped, also by a panic; whoever fails shows the logs.

mod api;
pub(crate) mod cluster;
pub(crate) mod definitions;
mod process;
pub(crate) mod redis_group;
mod verdict;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rapidbridge::playground::{Answer, Helpdesk, Receiver};
use rapidbridge::redis_server::{Options, RedisServer, Search};
use tokio::time::{Instant, sleep};

pub(crate) use api::{Api, Run};
pub(crate) use cluster::{Cluster, SEAL_KEY, Setup, TOKEN};
pub(crate) use verdict::{Expected, judge};

/// How long anything may take before a test gives up: far longer than it takes on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// The pause between two looks.
const POLL: Duration = Duration::from_millis(15);

/// Looks again and again until `look` finds something; `what` names it when it does not.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        sleep(POLL).await;
    }
}

/// Closes the receiver's gate when page `seq` comes for the first time, which then waits at it.
pub(crate) fn hold_at(receiver: &Arc<Receiver>, seq: u64) {
    let (weak, came) = (Arc::downgrade(receiver), AtomicBool::new(false));
    receiver.script(move |event| {
        if event.seq != Some(seq) || came.swap(true, Ordering::SeqCst) {
            return None;
        }
        weak.upgrade()?.hold();
        Some(Answer::ok().held())
    });
}

/// Limits the source's rate when its request of this number comes, which is the first to be refused.
pub(crate) fn limit_at(helpdesk: &Arc<Helpdesk>, number: u64, seconds: u64) {
    let weak = Arc::downgrade(helpdesk);
    helpdesk.script(move |info| {
        if info.number == number {
            weak.upgrade()?.limit_now(seconds);
        }
        None
    });
}

/// Where programs are looked for.
#[expect(clippy::disallowed_methods, reason = "a test stands for the binary that reads PATH")]
pub(crate) fn path() -> Option<OsString> {
    std::env::var("PATH").ok().map(Into::into)
}

/// A Redis of this test's own in `folder`.
pub(crate) async fn redis(folder: &Path) -> RedisServer {
    RedisServer::start(&redis_options(folder)).await.unwrap()
}

/// A Redis in `folder`, from where programs are looked for.
fn redis_options(folder: &Path) -> Options {
    let private = Path::new(env!("CARGO_MANIFEST_DIR")).join(".redis/bin");
    let search = Search { program: None, folders: vec![private], path: path() };
    Options { search, ..Options::new(folder, None) }
}
