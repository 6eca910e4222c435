//! Lays the environment over the file (which `config` reads) and takes one setting after the other out of the result,
//! noting what is wrong with it and what nobody asked for.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, ConfigError, File, Value, ValueKind};

use super::kind::{Given, Kind, shown};

/// What the names of our environment variables begin with.
const PREFIX: &str = "RAPIDBRIDGE";

/// Where a value comes from that stands in no file.
const ENVIRONMENT: &str = "the environment";

/// Read when no other file is named.
const DEFAULT_FILE: &str = "rapidbridge.toml";

/// Variables with our prefix that are no settings: the command line has them.
const COMMAND_LINE: [&str; 3] = ["RAPIDBRIDGE_CONFIG", "RAPIDBRIDGE_API_URL", "RAPIDBRIDGE_TOKEN"];

/// Why the settings can't be used: every problem, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Never empty.
    pub problems: Vec<Problem>,
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `redis.partitions`, or the file's path.
    pub key: String,
    /// What is wrong, where it was found, and what to write instead. Never a secret's value.
    pub message: String,
}

impl Problem {
    pub(super) fn missing(key: &str, allowed: &str) -> Self {
        let message = format!(
            "is missing: set it in the settings file, or {} in the environment, to {allowed}",
            variable(key)
        );
        Self { key: key.to_owned(), message }
    }
}

