//! `rapidbridge dev`: everything on one machine, for trying out and for writing definitions. A private Redis as a child
//! process; scheduler, API and workers in this one. What must outlive it is kept in one folder.

mod home;

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use rapidbridge::process::{self, SchedulerProcess};
use rapidbridge::redis_server::{Options as RedisOptions, RedisServer};
use rapidbridge::settings::Settings;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::apply;
use crate::client::Client;
use crate::paint::{BOLD, DIM, GREEN, RED, YELLOW};
use home::Home;

/// Where `dev` keeps its things when nobody says where.
const DEFAULT_FOLDER: &str = ".rapidbridge";
/// Where `scripts/setup.sh` puts a server program.
const SERVER_FOLDER: &str = ".redis/bin";
/// What requests may reach besides public addresses: this machine, where the APIs and receivers of a developer are.
const LOOPBACK: &str = "127.0.0.0/8,::1/128";

/// [`LOOPBACK`] as the guard of requests takes it.
pub(crate) fn own_networks() -> Vec<ipnet::IpNet> {
    LOOPBACK.split(',').filter_map(|network| network.parse().ok()).collect()
}

/// How often Redis is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often Redis is started again before `dev` gives up: one that ends at every start has a reason in its log.
const RESTARTS_MAX: u32 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Definitions to apply on start: files or folders; may be given several times
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Where Redis' data, the seal key and the token are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    data_dir: PathBuf,
    /// How many workers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    workers: u8,
    /// The port of the API, on 127.0.0.1
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The Redis or Valkey server to start; found in .redis/bin or on PATH otherwise
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<PathBuf>,
    /// Where programs are looked for
    #[arg(long, env = "PATH", hide = true)]
    path: Option<OsString>,
}

/// The token of a `dev` in this folder, for an API on this machine; it goes nowhere else.
pub(crate) fn token_for(url: &Url) -> Option<SecretString> {
    let is_local = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    if is_local { home::token_in(DEFAULT_FOLDER.as_ref()) } else { None }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let home = Home::open(&options.data_dir)?;
    let mut redis = start_redis(&options, &home).await?;
    let settings = settings(&options, &home, redis.url())?;
    process::prepare(&settings)?;
    let leave = process::leave_on_signal()?;
    let outcome = serve(&options, &home, &mut redis, &settings, leave).await;
    // Whatever happened, Redis gets the time to write what it has.
    redis.stop().await?;
    outcome
}

async fn start_redis(options: &Options, home: &Home) -> anyhow::Result<RedisServer> {
    let mut redis = RedisOptions::new(home.redis(), options.path.clone());
    redis.search.program.clone_from(&options.redis_server);
    redis.search.folders.push(SERVER_FOLDER.into());
    Ok(RedisServer::start(&redis).await?)
}

/// The user's own settings, with what `dev` must have over them.
fn settings(options: &Options, home: &Home, redis_url: &str) -> anyhow::Result<Settings> {
    let mut given: HashMap<String, String> = process::environment().collect();
    let allowed = given.get("RAPIDBRIDGE_EGRESS__ALLOW").filter(|allowed| !allowed.is_empty());
    let allowed = allowed.map_or_else(|| LOOPBACK.to_owned(), |allowed| format!("{allowed},{LOOPBACK}"));
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let forced = [
        ("RAPIDBRIDGE_REDIS__URL", redis_url.to_owned()),
        ("RAPIDBRIDGE_SEAL__KEY", home.seal_key.expose_secret().to_owned()),
        ("RAPIDBRIDGE_API__TOKENS", home.token.expose_secret().to_owned()),
        ("RAPIDBRIDGE_API__LISTEN", listen.to_string()),
        ("RAPIDBRIDGE_EGRESS__ALLOW", allowed),
        // One address can't be had by several workers in one process.
        ("RAPIDBRIDGE_WORKER__HEALTH_LISTEN", String::new()),
    ];
    given.extend(forced.map(|(name, value)| (name.to_owned(), value)));
    for (name, value) in
        [("RAPIDBRIDGE_LOG__FORMAT", "text"), ("RAPIDBRIDGE_LOG__FILTER", "warn,rapidbridge=info")]
    {
        given.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let mut settings = Settings::load(None, given.into_iter())?;
    settings.worker.health_listen = None;
    Ok(settings)
}

async fn serve(
    options: &Options,
    home: &Home,
    redis: &mut RedisServer,
    settings: &Settings,
    leave: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let scheduler = SchedulerProcess::start(settings).await?;
    let url: Url = format!("http://{}", scheduler.address()?).parse()?;
    let mut tasks = JoinSet::new();
    // The API outlives the workers, so that a run can be watched while they drain.
    let api_leaves = CancellationToken::new();
    let scheduling = tokio::spawn(scheduler.run(api_leaves.clone()));
    for _ in 0..options.workers {
        tasks.spawn(process::work(settings.clone(), leave.clone()));
    }
    greet(options, home, redis, settings, &url);
    if !options.files.is_empty() {
        apply_files(options, home, url).await;
    }
    // A worker that could not start ends everything; otherwise this waits for them to drain.
    let mut outcome = Ok(ExitCode::SUCCESS);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut restarts = 0;
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            _ = looks.tick() => {
                if let Err(error) = keep_alive(redis, &mut restarts).await {
                    leave.cancel();
                    outcome = Err(error);
                }
                continue;
            }
        };
        let Some(ended) = ended else { break };
        if let Err(error) =
            ended.context("a worker broke").and_then(|ended| ended.context("a worker could not start"))
        {
            leave.cancel();
            outcome = Err(error);
        }
    }
    api_leaves.cancel();
    scheduling.await.context("the scheduler broke")??;
    outcome
}

