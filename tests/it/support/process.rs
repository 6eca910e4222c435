//! One of the product's processes; what goes wrong with it ends the test.

use std::path::Path;
use std::process::ExitStatus;

use rapidbridge::playground::Program;
use rapidbridge::playground::program::Group;
use rustix::process::Signal;

use super::PATIENCE;

/// How much of a log a failure shows.
const LOG_TAIL_LINES: usize = 25;

pub(crate) struct Process(Program);

impl std::ops::Deref for Process {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

impl Process {
    /// Starts `program` (`rapidbridge-worker`), which is beside this test's folder (target/debug/deps/it-… →
    /// target/debug/…), with these settings and no others. It stays in the test's process group, so that whoever ends
    /// the test ends it too.
    pub(crate) fn start(program: &str, name: &str, folder: &Path, settings: &[(String, String)]) -> Self {
        let test = std::env::current_exe().unwrap();
        let built = test.parent().and_then(Path::parent).unwrap().join(program);
        let settings = settings.iter().map(|(key, value)| (key, value));
        Self(Program::start(&built, name, folder, settings, Group::Shared).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.0.signal(signal).unwrap();
    }

    /// SIGKILL; it is gone when this returns.
    pub(crate) async fn kill(self) {
        self.0.kill().await.unwrap();
    }

    /// Returns when it has left by itself.
    pub(crate) async fn left(&mut self) -> ExitStatus {
        let left = self.0.left(PATIENCE).await.unwrap();
        left.unwrap_or_else(|| panic!("{} does not leave", self.name()))
    }

    /// Panics when it left though nobody asked it to.
    pub(crate) fn check_alive(&mut self) {
        if let Some(status) = self.0.ended().unwrap() {
            panic!("{} left by itself ({status}); the end of its log:\n{}", self.name(), self.tail());
        }
    }

    /// The most memory it ever had, in bytes, as the kernel counts it.
    pub(crate) fn memory_peak(&self) -> u64 {
        let path =
            format!("/proc/{}/status", self.pid().unwrap_or_else(|| panic!("{} has left", self.name())));
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    pub(crate) fn tail(&self) -> String {
        self.0.tail(LOG_TAIL_LINES)
    }
}
