//! The documentation says what the code does: every example in it is read by the real readers, and every word that a
//! reader knows stands in the reference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rapidbridge::definition::webhook::EventType;
use rapidbridge::definition::{Checked, Kind, UnifiedModel, read_and_check, read_files};
use serde_json::Value;

/// Blocks that are no documents and are not checked. There is no need for any so far; a few may come.
const UNCHECKED_MAX: usize = 3;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files in a folder whose names end like this, in order.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|other| other == extension)).collect();
    found.sort();
    found
}

/// An environment in which every variable is set, to something that may stand anywhere.
pub(crate) fn env(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| "https://dummy.example".to_owned())
}

/// The pages of the documentation.
pub(crate) fn pages() -> Vec<PathBuf> {
    [vec![root().join("README.md")], files("docs", "md")].concat()
}

/// A fenced block: where it begins, what stands behind the fence, and its lines.
pub(crate) struct Block {
    pub(crate) place: String,
    pub(crate) info: String,
    pub(crate) text: String,
}

pub(crate) fn blocks(path: &Path) -> Vec<Block> {
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    let (mut found, mut open) = (Vec::new(), None::<Block>);
    for (index, line) in read(path).lines().enumerate() {
        match (open.take(), line.strip_prefix("```")) {
            (None, Some(info)) => {
                let place = format!("{name}:{}", index + 1);
                open = Some(Block { place, info: info.trim().to_owned(), text: String::new() });
            }
            (Some(block), Some(_)) => found.push(block),
            (Some(mut block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{name}: a block is not closed");
    found
}

/// What is wrong with the documents of `text`: as one set when there are several, each by itself otherwise.
fn problems(place: &str, text: &str) -> Option<String> {
    let documents = match read_files([(place, text)], &env) {
        Ok(documents) => documents,
        Err(problems) => return Some(problems.to_string()),
    };
    let checked = match documents.as_slice() {
        [] => return Some(format!("{place}: there is no document in it")),
        [one] => Checked::of(one).map(|_| ()),
        [_, _, ..] => read_and_check([(place, text)], &env).map(|_| ()),
    };
    checked.err().map(|problems| problems.to_string())
}

/// What a fragment of an integration lacks to be one.
pub(crate) const INTEGRATION: &str =
    "kind: integration\nname: x\nbase_url: https://x.example\nresources: { r: { list: { path: /r } } }\n";

#[test]
fn every_example_in_the_documentation_can_be_applied() {
    let (mut checked, mut unchecked, mut wrong) = (0, 0, Vec::new());
    for block in pages().iter().flat_map(|path| blocks(path)) {
        let found: Vec<String> = match block.info.as_str() {
            "yaml" => problems(&block.place, &block.text).into_iter().collect(),
            "yaml fragment of integration" => {
                let whole = block.text.split("---\n").map(|part| format!("{INTEGRATION}{part}"));
                whole.filter_map(|text| problems(&block.place, &text)).collect()
            }
            "yaml fragment" => {
                unchecked += 1;
                continue;
            }
            info => {
                assert!(!info.starts_with("yaml") && !info.starts_with("yml"), "{}: {info:?}", block.place);
                continue;
            }
        };
        checked += 1;
        wrong.extend(found.into_iter().map(|problem| format!("{}:\n{problem}", block.place)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(checked >= 8, "only {checked} examples were found");
    assert!(unchecked <= UNCHECKED_MAX, "{unchecked} blocks are not checked");
}

#[test]
fn every_example_folder_can_be_applied() {
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    assert!(!folders.is_empty());
    for folder in folders {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<(String, String)> =
            entries.map(|path| (path.display().to_string(), read(&path))).collect();
        let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let set = read_and_check(texts, &env).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!set.is_empty(), "{} defines nothing", folder.display());
    }
}

/// The part of the reference under this heading.
fn section<'t>(reference: &'t str, heading: &str) -> &'t str {
    let start = reference
        .find(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("the reference has no {heading:?}"));
    let rest = &reference[start + 4..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// What stands in backticks; of `name.…` the name. Examples don't count: they explain nothing.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .map(|span| span.strip_suffix(".…").unwrap_or(span))
        .collect()
}

/// Every plain word that the readers of a kind have as a string: names of fields, those that are ignored or refused
/// included, and the words that a field may have as its value.
pub(crate) fn known_words(source: &str) -> BTreeSet<&str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let plain = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    code.flat_map(|line| line.split('"').skip(1).step_by(2)).filter(plain).collect()
}

/// The readers of a kind: its file and those in the folders beside it.
pub(crate) fn readers(kind: Kind) -> Vec<PathBuf> {
    let stem = match kind {
        Kind::UnifiedModel => "unified",
        Kind::Integration => "integration",
        Kind::Account => "account",
        Kind::Webhook => "webhook",
        Kind::SyncJob => "job",
        Kind::Trigger => "trigger",
    };
    let file = root().join(format!("src/definition/{stem}.rs"));
    let folder = format!("src/definition/{stem}");
    let mut found = vec![file];
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop().filter(|folder| root().join(folder).is_dir()) {
        found.extend(files(&folder, "rs"));
        let below = fs::read_dir(root().join(&folder)).unwrap().map(|entry| entry.unwrap().path());
        let below = below.filter(|path| path.is_dir());
        folders.extend(below.map(|path| path.strip_prefix(root()).unwrap().display().to_string()));
    }
    found
}

/// Strings in the readers that nobody writes into a definition.
pub(crate) const NOT_WRITTEN: [&str; 10] = [
    "snake_case",
    // Words of messages.
    "characters",
    "elements",
    "graph",
    "nothing",
    "text",
    // Words of the expression language.
    "and",
    "function",
    "in",
    "or",
];

#[test]
fn the_reference_names_all_that_the_readers_know() {
    let reference = read(&root().join("docs/definitions.md"));
    let jobs = read(&root().join("docs/sync-jobs.md"));
    let everywhere: BTreeSet<&str> = ["Files", "Placeholders", "RapidBridge's fields"]
        .into_iter()
        .flat_map(|heading| mentioned(section(&reference, heading)))
        .collect();
    let mut missing = Vec::new();
    let mut count = 0;
    for kind in Kind::ALL {
        let mut own = mentioned(section(&reference, &format!("`{kind}`")));
        if *kind == Kind::SyncJob {
            // Of `config.key` each step.
            own.extend(mentioned(&jobs).into_iter().flat_map(|span| span.split('.')));
        }
        for path in readers(*kind) {
            let source = read(&path);
            for word in known_words(&source).into_iter().filter(|word| !NOT_WRITTEN.contains(word)) {
                count += 1;
                if !own.contains(word) && !everywhere.contains(word) {
                    missing.push(format!("{kind}: {word} ({})", path.display()));
                }
            }
        }
    }
    let events = mentioned(section(&reference, "`webhook`"));
    missing.extend(
        EventType::ALL
            .iter()
            .filter(|event| !events.contains(event.as_str()))
            .map(|event| format!("webhook: {event}")),
    );
    assert!(missing.is_empty(), "docs/definitions.md doesn't mention\n{}", missing.join("\n"));
    assert!(count > 200, "only {count} words were found in the readers");
}

/// The fields in the first column of the page's tables; of `config.name` the last step.
fn fields_of_tables(page: &str) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    let mut in_table = false;
    for line in page.lines() {
        let Some(row) = line.strip_prefix('|') else {
            in_table = false;
            continue;
        };
        let first = row.split('|').next().unwrap_or_default();
        // Only tables that are headed so tell fields; their heads have no backticks but those of a field around them.
        match in_table {
            false => in_table = first.trim().starts_with("field"),
            true => fields.extend(
                first
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .map(|name| name.rsplit('.').next().unwrap_or(name).to_owned()),
            ),
        }
    }
    fields
}

/// Every key in the documents of `text`, however deep.
fn keys(text: &str, found: &mut BTreeSet<String>) {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    found.insert(key.clone());
                    walk(value, found);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| walk(element, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let documents = read_files([("keys.yaml", text)], &env).unwrap_or_else(|problems| panic!("{problems}"));
    documents.iter().for_each(|document| walk(&document.body, found));
}

#[test]
fn every_field_of_a_job_has_an_example_and_a_job_that_is_tested() {
    let page = root().join("docs/sync-jobs.md");
    let fields = fields_of_tables(&read(&page));
    assert!(fields.len() > 60, "only {} fields were found", fields.len());
    let (mut in_examples, mut in_jobs) = (BTreeSet::new(), BTreeSet::new());
    for block in blocks(&page).iter().filter(|block| block.info == "yaml") {
        keys(&block.text, &mut in_examples);
    }
    for path in files("tests/jobs", "yaml") {
        keys(&read(&path), &mut in_jobs);
    }
    // Of templates; they mean nothing here.
    let told = |found: &BTreeSet<String>| -> Vec<String> {
        fields.iter().filter(|field| !found.contains(*field) && *field != "sharing").cloned().collect()
    };
    assert!(told(&in_examples).is_empty(), "docs/sync-jobs.md has no example of {:?}", told(&in_examples));
    assert!(told(&in_jobs).is_empty(), "tests/jobs has no job with {:?}", told(&in_jobs));
}

/// The type of a member, in the words of the reference.
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let words = values.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        let or_null = if values.contains(&Value::Null) { " or null" } else { "" };
        return format!("one of {}{or_null}", words.collect::<Vec<_>>().join(", "));
    }
    let word = |name: &Value| match name.as_str().unwrap_or_default() {
        "string" if schema["format"] == "date-time" => "time".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "array" if schema["items"]["type"] == "object" => "list of objects".to_owned(),
        "array" => format!("list of {}", type_of(&schema["items"])),
        same => same.to_owned(),
    };
    let types = &schema["type"];
    types
        .as_array()
        .map_or_else(|| word(types), |names| names.iter().map(word).collect::<Vec<_>>().join(" or "))
}

/// A row for each member of a schema, and for those within it.
fn rows(schema: &Value, before: &str, lines: &mut Vec<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name));
        let required = if required { ", required" } else { "" };
        let meaning = member["description"].as_str().unwrap_or_default();
        lines.push(format!("| `{before}{name}` | {}{required} | {meaning} |", type_of(member)));
        rows(member, &format!("{before}{name}."), lines);
        rows(&member["items"], &format!("{before}{name}[]."), lines);
    }
}