/// Starts Redis again when it ended by itself; its data is on disk, and everybody connects anew.
async fn keep_alive(redis: &mut RedisServer, restarts: &mut u32) -> anyhow::Result<()> {
    if !redis.has_ended() {
        return Ok(());
    }
    *restarts += 1;
    anyhow::ensure!(
        *restarts <= RESTARTS_MAX,
        "Redis ends again and again; its log is {}",
        redis.log_file().display()
    );
    anstream::eprintln!("{YELLOW}Redis ended; it is started again{YELLOW:#}");
    redis.restart().await.context("Redis could not be started again")
}

async fn apply_files(options: &Options, home: &Home, url: Url) {
    let applied = match Client::new(url, Some(home.token.clone())) {
        Ok(client) => apply::all_at_once(&client, &options.files).await,
        Err(error) => Err(error),
    };
    match applied {
        Ok(summary) => anstream::println!("{GREEN}applied{GREEN:#} {summary}\n"),
        // It goes on: the definitions can be mended and applied without a restart.
        Err(error) => anstream::eprintln!("{RED}not applied:{RED:#} {error:#}\n"),
    }
}

fn greet(options: &Options, home: &Home, redis: &RedisServer, settings: &Settings, url: &Url) {
    let line = |name: &str, text: &str| anstream::println!("  {DIM}{name:<9}{DIM:#} {text}");
    anstream::println!("{BOLD}rapidbridge dev{BOLD:#}");
    line("redis", &format!("{} of its own, data in {}", redis.program(), redis.data_dir().display()));
    line("api", url.as_str());
    line("token", home.token.expose_secret());
    line("workers", &format!("{}, {} runs at a time each", options.workers, settings.worker.concurrency));
    anstream::println!(
        "  {YELLOW}note{YELLOW:#}      requests to this machine (127.0.0.0/8, ::1) are allowed here; elsewhere they need \
         the setting egress.allow"
    );
    let is_default = options.data_dir.as_os_str() == DEFAULT_FOLDER && options.port == 8080;
    anstream::println!("\nNext, in another terminal{}:", if is_default { ", in this folder" } else { "" });
    if !is_default {
        anstream::println!(
            "  export RAPIDBRIDGE_API_URL={} RAPIDBRIDGE_TOKEN={}",
            url.as_str().trim_end_matches('/'),
            home.token.expose_secret()
        );
    }
    anstream::println!("  rapidbridge apply -f DIR            what should be synced, from files");
    anstream::println!("  rapidbridge run --job J --account A --webhook W --watch");
    anstream::println!(
        "  rapidbridge runs\n\nCtrl-C lets deliveries in flight end, and leaves; the data stays.\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stays_on_this_machine() {
        let token = |url: &str| token_for(&url.parse().unwrap()).is_some();
        assert!(!token("http://example.com:8080") && !token("http://10.0.0.1:8080"));
    }
}
