//! The product's own processes: one scheduler and some workers, as an operator would start them.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rapidbridge::playground::Program;
use rapidbridge::playground::program::Group;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::api::Api;

/// How long the scheduler may take to serve its API.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long processes may take to leave at the end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two looks at a process that starts.
const POLL: Duration = Duration::from_millis(20);
/// Short, so that a killed worker's run is soon taken over.
const LEASE: &str = "3s";
/// How much of a log an error shows.
const LOG_TAIL_LINES: usize = 15;

pub(super) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    scheduler: Option<Program>,
    workers: Vec<Program>,
    workers_started: usize,
    token: String,
}

impl Cluster {
    /// Nothing runs yet. The programs are those beside this one; of the environment they get `path` and what they
    /// need, so that nothing on this machine changes the demo.
    pub(super) fn new(folder: &Path, redis_url: &str, path: &Option<OsString>) -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("can't tell where this program is")?;
        let programs = this.parent().context("this program is in no folder")?.to_owned();
        let token = format!("demo-{}", uuid::Uuid::now_v7());
        let key = BASE64_STANDARD.encode(rand::random::<[u8; 32]>());
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("RAPIDBRIDGE_REDIS__URL", redis_url.into()),
            ("RAPIDBRIDGE_SEAL__KEY", key.into()),
            ("RAPIDBRIDGE_API__TOKENS", token.clone().into()),
            ("RAPIDBRIDGE_EGRESS__ALLOW", "127.0.0.0/8".into()),
            ("RAPIDBRIDGE_WORKER__LEASE", LEASE.into()),
            ("RAPIDBRIDGE_LOG__FORMAT", "text".into()),
        ];
        environment.extend(path.clone().map(|path| ("PATH", path)));
        Ok(Self {
            folder: folder.to_owned(),
            programs,
            environment,
            scheduler: None,
            workers: Vec::new(),
            workers_started: 0,
            token,
        })
    }

    /// Starts the scheduler and waits until its API answers.
    pub(super) async fn start_scheduler(&mut self) -> anyhow::Result<Api> {
        let listen =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr())?;
        self.environment.push(("RAPIDBRIDGE_API__LISTEN", listen.to_string().into()));
        let process = self.start("rapidbridge-scheduler", "scheduler")?;
        self.scheduler = Some(process);
        let api = Api::new(format!("http://{listen}"), self.token.clone())?;
        let deadline = Instant::now() + READY_TIMEOUT;
        while !api.answers().await {
            self.check_alive()?;
            if Instant::now() > deadline {
                let log =
                    self.scheduler.as_ref().map(|process| process.tail(LOG_TAIL_LINES)).unwrap_or_default();
                bail!(
                    "the scheduler's API did not answer within {READY_TIMEOUT:?}; the end of its log:\n{log}"
                );
            }
            sleep(POLL).await;
        }
        Ok(api)
    }

    /// Starts one more worker.
    pub(super) fn start_worker(&mut self) -> anyhow::Result<String> {
        self.workers_started += 1;
        let name = format!("worker {}", self.workers_started);
        let process = self.start("rapidbridge-worker", &name)?;
        self.workers.push(process);
        Ok(name)
    }

    /// Kills (SIGKILL) the worker that calls itself `holder`; says which it was. It is gone when this returns.
    pub(super) async fn kill(&mut self, holder: &str) -> anyhow::Result<String> {
        let index = self.workers.iter().position(|worker| worker.is_called(holder));
        let index = index.with_context(|| format!("none of the demo's workers calls itself {holder:?}"))?;
        let worker = self.workers.swap_remove(index);
        let name = worker.name().to_owned();
        worker.kill().await.with_context(|| format!("can't kill {name}"))?;
        Ok(name)
    }

    /// An error, with the end of its log, when a process left by itself.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        for process in self.scheduler.iter_mut().chain(&mut self.workers) {
            if let Some(status) = process.ended()? {
                let tail = process.tail(LOG_TAIL_LINES);
                bail!("the {} ended ({status}); the end of its log:\n{tail}", process.name());
            }
        }
        Ok(())
    }

    /// Asks everybody to leave (SIGTERM), and kills who stays.
    pub(super) async fn stop(&mut self) {
        let leaving: Vec<Program> = self.workers.drain(..).chain(self.scheduler.take()).collect();
        for process in &leaving {
            // It may have left already.
            let _ = process.signal(Signal::TERM);
        }
        for mut process in leaving {
            // Whoever is dropped alive is killed.
            let _ = process.left(LEAVE_TIMEOUT).await;
        }
    }

    fn start(&self, program: &str, name: &str) -> anyhow::Result<Program> {
        let environment = self.environment.iter().map(|(key, value)| (key, value));
        let program = self.programs.join(program);
        Program::start(&program, name, &self.folder, environment, Group::Own)
            .with_context(|| format!("can't start {}", program.display()))
    }
}
