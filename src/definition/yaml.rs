//! A file's text as JSON values, with the place of each. JSON is read as the YAML that it is, after a strict
//! check, so that both have places.
//!
//! Only `true` and `false` are booleans (`no` and `on` are text), numbers with leading zeros or underscores
//! are text, and a number that would not survive as it is written is a problem rather than another number.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

use super::origin::{Path, Place, Position};

/// The largest file of definitions, in bytes.
pub(super) const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most YAML nodes that aliases may stand for in one file; stops "billion laughs".
const ALIASED_NODES_MAX: usize = 100_000;

/// Words in a key that say that its value may be a secret.
const SECRET_WORDS: [&str; 7] = ["secret", "password", "credential", "token", "api_key", "apikey", "private"];

/// Members whose values are secret whatever they are called.
const SECRET_MEMBERS: [&str; 5] = ["credentials", "secret", "secrets", "headers", "target_url"];

/// One document of a file.
pub(super) struct Parsed {
    pub(super) value: Value,
    pub(super) places: HashMap<String, Place>,
    /// Lines that hold secrets.
    pub(super) withheld: Vec<RangeInclusive<u64>>,
    /// Values that can't be kept as they are: where, and why.
    pub(super) losses: Vec<(Path, String)>,
}

/// Why a file can't be read at all.
pub(super) struct SyntaxError {
    pub(super) position: Option<Position>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// The documents of `text`; empty ones are left out.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Parsed>, SyntaxError> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("this file is larger than {FILE_BYTES_MAX} bytes");
        return Err(SyntaxError { position: None, message, hint: Some("split it".to_owned()) });
    }
    if name.to_ascii_lowercase().ends_with(".json") {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| json_error(&error))?;
    }
    let nodes: Vec<Spanned<Node>> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| yaml_error(&error, text))?;
    Ok(nodes.iter().map(|node| converted(node, text)).collect())
}

fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.reject_unsupported_tags = true;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = ALIASED_NODES_MAX;
    options
}

fn json_error(error: &serde_json::Error) -> SyntaxError {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
    let position = Position { line: line as u64, column: column.max(1) as u64 };
    SyntaxError { position: Some(position), message: format!("this is no JSON: {message}"), hint: None }
}

fn yaml_error(error: &serde_saphyr::Error, text: &str) -> SyntaxError {
    let position = error.location().map(position_of);
    let mut message = error.to_string();
    if let Some(position) = position {
        let suffix = format!(" at line {}, column {}", position.line, position.column);
        message = message.strip_suffix(&suffix).unwrap_or(&message).to_owned();
    }
    // What follows is advice for programmers who use the parser.
    for advice in [", set DuplicateKeyPolicy", ". If you just use"] {
        message = message.split(advice).next().unwrap_or_default().to_owned();
    }
    let line = position.and_then(|position| text.lines().nth(usize::try_from(position.line).ok()? - 1));
    let hint = hint_for(&message, line.unwrap_or_default()).map(str::to_owned);
    SyntaxError { position, message: format!("this is no YAML: {message}"), hint }
}

/// The mistakes that YAML invites.
fn hint_for(message: &str, line: &str) -> Option<&'static str> {
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim();
    let opens_an_object = |(index, _)| line[..index].trim_end().ends_with([':', ',', '[', '-']);
    if line.match_indices("{{").any(opens_an_object) {
        Some("a value that begins with {{ must stand in quotes: \"{{…}}\"")
    } else if message.contains(" tab") {
        Some("indent with spaces, here or in the next line")
    } else if message.contains("quote") {
        Some("a quote is not closed, or more stands behind it; look further up as well")
    } else if value.starts_with(['%', '@', '`']) {
        Some("a value that begins with this character must stand in quotes")
    } else if message.starts_with("mapping values") {
        Some("put a value with a colon in quotes, and give fields of one object the same indentation")
    } else {
        None
    }
}

