//! What all processes share between `main` and their loops: arguments and settings, logs, signals, waiting for Redis,
//! and the scheduler with its API as one thing. The binaries and `rapidbridge dev` are wiring over it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::{self, Api};
use crate::clock;
use crate::egress::Egress;
use crate::observe::{self, ObserveError};
use crate::scheduler::Scheduler;
use crate::seal::Sealer;
use crate::settings::{Settings, SettingsError};
use crate::source::Http;
use crate::store::definitions::Definitions;
use crate::store::{Store, StoreError};
use crate::worker::{self, WorkerError};

/// How long a process that starts waits for a Redis that does not answer.
const REDIS_PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two tries.
const REDIS_PAUSE: Duration = Duration::from_secs(1);
/// What a shell reports for a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Why a process could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The arguments can't be read.
    #[error("{0}; see --help")]
    Arguments(String),
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Logging can't be set up.
    #[error(transparent)]
    Logs(#[from] ObserveError),
    /// Redis is out of reach or unfit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The worker could not start.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The API's address is taken or not ours.
    #[error("the API can't listen on {address} (setting api.listen): {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The API's listener broke.
    #[error("the API can't listen any more: {0}")]
    Serve(std::io::Error),
    /// The system does not let us listen to signals.
    #[error("can't listen to signals: {0}")]
    Signals(std::io::Error),
}

/// The settings that `arguments` (without the program's name) and the environment ask for; `None` when only help or
/// the version was asked for, which then is printed.
///
/// # Errors
/// Unknown arguments, and all that is wrong with the settings.
pub fn settings(
    program: &str,
    about: &str,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Option<Settings>, StartError> {
    match read(arguments)? {
        Asked::Run(path) => Ok(Some(Settings::load(path.as_deref(), environment())?)),
        Asked::Help => {
            println!("{}", help(program, about));
            Ok(None)
        }
        Asked::Version => {
            println!("{program} {}", env!("CARGO_PKG_VERSION"));
            Ok(None)
        }
    }
}

/// This process's environment variables; those that are no UTF-8 can't be settings of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Run(Option<PathBuf>),
    Help,
    Version,
}

fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Asked, StartError> {
    let mut config = None;
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        match text.split_once('=').unwrap_or((&text, "")) {
            ("-h" | "--help", _) => return Ok(Asked::Help),
            ("-V" | "--version", _) => return Ok(Asked::Version),
            ("--config", path) if !path.is_empty() => config = Some(path.into()),
            ("--config", _) => {
                let path = arguments
                    .next()
                    .ok_or_else(|| StartError::Arguments("--config needs a file".to_owned()))?;
                config = Some(path.into());
            }
            _ => return Err(StartError::Arguments(format!("{text:?} is no argument of this program"))),
        }
    }
    Ok(Asked::Run(config))
}

fn help(program: &str, about: &str) -> String {
    format!(
        "{about}\n\n\
         Usage: {program} [--config FILE]\n\n\
         Options:\n  \
         --config FILE  Settings (TOML, YAML or JSON); rapidbridge.toml in this folder if there is one\n  \
         -h, --help     Print this\n  \
         -V, --version  Print the version\n\n\
         Every setting can also come from the environment, such as RAPIDBRIDGE_REDIS__URL.\n\
         docs/settings.md lists all of them, with their defaults."
    )
}

/// Prepares this process: logs, and the cryptography of TLS. Call it once.
///
/// # Errors
/// When logging can't be set up.
pub fn prepare(settings: &Settings) -> Result<(), StartError> {
    prepare_tls();
    observe::init(&settings.log)?;
    Ok(())
}

/// Chooses the cryptography of TLS for all connections of this process.
pub fn prepare_tls() {
    // It fails when one was chosen before, which then is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A token that fires when this process is asked to leave (SIGTERM, SIGINT). Asked a second time, it leaves at once.
///
/// # Errors
/// When the system refuses.
pub fn leave_on_signal() -> Result<CancellationToken, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let leave = CancellationToken::new();
    let fires = leave.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        info!("asked to leave; ask again to leave at once");
        fires.cancel();
        next().await;
        warn!("asked again: leaving at once");
        std::process::exit(INTERRUPTED);
    });
    Ok(leave)
}

