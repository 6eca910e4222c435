//! The cluster that is broken: schedulers and workers as real processes, Redis, sources and receivers, and a proxy
//! in each link between them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rapidbridge::playground::program::Group;
use rapidbridge::playground::proxy::Weather;
use rapidbridge::playground::{Program, Proxy, Receiver, helpdesk, receiver};
use rapidbridge::redis_server::{Options, Port, RedisServer};
use rapidbridge::settings::Settings;
use rustix::process::Signal;

use crate::plan::{LEASE, Link, RECEIVERS, SCHEDULERS, SOURCES, Slot, WORKERS};
use crate::power::Power;
use crate::source::Source;

/// The API's token; a canary, too: it must be seen nowhere.
pub(crate) const TOKEN: &str = "chaos-api-token-canary-6c1f";
/// The sources' token: a canary.
pub(crate) const SOURCE_TOKEN: &str = "chaos-source-token-canary-93ab";
/// The webhooks' secret: a canary.
pub(crate) const WEBHOOK_SECRET: &str = "chaos-webhook-secret-canary-e07d";
/// The environment.
pub(crate) const ENVIRONMENT: &str = "chaos";
/// Into how many parts runs are divided.
pub(crate) const PARTITIONS: u16 = 4;
const SEAL_KEY: &str = "c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a0";

/// Where ports for APIs are drawn from, and how often.
const PORTS: std::ops::Range<u16> = 12_000..30_000;
const PORT_TRIES: usize = 100;

/// How much of a log an error shows.
const LOG_TAIL_LINES: usize = 20;

/// Bytes of pages that a receiver keeps, so that the checker can look into them: more than half an hour of chaos brings.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// How long a receiver takes over a page: long enough to be hit in the middle.
const RECEIVER_LATENCY: Duration = Duration::from_millis(120);
/// How long a source takes over a page.
const SOURCE_LATENCY: Duration = Duration::from_millis(6);

/// Everything that runs.
pub(crate) struct World {
    folder: PathBuf,
    programs: PathBuf,
    worker: String,
    pub(crate) redis: RedisServer,
    pub(crate) redis_address: SocketAddr,
    pub(crate) power: Power,
    pub(crate) redis_link: Proxy,
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) source_links: Vec<Proxy>,
    pub(crate) receivers: Vec<Arc<Receiver>>,
    pub(crate) receiver_links: Vec<Proxy>,
    pub(crate) api_addresses: Vec<SocketAddr>,
    settings: Vec<(String, String)>,
    processes: BTreeMap<Slot, Process>,
    started: usize,
}

/// One of the product's processes.
pub(crate) struct Process {
    program: Program,
    leaving: bool,
}

impl Process {
    /// Waits for a process that was asked to leave, and kills it when it takes too long. Says whether it left by itself.
    pub(crate) async fn left(mut self, within: Duration) -> bool {
        if self.program.left(within).await.is_ok_and(|status| status.is_some()) {
            return true;
        }
        // Gone already when that fails.
        let _ = self.program.kill().await;
        false
    }
}

impl World {
    /// Starts Redis, the sources and the receivers; none of the product's processes yet.
    pub(crate) async fn start(
        folder: &Path,
        programs: &Path,
        worker: &str,
        seed: u64,
        more: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let mut options = Options::new(folder.join("redis"), std::env::var_os("PATH"));
        options.port = Port::Loopback;
        let redis = RedisServer::start(&options).await?;
        let redis_address = redis.tcp_url().context("Redis has no port")?;
        let redis_address: SocketAddr =
            redis_address.trim_start_matches("redis://").trim_end_matches('/').parse()?;
        let redis_link = Proxy::start(redis_address).await?;
        let (mut sources, mut source_links) = (Vec::new(), Vec::new());
        for number in 0..SOURCES as u64 {
            let settings = helpdesk::Settings {
                seed: seed.wrapping_add(number),
                tickets: 60 + 21 * number,
                users: 45,
                organizations: 12,
                comments_every: 6,
                comments_max: 3,
                token: SOURCE_TOKEN.to_owned(),
                latency: SOURCE_LATENCY,
                ..helpdesk::Settings::default()
            };
            let source = Source::start(settings).await?;
            source_links.push(Proxy::start(address_of(&source.url())?).await?);
            sources.push(Arc::new(source));
        }
        let (mut receivers, mut receiver_links) = (Vec::new(), Vec::new());
        for _ in 0..RECEIVERS {
            let settings = receiver::Settings {
                secret: WEBHOOK_SECRET.to_owned(),
                keep_bytes_max: KEPT_BYTES_MAX,
                ..receiver::Settings::default()
            };
            let receiver = Receiver::start(settings).await?;
            let link = Proxy::start(address_of(&receiver.url())?).await?;
            link.turn(Weather::Delay(RECEIVER_LATENCY / 2));
            receiver_links.push(link);
            receivers.push(Arc::new(receiver));
        }
        let mut settings: Vec<(String, String)> = [
            ("ENVIRONMENT", ENVIRONMENT.to_owned()),
            ("REDIS__URL", format!("redis://{}", redis_link.address())),
            ("REDIS__PARTITIONS", PARTITIONS.to_string()),
            ("REDIS__RESPONSE_TIMEOUT", "1s".to_owned()),
            ("REDIS__CONNECT_TIMEOUT", "1s".to_owned()),
            ("SEAL__KEY", SEAL_KEY.to_owned()),
            ("API__TOKENS", TOKEN.to_owned()),
            ("EGRESS__ALLOW", "127.0.0.0/8".to_owned()),
            ("WORKER__LEASE", format!("{}s", LEASE.as_secs())),
            ("WORKER__CONCURRENCY", "8".to_owned()),
            ("SCHEDULER__TICK", "200ms".to_owned()),
            ("SCHEDULER__GRACE", "2s".to_owned()),
        ]
        .map(|(name, value)| (format!("RAPIDBRIDGE_{name}"), value))
        .into();
        settings.extend(more);
        let api_addresses = (0..SCHEDULERS).map(|_| free_address()).collect::<Result<_, _>>()?;
        let power = Power::watch(&folder.join("redis"));
        Ok(Self {
            folder: folder.to_owned(),
            programs: programs.to_owned(),
            worker: worker.to_owned(),
            redis,
            redis_address,
            power,
            redis_link,
            sources,
            source_links,
            receivers,
            receiver_links,
            api_addresses,
            settings,
            processes: BTreeMap::new(),
            started: 0,
        })
    }

