//! Good definitions of every kind, broken ones with the exact words they are refused with, and what must
//! never be shown.

mod arguments;
mod broken;
mod good;
mod jobs;
mod secrets;

use super::*;

const YAML: &str = include_str!("tests/good.yaml");
const JSON: &str = include_str!("tests/good.json");

/// The environment that the good definitions expect.
fn env(name: &str) -> Option<String> {
    match name {
        "ACME_TOKEN" => Some("acme-token-s3cret".to_owned()),
        "HOOK_SECRET" => Some("hook-secret-s3cret".to_owned()),
        "HOOK_TOKEN" => Some("hook-token-s3cret".to_owned()),
        _ => None,
    }
}

fn checked(name: &str, text: &str) -> Result<Vec<(Document, Checked)>, Problems> {
    read_and_check([(name, text)], &env)
}

/// The problems of one file, as the command line prints them.
fn refused(name: &str, text: &str) -> String {
    checked(name, text).map(|_| "accepted".to_owned()).unwrap_or_else(|problems| problems.to_string())
}

/// The good definitions with some text replaced.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = YAML.to_owned();
    for (old, new) in edits {
        assert_eq!(text.matches(old).count(), 1, "{old:?} must stand once in the good definitions");
        text = text.replace(old, new);
    }
    text
}