/// Opens the store, waiting up to a minute for a Redis that does not answer yet: after a reboot everything starts at
/// the same time.
///
/// # Errors
/// When Redis stays out of reach, or is unfit.
async fn open_store(settings: &Settings) -> Result<Store, StartError> {
    let start = clock::monotonic();
    loop {
        match try_open(settings).await {
            Err(error) if error.is_passing() && start.elapsed() + REDIS_PAUSE < REDIS_PATIENCE => {
                let left = (REDIS_PATIENCE - start.elapsed()).as_secs();
                warn!(%error, "waiting for Redis (setting redis.url), {left} s more");
                tokio::time::sleep(REDIS_PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// Opens the store, and checks that this process's keys open what is sealed in it.
async fn try_open(settings: &Settings) -> Result<Store, StoreError> {
    let store = Store::open(&settings.redis, &settings.environment).await?;
    let sealer = Arc::new(Sealer::new(settings.seal.key.clone(), settings.seal.previous.clone()));
    Definitions::new(store.clone(), sealer).check_keys().await?;
    Ok(store)
}

/// Waits for Redis, then works until `leave` fires and what is in flight is finished.
///
/// # Errors
/// When Redis stays out of reach or is unfit, or the worker could not start.
pub async fn work(settings: Settings, leave: CancellationToken) -> Result<(), StartError> {
    let store = tokio::select! {
        opened = open_store(&settings) => opened?,
        () = leave.cancelled() => return Ok(()),
    };
    let stop = leave.child_token();
    let working = async { Ok(worker::run(settings, store.clone(), stop.clone()).await?) };
    unless_layout_changes(&store, &stop, working).await
}

/// Does `work`, and asks it to stop when runs turn out to be divided otherwise than this process was told.
async fn unless_layout_changes(
    store: &Store,
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), StartError>>,
) -> Result<(), StartError> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => done,
        error = store.layout_changes() => {
            error!(%error, "this process stops");
            stop.cancel();
            work.await?;
            Err(error.into())
        }
    }
}

/// A scheduler with its API, ready to run.
#[derive(Debug)]
pub struct SchedulerProcess {
    scheduler: Scheduler,
    api: Api,
    listener: TcpListener,
    store: Store,
}

impl SchedulerProcess {
    /// Opens the store and takes the API's address.
    ///
    /// # Errors
    /// When no token is set, Redis is out of reach or unfit, or the address can't be had.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        settings.check_api()?;
        let address = settings.api.listen;
        // Before Redis is asked: a port that is taken is known at once.
        let listener =
            TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })?;
        let store = open_store(settings).await?;
        let sealer = Arc::new(Sealer::new(settings.seal.key.clone(), settings.seal.previous.clone()));
        let definitions = Definitions::new(store.clone(), Arc::clone(&sealer));
        let http = Http::new(Egress::new(settings.egress.allow.clone()), settings.limits.page_bytes_max);
        let http = http.map_err(|error| StartError::Worker(WorkerError::Http(error)))?;
        let changed = Arc::new(Notify::new());
        let scheduler = Scheduler::new(settings.clone(), store.clone(), definitions, Arc::clone(&changed));
        let api = Api::new(settings.clone(), store.clone(), sealer, http, changed);
        Ok(Self { scheduler, api, listener, store })
    }

    /// Where the API listens.
    ///
    /// # Errors
    /// Never while the listener works.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Schedules and serves until `shutdown` fires.
    ///
    /// # Errors
    /// When the listener breaks, or another process divides runs otherwise.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), StartError> {
        let Self { scheduler, api, listener, store } = self;
        let stop = shutdown.child_token();
        let working = async {
            let serving = api::serve(listener, api.clone(), stop.clone());
            let ((), served) = tokio::join!(scheduler.run(stop.clone()), serving);
            // A source may not give again what it is giving now.
            let _ = tokio::time::timeout(worker::EXCHANGES_MAX, api.settled()).await;
            served.map_err(StartError::Serve)
        };
        unless_layout_changes(&store, &stop, working).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Asked, String> {
        read(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn two_flags_and_nothing_else() {
        assert_eq!(asked(&[]), Ok(Asked::Run(None)));
        assert_eq!(asked(&["--config", "a.toml"]), Ok(Asked::Run(Some("a.toml".into()))));
        assert_eq!(asked(&["--config=a.toml"]), Ok(Asked::Run(Some("a.toml".into()))));
        assert_eq!(asked(&["--config=a.toml", "-h"]), Ok(Asked::Help));
        assert_eq!(asked(&["--version"]), Ok(Asked::Version));
        assert!(asked(&["--config"]).unwrap_err().contains("needs a file"));
        assert!(asked(&["--confg", "x"]).unwrap_err().contains("--help"));
    }

    #[test]
    fn help_names_the_settings_reference() {
        assert!(help("rapidbridge-worker", "x").contains("docs/settings.md"));
    }
}