impl From<Problem> for SettingsError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl std::error::Error for SettingsError {}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.problems.len();
        write!(
            f,
            "the settings have {count} problem{} (docs/settings.md lists all settings):",
            plural(count)
        )?;
        for problem in &self.problems {
            write!(f, "\n  - `{}` {}", problem.key, problem.message)?;
        }
        Ok(())
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The environment variable of the setting `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}_{}", key.replace('.', "__").to_uppercase())
}

/// A group of settings, as documentation shows it.
pub(super) struct Group {
    /// Empty for settings outside of any group.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: Vec<Field>,
}

/// A setting, as documentation shows it.
pub(super) struct Field {
    /// With its group: `redis.url`.
    pub(super) key: String,
    pub(super) about: &'static str,
    pub(super) allowed: String,
    pub(super) default: Option<&'static str>,
}

/// Takes settings out of what was given.
pub(super) struct Reader {
    /// Key with its group → what was given for it. What has been read is taken out.
    given: BTreeMap<String, Value>,
    groups: Vec<Group>,
    problems: Vec<Problem>,
}

impl Reader {
    /// Reads the file and the environment.
    pub(super) fn open(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let file = match path {
            Some(path) => File::from(path).required(true),
            None => File::from(Path::new(DEFAULT_FILE)).required(false),
        };
        let source = path.unwrap_or(Path::new(DEFAULT_FILE)).display().to_string();
        let tree = Config::builder()
            .add_source(file)
            .build()
            .map_err(|error| Problem { key: source, message: unreadable(&error) })?
            .cache;
        let mut reader = Self::empty();
        flatten("", tree, &mut reader.given);
        // Setting by setting, not table by table: what the file has in a table's place must not vanish under it.
        reader.given.extend(env.filter_map(|(name, value)| from_environment(&name, value)));
        Ok(reader)
    }

    /// A reader of nothing, which only learns what settings there are.
    pub(super) fn empty() -> Self {
        Self { given: BTreeMap::new(), groups: vec![], problems: vec![] }
    }

    /// The fields read from now on belong to the group `name`.
    pub(super) fn group(&mut self, name: &'static str, about: &'static str) {
        self.groups.push(Group { name, about, fields: vec![] });
    }

    /// The setting `name` of the current group; `None` after noting what is wrong with it.
    pub(super) fn field<T>(&mut self, name: &'static str, about: &'static str, kind: &Kind<T>) -> Option<T> {
        let group = self.groups.last_mut()?;
        let key = if group.name.is_empty() { name.to_owned() } else { format!("{}.{name}", group.name) };
        let (allowed, default) = (kind.allowed.clone(), kind.default);
        group.fields.push(Field { key: key.clone(), about, allowed, default });
        let Some(value) = self.given.remove(&key).filter(|value| value.kind != ValueKind::Nil) else {
            let default = kind.default.and_then(|text| kind.read(&Given::One(text.to_owned())));
            if default.is_none() {
                self.problems.push(Problem::missing(&key, &kind.allowed));
            }
            return default;
        };
        let place = place(&key, &value);
        match given(value, kind.secret) {
            Ok(given) => kind.read(&given).or_else(|| {
                let what =
                    if kind.secret { "has a value".to_owned() } else { format!("is {}", shown(&given)) };
                let hint = if kind.secret { " (it is secret and not shown)" } else { "" };
                self.wrong(key, format!("{what} {place} that is not possible{hint}: write {}", kind.allowed))
            }),
            Err(wrong) => self.wrong(key, format!("{wrong} {place}: write {}", kind.allowed)),
        }
    }

    fn wrong<T>(&mut self, key: String, message: String) -> Option<T> {
        self.problems.push(Problem { key, message });
        None
    }

    /// The settings, if nothing is wrong and nothing was given that nobody asked for.
    pub(super) fn finish<T>(mut self, settings: Option<T>) -> Result<T, SettingsError> {
        for (key, value) in &self.given {
            let siblings = self.siblings(key);
            let message = format!("{} is no setting; {siblings}", place(key, value));
            self.problems.push(Problem { key: key.clone(), message });
        }
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(SettingsError { problems: self.problems }),
        }
    }

    /// What could have been meant by the unknown `key`.
    fn siblings(&self, key: &str) -> String {
        let prefix = key.split('.').next().unwrap_or(key);
        let known = self.groups.iter().find(|group| !group.name.is_empty() && group.name == prefix);
        match known {
            Some(group) => {
                let names: Vec<&str> = group.fields.iter().map(|field| field.key.as_str()).collect();
                format!("this group has {}", names.join(", "))
            }
            None => {
                let names = self.groups.iter().map(|group| group.name).filter(|name| !name.is_empty());
                format!("there are `environment` and the groups {}", names.collect::<Vec<_>>().join(", "))
            }
        }
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }
}

/// The setting that an environment variable is for, and its value. Texts stay texts: a token of digits alone would lose
/// its leading zeros as a number. An empty variable is not set.
fn from_environment(name: &str, value: String) -> Option<(String, Value)> {
    let key = name.strip_prefix(PREFIX)?.strip_prefix('_')?.to_lowercase().replace("__", ".");
    let is_ours = !COMMAND_LINE.contains(&name) && !value.is_empty();
    is_ours.then(|| (key, Value::new(Some(&ENVIRONMENT.to_owned()), value)))
}

/// Where a value was given.
fn place(key: &str, value: &Value) -> String {
    match value.origin() {
        Some(ENVIRONMENT) => format!("in the environment ({})", variable(key)),
        Some(file) => format!("in {file}"),
        None => "in the settings".to_owned(),
    }
}

/// Every value that is no table, by its full key.
fn flatten(prefix: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    match &value.kind {
        ValueKind::Table(table) if !table.is_empty() || prefix.is_empty() => {
            for (name, value) in table {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value.clone(), into);
            }
        }
        ValueKind::Table(_)
        | ValueKind::Array(_)
        | ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_)
        | ValueKind::String(_) => {
            into.insert(prefix.to_owned(), value);
        }
    }
}

/// What was written. A secret must have been text from the start: as a number it has lost its zeros.
fn given(value: Value, secret: bool) -> Result<Given, &'static str> {
    if let ValueKind::Array(values) = value.kind {
        return values
            .into_iter()
            .map(|value| text(value.kind, secret))
            .collect::<Result<_, _>>()
            .map(Given::Many);
    }
    text(value.kind, secret).map(Given::One)
}

fn text(kind: ValueKind, secret: bool) -> Result<String, &'static str> {
    match kind {
        ValueKind::String(text) => Ok(text),
        ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => Err("is no plain value"),
        number @ (ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_)) => {
            if secret {
                Err("is no text (put it in quotes)")
            } else {
                Ok(number.to_string())
            }
        }
    }
}

/// What a parser says without the lines it quotes: they may hold secrets.
fn unreadable(error: &ConfigError) -> String {
    let text = error.to_string();
    let plain: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|')).collect();
    format!("can't be used as a settings file (TOML, YAML or JSON, by its extension): {}", plain.join("; "))
}
