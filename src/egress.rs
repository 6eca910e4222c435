//! Where this process may connect to. Webhook URLs, base URLs and next links come from outside, so each is
//! judged: its text and literal host by [`Egress::check`] before every send, a name by its addresses while the
//! connection is made. Both are needed: the HTTP client asks no resolver about a literal address. Only addresses
//! that were judged are dialled, so an answer that changes between two look-ups gains nothing.
//!
//! This room knows neither webhooks nor sources, and has no opinion on what is sent.

mod address;
mod name;
mod resolver;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use self::address::Address;
use self::name::Name;
use self::resolver::GuardedResolver;

/// The longest time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept. Shorter than what most receivers and proxies allow, so that we
/// rarely send into a connection that they are just closing.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most unused connections that are kept to one host.
const POOL_IDLE_MAX: usize = 256;

/// How much of an answer over HTTP/2 may arrive before it is read: of one request, and of one connection. The client's
/// own windows are some megabytes for each host.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// The longest URL that is looked at.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Ports below 1024 that a web server is expected on.
const WEB_PORTS: [u16; 2] = [80, 443];

/// Ports from 1024 on that belong to data stores and control planes, which must not be spoken to through us.
const FORBIDDEN_PORTS: [u16; 15] =
    [2375, 2376, 2379, 2380, 3306, 5432, 5672, 6379, 9200, 9300, 10250, 10255, 11211, 26379, 27017];

/// Why a destination is not allowed. The text names no address, so that nobody learns from it what a name
/// resolves to inside our network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The text is no plain absolute URL.
    #[error(
        "destination not allowed: this is no plain absolute URL; write http(s)://host/path without spaces, backslashes, control characters or a fragment"
    )]
    Malformed,
    /// Neither `http` nor `https`.
    #[error("destination not allowed: only http and https URLs are")]
    Scheme,
    /// A user name or password in the URL.
    #[error(
        "destination not allowed: the URL has a user name or password in it; send credentials in a header instead"
    )]
    Userinfo,
    /// A host name no public server can have: empty or malformed labels.
    #[error("destination not allowed: the host is no valid name")]
    Name,
    /// A host name with a meaning inside a machine or a private network only.
    #[error(
        "destination not allowed: the host name is a local one; allow its network with an egress CIDR if it is meant"
    )]
    LocalName,
    /// A loopback, private, link-local, metadata or otherwise reserved address, literal or resolved.
    #[error(
        "destination not allowed: the host is in a private or reserved network; allow that network with an egress CIDR if it is meant"
    )]
    Address,
    /// A port that no web service is expected on.
    #[error(
        "destination not allowed: no web service is expected on this port; use 80, 443 or a free port from 1024 on"
    )]
    Port,
}

impl Refused {
    /// The refusal that made a request fail while it was connecting, if that is what happened.
    pub fn behind(error: &reqwest::Error) -> Option<Self> {
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if let Some(refused) = cause.downcast_ref::<Self>() {
                return Some(*refused);
            }
            source = cause.source();
        }
        None
    }
}

/// The guard of all outbound HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Egress {
    allow: Arc<[IpNet]>,
}