    /// Starts all of the product's processes.
    pub(crate) fn start_all(&mut self) -> anyhow::Result<()> {
        let schedulers = (0..SCHEDULERS).map(Slot::Scheduler);
        schedulers.chain((0..WORKERS).map(Slot::Worker)).try_for_each(|slot| self.start_process(slot))
    }

    /// Starts the process of a place that is empty.
    pub(crate) fn start_process(&mut self, slot: Slot) -> anyhow::Result<()> {
        self.started += 1;
        let (program, name) = match slot {
            Slot::Worker(number) => (self.worker.as_str(), format!("worker-{number}.{}", self.started)),
            Slot::Scheduler(number) => {
                ("rapidbridge-scheduler", format!("scheduler-{number}.{}", self.started))
            }
        };
        let mut settings = self.settings.clone();
        if let Slot::Scheduler(number) = slot {
            let listen = self.api_addresses[number].to_string();
            settings.push(("RAPIDBRIDGE_API__LISTEN".to_owned(), listen));
        }
        let program = self.programs.join(program);
        let program = Program::start(&program, &name, &self.folder, settings, Group::Own)?;
        self.processes.insert(slot, Process { program, leaving: false });
        Ok(())
    }

    /// SIGKILL; it is gone when this returns.
    pub(crate) async fn kill(&mut self, slot: Slot) -> anyhow::Result<()> {
        if let Some(process) = self.processes.remove(&slot) {
            process.program.kill().await.with_context(|| format!("can't kill {slot}"))?;
        }
        Ok(())
    }

    /// Sends a signal. A process that was asked to leave may be gone already.
    pub(crate) fn signal(&mut self, slot: Slot, signal: Signal) {
        let Some(process) = self.processes.get_mut(&slot) else { return };
        process.leaving |= signal == Signal::TERM;
        let _ = process.program.signal(signal);
    }

    /// Takes a process that was asked to leave out of its place, so that another can take it.
    pub(crate) fn take(&mut self, slot: Slot) -> Option<Process> {
        self.processes.remove(&slot)
    }

    /// The process id of a place.
    pub(crate) fn pid(&self, slot: Slot) -> Option<u32> {
        self.processes.get(&slot).and_then(|process| process.program.pid())
    }

    /// Processes that ended though nobody asked them to, each with the end of its log. They are started again.
    pub(crate) fn revive(&mut self) -> anyhow::Result<Vec<String>> {
        let mut ended = Vec::new();
        for (slot, process) in &mut self.processes {
            if process.leaving {
                continue;
            }
            if let Some(status) = process.program.ended()? {
                ended.push((
                    *slot,
                    format!("{slot} ended by itself ({status}): {}", process.program.tail(LOG_TAIL_LINES)),
                ));
            }
        }
        for (slot, _) in &ended {
            self.start_process(*slot)?;
        }
        Ok(ended.into_iter().map(|(_, story)| story).collect())
    }

    /// Changes the weather of a link; `None` for what is usual there.
    pub(crate) fn turn(&self, link: Link, weather: Option<Weather>) {
        match link {
            Link::Redis => self.redis_link.turn(weather.unwrap_or(Weather::Fair)),
            Link::Source(number) => self.source_links[number].turn(weather.unwrap_or(Weather::Fair)),
            Link::Receiver(number) => {
                self.receiver_links[number].turn(weather.unwrap_or(Weather::Delay(RECEIVER_LATENCY / 2)));
            }
        }
    }

    /// The settings that the product's processes have.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(None, self.settings.iter().cloned())?)
    }

    /// The text of all logs, one after the other.
    pub(crate) fn logs(&self) -> anyhow::Result<Vec<String>> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                logs.push(String::from_utf8_lossy(&std::fs::read(&path)?).into_owned());
            }
        }
        Ok(logs)
    }

    /// Asks everything to leave.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let slots: Vec<Slot> = self.processes.keys().copied().collect();
        slots.iter().for_each(|slot| self.signal(*slot, Signal::TERM));
        for slot in slots {
            if let Some(process) = self.take(slot) {
                process.left(Duration::from_secs(10)).await;
            }
        }
        self.redis.stop().await?;
        Ok(())
    }
}

fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or(rest);
    authority.parse().with_context(|| format!("{url} has no address"))
}

/// A port that stays free while its owner is away: not one of those that the system gives to whoever connects.
fn free_address() -> anyhow::Result<SocketAddr> {
    let drawn = (0..PORT_TRIES).map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS))));
    let mut free = drawn.filter(|address| TcpListener::bind(address).is_ok());
    free.next().context("no port is free")
}