/// The models that are there already, as the reference shows them.
fn reference_of_models() -> String {
    let mut lines = Vec::new();
    for model in UnifiedModel::built_in() {
        lines.push(format!("### `{}`\n\n{}\n", model.name, model.description));
        for (name, resource) in &model.resources {
            lines.push(format!("#### `{}/{name}`\n\n{}\n", model.name, resource.description));
            for (head, schema) in [("member", &resource.schema), ("filter", &resource.query_schema)] {
                lines.push(format!("| {head} | type | meaning |\n|---|---|---|"));
                rows(&serde_json::from_str(schema.as_str()).unwrap(), "", &mut lines);
                lines.push(String::new());
            }
        }
    }
    lines.join("\n").trim().to_owned()
}

#[test]
fn the_models_are_in_the_docs() {
    const MARKS: [&str; 2] = ["<!-- models:begin -->\n", "<!-- models:end -->"];
    let page = read(&root().join("docs/unified-models.md"));
    let between = page.split_once(MARKS[0]).and_then(|(_, rest)| rest.split_once(MARKS[1]));
    let written = between.map(|(written, _)| written.trim()).unwrap_or_default();
    let expected = reference_of_models();
    assert!(expected.contains("| `assignee.id` |"), "{expected}");
    assert!(
        written == expected,
        "docs/unified-models.md should have, in place of what it has between its markers:\n\n{}{expected}\n{}",
        MARKS[0],
        MARKS[1]
    );
}
