//! The settings reference as Markdown.

use std::fmt::Write as _;

use super::reader::{Field, Group, variable};

const INTRODUCTION: &str = "\
# Settings

<!-- Made from src/settings.rs: change it there, then run `UPDATE_DOCS=1 cargo test --lib settings`. -->

`rapidbridge-scheduler` and `rapidbridge-worker` read their settings once, when they start: from a file (TOML, YAML or
JSON, by its extension; `--config PATH`, else `rapidbridge.toml` in the working directory if there is one), and from
environment variables, which come before the file. An empty variable counts as not set. Lists are written with commas
between their elements in a variable. Durations are written like `90s` or `1h 30m`, sizes like `64MiB` or as a number
of bytes. A setting that does not exist, and a value that is not allowed, is an error: the process says all of them at
once, and does not start.

```toml
# rapidbridge.toml
environment = \"production\"

[redis]
url = \"redis://redis.internal:6379\"

[worker]
concurrency = 32
```

```sh
RAPIDBRIDGE_SEAL__KEY=\"$(openssl rand -base64 32)\"
RAPIDBRIDGE_API__TOKENS=\"$(openssl rand -hex 24)\"
```
";

pub(super) fn render(groups: &[Group]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for group in groups {
        let title = if group.name.is_empty() { "General".to_owned() } else { format!("`{}`", group.name) };
        let _ = write!(text, "\n## {title}\n\n{}\n\n", group.about.trim());
        text.push_str(
            "| key | environment variable | default | allowed | meaning |\n|---|---|---|---|---|\n",
        );
        for field in &group.fields {
            text.push_str(&row(field));
        }
    }
    text
}

fn row(field: &Field) -> String {
    let default = match field.default {
        None => "**required**".to_owned(),
        Some("") => "none".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let (key, variable, allowed, about) =
        (&field.key, variable(&field.key), &field.allowed, field.about.trim());
    format!("| `{key}` | `{variable}` | {default} | {allowed} | {about} |\n")
}