fn position_of(location: Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

/// A YAML value as the parser sees it.
enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

fn converted(root: &Spanned<Node>, text: &str) -> Parsed {
    let value = Value::Null;
    let mut parsed = Parsed { value, places: HashMap::new(), withheld: Vec::new(), losses: Vec::new() };
    parsed.value = parsed.convert(root, None, &Path::default(), text);
    let documents = match &root.value {
        Node::List(elements) => elements.iter().collect(),
        Node::Null
        | Node::Bool(_)
        | Node::Unsigned(_)
        | Node::Signed(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Map(_) => vec![root],
    };
    // What is no object has lost its form, and with it the names of its secrets.
    for document in documents.into_iter().filter(|node| !matches!(node.value, Node::Map(_))) {
        parsed.withhold(document.referenced.line(), document, text);
    }
    parsed
}

impl Parsed {
    fn convert(&mut self, node: &Spanned<Node>, key: Option<Position>, path: &Path, text: &str) -> Value {
        let value = position_of(node.referenced);
        self.places.insert(path.pointer.clone(), Place { key, value });
        match &node.value {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Unsigned(value) => Value::from(*value),
            Node::Signed(value) => Value::from(*value),
            Node::Float(value) => self.float(*value, node.defined, path, text),
            Node::Text(value) => Value::String(value.clone()),
            Node::List(elements) => {
                let elements = elements.iter().enumerate();
                elements.map(|(index, node)| self.convert(node, None, &path.index(index), text)).collect()
            }
            Node::Map(members) => {
                let mut object = Map::new();
                for (key, node) in members {
                    let key_at = position_of(key.referenced);
                    if is_secret(&key.value, node) {
                        self.withhold(key_at.line, node, text);
                    }
                    let value = self.convert(node, Some(key_at), &path.key(&key.value), text);
                    object.insert(key.value.clone(), value);
                }
                Value::Object(object)
            }
        }
    }

    /// A decimal, unless JSON would write it otherwise than the file does: then nobody knows what was meant.
    fn float(&mut self, value: f64, at: Location, path: &Path, text: &str) -> Value {
        let number = Number::from_f64(value).map_or(Value::Null, Value::Number);
        let read = number.to_string();
        match source_of(at, text).filter(|written| *written != read) {
            Some(written) => {
                self.losses.push((path.clone(), format!("this would be read as the number {read}")));
                Value::from(written)
            }
            None => number,
        }
    }

    /// No line from the key to the end of its value is shown, nor where an alias takes it from.
    fn withhold(&mut self, key_line: u64, node: &Spanned<Node>, text: &str) {
        let mut last = key_line;
        self.each_line(node, text, &mut last);
        self.withheld.push(key_line..=last);
    }

    fn each_line(&mut self, node: &Spanned<Node>, text: &str, last: &mut u64) {
        let newlines = source_of(node.defined, text).map_or(0, |text| text.matches('\n').count() as u64);
        let lines = node.defined.line()..=node.defined.line() + newlines;
        if node.defined == node.referenced {
            *last = (*last).max(*lines.end());
        } else {
            self.withheld.push(lines);
        }
        match &node.value {
            Node::List(elements) => elements.iter().for_each(|node| self.each_line(node, text, last)),
            Node::Map(members) => members.iter().for_each(|(_, node)| self.each_line(node, text, last)),
            Node::Null
            | Node::Bool(_)
            | Node::Unsigned(_)
            | Node::Signed(_)
            | Node::Float(_)
            | Node::Text(_) => {}
        }
    }
}

/// Whether a member may hold a secret, by its name. A placeholder is none.
fn is_secret(key: &str, node: &Spanned<Node>) -> bool {
    match &node.value {
        Node::Text(text) if text.starts_with("{{") && text.ends_with("}}") => false,
        // A user name or password in an address.
        Node::Text(text) if text.contains("://") && text.contains('@') => true,
        Node::Null | Node::Bool(_) => false,
        Node::Unsigned(_)
        | Node::Signed(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::List(_)
        | Node::Map(_) => has_secret_word(key) || SECRET_MEMBERS.contains(&key.to_lowercase().as_str()),
    }
}

/// Whether a line of a file that can't be read speaks of a secret. A placeholder is none.
pub(super) fn mentions_secret(line: &str) -> bool {
    let value = line.split_once(':').map_or(line, |(_, value)| value);
    has_secret_word(line) && !value.trim_start_matches([' ', '"', '\'']).starts_with("{{")
}

fn has_secret_word(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_WORDS.iter().any(|word| text.contains(word))
}

fn source_of(at: Location, text: &str) -> Option<&str> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    text.get(start..start.checked_add(length)?)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        if value.is_finite() { Ok(Node::Float(value)) } else { Err(E::custom("numbers must be finite")) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut map: Vec<(Spanned<String>, Spanned<Node>)> = Vec::new();
        while let Some((key, value)) = members.next_entry::<Spanned<String>, Spanned<Node>>()? {
            if map.iter().any(|(other, _)| other.value == key.value) {
                return Err(A::Error::custom(format!("the field {:?} is written twice", key.value)));
            }
            map.push((key, value));
        }
        Ok(Node::Map(map))
    }
}
