//! DNS with the guard in it: the HTTP client dials the addresses that come out of here, and no others.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Egress;

/// The longest look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How many addresses of a name are considered; the rest are never dialled.
const ADDRESSES_MAX: usize = 16;

/// The system's resolver behind an [`Egress`].
pub(super) struct GuardedResolver {
    egress: Egress,
}

impl GuardedResolver {
    pub(super) fn new(egress: Egress) -> Self {
        Self { egress }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.egress.clone();
        Box::pin(async move {
            let addresses = look_up(name.as_str()).await?;
            let admitted = egress.admit(name.as_str(), &addresses)?;
            // Port 0 stands for the port of the URL.
            let addrs: Addrs = Box::new(admitted.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addrs)
        })
    }
}

async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the name was not resolved in time");
    let found =
        tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, 0))).await.map_err(late)??;
    Ok(found.map(|addr| addr.ip()).take(ADDRESSES_MAX).collect())
}
