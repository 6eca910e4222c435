//! The folder in which `dev` keeps what must outlive it: Redis' data, the seal key, the token.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rapidbridge::seal::SealKey;
use secrecy::{ExposeSecret as _, SecretString};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

pub(super) struct Home {
    folder: PathBuf,
    pub(super) seal_key: SecretString,
    pub(super) token: SecretString,
    /// Held as long as the process lives: two in one folder would take each other's Redis for a leftover.
    _lock: File,
}

impl Home {
    /// Opens the folder; makes what is missing. Nobody else on this machine may look into it.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("can't make the folder {}", folder.display()))?;
        // It holds secrets, so it must not be committed by accident.
        once(&folder.join(".gitignore"), || "*\n".to_owned().into())?;
        let lock = lock(&folder.join("lock"))?;
        Ok(Self {
            _lock: lock,
            folder: folder.to_owned(),
            seal_key: once(&folder.join("seal.key"), || SealKey::generate().to_text())?,
            token: once(&folder.join("token"), new_token)?,
        })
    }

    pub(super) fn redis(&self) -> PathBuf {
        self.folder.join("redis")
    }
}

/// The token of the home in `folder`, if there is one.
pub(super) fn token_in(folder: &Path) -> Option<SecretString> {
    let text = fs::read_to_string(folder.join("token")).ok()?;
    Some(text.trim().to_owned().into())
}

/// Locks the folder for this process, and writes down which one that is.
fn lock(file: &Path) -> anyhow::Result<File> {
    let shown = || format!("can't use {}", file.display());
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .with_context(shown)?;
    if lock.try_lock().is_err() {
        let owner = fs::read_to_string(file).unwrap_or_default();
        anyhow::bail!(
            "another rapidbridge dev (process {}) runs in this folder; end it, or give this one a --data-dir of its own",
            owner.trim()
        );
    }
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).with_context(shown)?;
    Ok(lock)
}

fn new_token() -> SecretString {
    format!("rb_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>())).into()
}

/// The text in `file`; when there is none, a new one, which is kept there for our eyes only.
fn once(file: &Path, new: impl FnOnce() -> SecretString) -> anyhow::Result<SecretString> {
    let shown = || format!("can't use {}", file.display());
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut made) => {
            let text = new();
            made.write_all(text.expose_secret().as_bytes())
                .and_then(|()| made.sync_all())
                .with_context(shown)?;
            Ok(text)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(file).with_context(shown)?;
            anyhow::ensure!(
                !text.trim().is_empty(),
                "{} is empty: delete it, and a new one is made",
                file.display()
            );
            Ok(text.trim().to_owned().into())
        }
        Err(error) => Err(error).with_context(shown),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_made_once_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("home");
        let first = Home::open(&folder).unwrap();
        let refused = Home::open(&folder).err().unwrap().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        let (token, seal_key) = (first.token.clone(), first.seal_key.clone());
        drop(first);
        let second = Home::open(&folder).unwrap();
        assert_eq!(token.expose_secret(), second.token.expose_secret());
        assert_eq!(seal_key.expose_secret(), second.seal_key.expose_secret());
        assert_eq!(token_in(&folder).unwrap().expose_secret(), token.expose_secret());
        assert!(SealKey::parse(&seal_key).is_ok());
        drop(second);
        for name in ["token", "seal.key"] {
            let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::write(folder.join("token"), "").unwrap();
        assert!(Home::open(&folder).err().unwrap().to_string().contains("delete it"));
    }
}
