//! `rapidbridge key`.

use std::process::ExitCode;

use rapidbridge::seal::SealKey;
use secrecy::ExposeSecret as _;

/// Prints a new key, and nothing else, so that it can go straight into a file or a variable.
pub(crate) fn generate() -> ExitCode {
    println!("{}", SealKey::generate().to_text().expose_secret());
    ExitCode::SUCCESS
}
