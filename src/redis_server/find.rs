//! Finding a server program that is new enough.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// The names a server goes by, in the order of preference.
const NAMES: [&str; 2] = ["redis-server", "valkey-server"];
/// How long a program may take to print its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a server program is looked for. The environment is not read here: pass what it says.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// This one and no other.
    pub program: Option<PathBuf>,
    /// Folders to look in first, such as `.redis/bin`.
    pub folders: Vec<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
}

/// A program that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub program: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its version: major, minor, patch.
    pub version: (u32, u32, u32),
}

/// The two servers we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Redis, 7.0 and up.
    Redis,
    /// Valkey, 8.0 and up.
    Valkey,
}

impl Kind {
    fn is_new_enough(self, version: (u32, u32, u32)) -> bool {
        match self {
            Self::Redis => version >= (7, 0, 0),
            Self::Valkey => version >= (8, 0, 0),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Redis => "Redis",
            Kind::Valkey => "Valkey",
        };
        let (major, minor, patch) = self.version;
        write!(f, "{kind} {major}.{minor}.{patch}")
    }
}

/// No program that would do, and what was looked at.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "no Redis 7.0+ or Valkey 8.0+ server found{}\n\
     install one: `sudo apt-get install -y redis-server` (Debian, Ubuntu), `brew install redis` (macOS); \
     then try again",
    list(.looked_at)
)]
pub struct NotFound {
    /// Each place or program, and why it would not do.
    pub looked_at: Vec<String>,
}

fn list(looked_at: &[String]) -> String {
    if looked_at.is_empty() {
        return String::from(" (nowhere to look: PATH is empty)");
    }
    format!("; looked at:\n  {}", looked_at.join("\n  "))
}

impl Search {
    /// The first program that is new enough.
    ///
    /// # Errors
    /// When there is none; says what was looked at and what to install.
    pub async fn find(&self) -> Result<Found, NotFound> {
        let mut looked_at = Vec::new();
        if let Some(program) = &self.program {
            return match try_program(program).await {
                Ok(found) => Ok(found),
                Err(why) => Err(NotFound { looked_at: vec![format!("{}: {why}", program.display())] }),
            };
        }
        let on_path = self.path.iter().flat_map(std::env::split_paths);
        for folder in self.folders.iter().cloned().chain(on_path) {
            for program in NAMES.map(|name| folder.join(name)) {
                if !program.is_file() {
                    continue;
                }
                match try_program(&program).await {
                    Ok(found) => return Ok(found),
                    Err(why) => looked_at.push(format!("{}: {why}", program.display())),
                }
            }
            looked_at.push(format!("{}", folder.display()));
        }
        Err(NotFound { looked_at })
    }
}

async fn try_program(program: &Path) -> Result<Found, String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = match timeout(VERSION_TIMEOUT, output).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err("no such file".to_owned()),
        Ok(Err(error)) => return Err(format!("does not start: {error}")),
        Err(_) => return Err(format!("printed no version within {VERSION_TIMEOUT:?}")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((kind, version)) = parse_version(&text) else {
        return Err(format!(
            "prints no version of Redis or Valkey: {:?}",
            text.lines().next().unwrap_or_default()
        ));
    };
    let found = Found { program: program.to_owned(), kind, version };
    if kind.is_new_enough(version) { Ok(found) } else { Err(format!("{found} is too old")) }
}

/// Reads `Redis server v=7.0.15 sha=…` and `Valkey server v=9.1.2 sha=…`.
fn parse_version(text: &str) -> Option<(Kind, (u32, u32, u32))> {
    let kind = match text.split_whitespace().next()? {
        "Redis" => Kind::Redis,
        "Valkey" => Kind::Valkey,
        _ => return None,
    };
    let number = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut parts = number.split(['.', '-']).map(|part| part.parse().ok());
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0));
    Some((kind, (major, minor, patch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_judged() {
        let redis =
            parse_version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae")
                .unwrap();
        assert_eq!(redis, (Kind::Redis, (7, 0, 15)));
        assert_eq!(parse_version("Valkey server v=9.1.2 sha=0"), Some((Kind::Valkey, (9, 1, 2))));
        assert_eq!(parse_version("Valkey server v=8.0.0-rc1 sha=0"), Some((Kind::Valkey, (8, 0, 0))));
        assert_eq!(parse_version("something else"), None);
        assert_eq!(parse_version(""), None);
        assert!(Kind::Redis.is_new_enough((7, 0, 0)) && !Kind::Redis.is_new_enough((6, 2, 14)));
        assert!(Kind::Valkey.is_new_enough((8, 0, 0)) && !Kind::Valkey.is_new_enough((7, 2, 5)));
    }

    #[tokio::test]
    async fn what_is_missing_is_said_with_the_line_that_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        let search = Search { folders: vec![folder.path().to_owned()], ..Search::default() };
        let message = search.find().await.unwrap_err().to_string();
        assert!(message.contains("apt-get install -y redis-server"), "{message}");
        assert!(message.contains(&folder.path().display().to_string()), "{message}");

        let search = Search { program: Some(folder.path().join("none")), ..Search::default() };
        let message = search.find().await.unwrap_err().to_string();
        assert!(message.contains("none: no such file"), "{message}");
    }
}