impl Egress {
    /// A guard that lets through what is public, and the networks of `allow` although they are not. A
    /// metadata service's address must be allowed by itself (`/32`, `/128`), not by a network around it.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow: allow.into() }
    }

    /// The networks that are allowed although they are not public, for start-up logs.
    pub fn allowed(&self) -> &[IpNet] {
        &self.allow
    }

    /// Reads a URL as a person or a source wrote it. Refuses what parsers read in different ways, then
    /// [checks](Self::check) it: what is stored and shown is what will be dialled.
    ///
    /// # Errors
    /// Why the destination is not allowed.
    pub fn parse(&self, text: &str) -> Result<Url, Refused> {
        let plain = |c: char| !(c.is_control() || c.is_whitespace() || c == '\\');
        if text.len() > URL_BYTES_MAX || !text.chars().all(plain) {
            return Err(Refused::Malformed);
        }
        let url = Url::parse(text).map_err(|_| Refused::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        let after_scheme = text.split_once(':').map_or("", |(_, rest)| rest);
        let has_authority = after_scheme.starts_with("//") && !after_scheme.starts_with("///");
        if !has_authority || url.fragment().is_some() {
            return Err(Refused::Malformed);
        }
        self.check(&url)?;
        Ok(url)
    }

    /// Judges all of a URL that can be judged without DNS: scheme, user info, literal address, name, port.
    /// Must be asked before every send, with the very URL that is sent to.
    ///
    /// # Errors
    /// Why the destination is not allowed.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Userinfo);
        }
        let port = url.port_or_known_default().unwrap_or(0);
        match url.host() {
            None => Err(Refused::Malformed),
            Some(Host::Ipv4(ip)) => self.check_literal(ip.into(), port),
            Some(Host::Ipv6(ip)) => self.check_literal(ip.into(), port),
            Some(Host::Domain(host)) => self.check_name(host, port),
        }
    }

    /// A client that connects to nothing this guard refuses by name, follows no redirect, uses no proxy of
    /// the environment, sends nothing twice on its own, and decompresses (so callers must cap what they read).
    /// Literal hosts are up to [`check`](Self::check). Callers set the total time of each request.
    ///
    /// # Errors
    /// When the TLS back end can't be set up.
    pub fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        self.builder().build()
    }

    /// The same, but answers are taken as they come: neither asked for compressed nor unpacked.
    ///
    /// # Errors
    /// When the TLS back end can't be set up.
    pub fn plain_client(&self) -> Result<reqwest::Client, reqwest::Error> {
        self.builder().no_gzip().no_brotli().no_zstd().no_deflate().build()
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .dns_resolver(GuardedResolver::new(self.clone()))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .user_agent(concat!("rapidbridge/", env!("CARGO_PKG_VERSION")))
    }

    fn check_literal(&self, ip: IpAddr, port: u16) -> Result<(), Refused> {
        match address::judge(ip, &self.allow) {
            Address::Allowed => Ok(()),
            Address::Public => check_port(port),
            Address::Translated | Address::Reserved => Err(Refused::Address),
        }
    }

    /// A local name passes here when any network is allowed: its addresses then decide. The port list holds
    /// for every name, since the resolver, which learns the addresses, is not told the port.
    fn check_name(&self, host: &str, port: u16) -> Result<(), Refused> {
        match name::judge(host) {
            Name::Invalid => Err(Refused::Name),
            Name::Local if self.allow.is_empty() => Err(Refused::LocalName),
            Name::Local | Name::Public => check_port(port),
        }
    }

    /// Which of the addresses that `host` resolved to may be dialled.
    ///
    /// One reserved address among them refuses the whole name: no honest public name has one. Addresses of
    /// IPv6 transition mechanisms are left out silently, since a DNS64 network adds them to every name. A local
    /// name is dialled only at addresses the operator allowed; `localhost` may well have others.
    fn admit(&self, host: &str, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Refused> {
        let local = match name::judge(host) {
            Name::Invalid => return Err(Refused::Name),
            Name::Local => true,
            Name::Public => false,
        };
        let mut admitted = Vec::new();
        for ip in addresses {
            match address::judge(*ip, &self.allow) {
                Address::Allowed => admitted.push(*ip),
                Address::Public if !local => admitted.push(*ip),
                Address::Public | Address::Translated => {}
                Address::Reserved if local => {}
                Address::Reserved => return Err(Refused::Address),
            }
        }
        match (admitted.is_empty(), local) {
            (false, _) => Ok(admitted),
            (true, true) => Err(Refused::LocalName),
            (true, false) => Err(Refused::Address),
        }
    }
}

fn check_port(port: u16) -> Result<(), Refused> {
    let privileged = port < 1024 && !WEB_PORTS.contains(&port);
    if privileged || FORBIDDEN_PORTS.contains(&port) { Err(Refused::Port) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
