//! Takes connections. An accept loop of our own, because `axum::serve` sets no time limit for headers: a client that
//! sends one byte a minute would hold a connection for ever.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Api, router};

/// How long a client may take to send the head of a request, and how long an idle connection is kept.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;
/// How long requests that are being answered may take once the server leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be taken, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API on `listener` until `shutdown` fires; requests that are being answered then are finished.
///
/// # Errors
/// When the listener has no address, that is, never while it works.
pub async fn serve(listener: TcpListener, api: Api, shutdown: CancellationToken) -> io::Result<()> {
    info!(address = %listener.local_addr()?, "the API listens");
    let service = TowerToHyperService::new(router(api));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = async { (place.await, listener.accept().await) };
        let (place, stream) = tokio::select! {
            () = shutdown.cancelled() => break,
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => (place, stream),
                Err(error) => {
                    warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // Answers are small and clients wait for them.
        let _ = stream.set_nodelay(true);
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    if tokio::time::timeout(LEAVE_TIMEOUT, graceful.shutdown()).await.is_err() {
        warn!("requests were still being answered when the API left");
    }
    Ok(())
}
