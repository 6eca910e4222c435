//! `rapidbridge schema`.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

/// What editors complete and explain definitions by.
const SCHEMA: &str = include_str!("../../../schemas/rapidbridge.schema.json");

/// Prints the JSON Schema of definitions, and nothing else, so that it can go straight into a file.
pub(crate) fn print() -> anyhow::Result<ExitCode> {
    match io::stdout().lock().write_all(SCHEMA.as_bytes()) {
        // Who reads only its beginning has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
