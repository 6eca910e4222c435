//! The JSON Schema for editors says what the readers say: it has every field that they know, and refuses nothing that they
//! accept.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jsonschema::Validator;
use rapidbridge::definition::webhook::EventType;
use rapidbridge::definition::{Checked, Kind, read_files, read_json};
use serde_json::{Value, json};

use crate::docs::{INTEGRATION, NOT_WRITTEN, blocks, env, known_words, pages, read, readers, root};

const FILE: &str = "schemas/rapidbridge.schema.json";

fn schema() -> Value {
    serde_json::from_str(&read(&root().join(FILE))).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap_or_else(|error| panic!("{FILE}: {error}"))
}

/// What is wrong with a document, each with its place.
fn refusals(validator: &Validator, document: &Value) -> Vec<String> {
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The YAML files below a folder, in order.
fn yaml_below(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every document that is written anywhere as one that can be applied, with its place.
fn documents(env: &dyn Fn(&str) -> Option<String>) -> Vec<(String, Value)> {
    let folders = ["catalogue", "examples", "tests/jobs", "tests/kinto"];
    let mut paths: Vec<PathBuf> = folders.into_iter().flat_map(yaml_below).collect();
    let definition = root().join("src/definition");
    paths.extend(
        ["tests/good.yaml", "unified/crm.yaml", "unified/ticketing.yaml"].map(|it| definition.join(it)),
    );
    let mut texts: Vec<(String, String)> =
        paths.iter().map(|path| (path.display().to_string(), read(path))).collect();
    for block in pages().iter().flat_map(|path| blocks(path)) {
        match block.info.as_str() {
            "yaml" => texts.push((block.place, block.text)),
            "yaml fragment of integration" => {
                let whole = block.text.split("---\n").map(|part| format!("{INTEGRATION}{part}"));
                texts.extend(whole.map(|text| (block.place.clone(), text)));
            }
            _ => {}
        }
    }
    let documents_of = |(place, text): &(String, String)| {
        let read = read_files([(place.as_str(), text.as_str())], env);
        let read = read.unwrap_or_else(|problems| panic!("{problems}"));
        read.into_iter().map(|document| (place.clone(), document.body)).collect::<Vec<_>>()
    };
    texts.iter().flat_map(documents_of).collect()
}

#[test]
fn the_schema_is_one_and_explains_every_field() {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{FILE}: {error}"));
    let mut unexplained = Vec::new();
    let mut count = 0;
    each_property(&schema, "", &mut |place, property| {
        count += 1;
        let target = property["$ref"].as_str().and_then(|it| schema.pointer(it.trim_start_matches('#')));
        let told = [Some(property), target].into_iter().flatten();
        if !told.into_iter().any(|it| it["description"].as_str().is_some_and(|text| text.len() > 3)) {
            unexplained.push(place.to_owned());
        }
    });
    assert!(count > 400, "only {count} fields were found");
    assert!(unexplained.is_empty(), "no description:\n{}", unexplained.join("\n"));
}

/// Calls `found` with the place and the schema of each property that is declared, not of those that a condition asks about.
fn each_property(node: &Value, place: &str, found: &mut impl FnMut(&str, &Value)) {
    match node {
        Value::Object(members) => {
            let conditions = ["if", "not", "anyOf"];
            for (name, child) in members.iter().filter(|(name, _)| !conditions.contains(&name.as_str())) {
                let place = format!("{place}/{name}");
                match child.as_object().filter(|_| name == "properties") {
                    Some(properties) => {
                        for (name, property) in properties {
                            let place = format!("{place}/{name}");
                            found(&place, property);
                            each_property(property, &place, found);
                        }
                    }
                    None => each_property(child, &place, found),
                }
            }
        }
        Value::Array(elements) => {
            for (index, child) in elements.iter().enumerate() {
                each_property(child, &format!("{place}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_document_that_is_written_fits() {
    let validator = validator();
    // As the product sees it, and as an editor does: with the variables' names.
    for env in [&env as &dyn Fn(&str) -> Option<String>, &|name: &str| Some(format!("${{{name}}}"))] {
        let documents = documents(env);
        assert!(documents.len() > 120, "only {} documents were found", documents.len());
        let wrong: Vec<String> = documents
            .iter()
            .flat_map(|(place, document)| {
                refusals(&validator, document).into_iter().map(move |it| format!("{place}: {it}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    // A file may also hold a list of documents, or nothing.
    let list: Vec<Value> = documents(&env).into_iter().map(|(_, document)| document).take(3).collect();
    assert!(validator.is_valid(&list.into()) && validator.is_valid(&Value::Null));
}

/// The names of all properties, and all words that a value may be, in what is reached from a kind's schema.
fn words_of(schema: &Value, kind: Kind) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut names, mut values, mut seen) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut open = vec![kind.as_str().to_owned()];
    while let Some(definition) = open.pop() {
        if seen.insert(definition.clone()) {
            let start = &schema["$defs"][definition.as_str()];
            assert!(start.is_object(), "{FILE} has no {definition}");
            words_below(start, &mut names, &mut values, &mut open);
        }
    }
    (names, values)
}

fn words_below(
    node: &Value,
    names: &mut BTreeSet<String>,
    values: &mut BTreeSet<String>,
    open: &mut Vec<String>,
) {
    if let Some(elements) = node.as_array() {
        elements.iter().for_each(|child| words_below(child, names, values, open));
    }
    for (name, child) in node.as_object().into_iter().flatten() {
        match (name.as_str(), child) {
            ("properties", Value::Object(properties)) => {
                names.extend(properties.keys().cloned());
                properties.values().for_each(|child| words_below(child, names, values, open));
            }
            ("enum", Value::Array(words)) => {
                values.extend(words.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            ("const" | "default", Value::String(word)) => drop(values.insert(word.clone())),
            ("$ref", Value::String(target)) => {
                open.extend(target.strip_prefix("#/$defs/").map(str::to_owned))
            }
            _ => words_below(child, names, values, open),
        }
    }
}

/// Words in the readers of a kind that are neither a field nor a value of one.
fn beside(kind: Kind) -> &'static [&'static str] {
    match kind {
        // Where layers are laid, and members of a unified query.
        Kind::UnifiedModel => &["config", "unified", "limit", "remote_query"],
        Kind::Integration => &[
            // What an account of OAuth 2 has.
            "client_id",
            "client_secret",
            "refresh_token",
            // What is sent for a token.
            "client_credentials",
            // Roots of placeholders that only a job knows.
            "args",
            "previous_run_date",
            "sync_job_run",
            // What is refused by name.
            "bytes",
            "keka_oauth",
            "oauth",
            "http",
            "https",
        ],
        Kind::Webhook => &["http", "https", "whsec_"],
        Kind::SyncJob => &[
            // What placeholders and expressions see, and what they may not see.
            "context",
            "credentials",
            "payload",
            "previous_run_date",
            "sync_job_run",
            "tenant_id",
            "total_records_size",
            // What `args_validation` gives.
            "message",
            // Destinations that are refused by name.
            "datastore",
            "superquery",
        ],
        Kind::Account | Kind::Trigger => &[],
    }
}

#[test]
fn it_has_every_field_that_the_readers_know_and_no_other() {
    let schema = schema();
    // What several kinds share: schemas of values, and what an API adds.
    let shared = ["definition.rs", "definition/schema.rs"].map(|file| read(&root().join("src").join(file)));
    let shared: BTreeSet<&str> = shared.iter().flat_map(|source| known_words(source)).collect();
    // Mappings stand in integrations, models and accounts; their methods may have any name.
    let mappings: Vec<String> = readers(Kind::UnifiedModel).iter().map(|path| read(path)).collect();
    let mappings: BTreeSet<&str> = mappings.iter().flat_map(|source| known_words(source)).collect();
    let methods: BTreeSet<&str> = ["list", "get", "create", "update", "delete"].into();
    let mut wrong = Vec::new();
    let mut count = 0;
    for kind in Kind::ALL {
        let (names, values) = words_of(&schema, *kind);
        let sources: Vec<String> = readers(*kind).iter().map(|path| read(path)).collect();
        let known: BTreeSet<&str> = sources.iter().flat_map(|source| known_words(source)).collect();
        for word in &known {
            count += 1;
            let is_there = names.contains(*word) || values.contains(*word);
            if !is_there && !NOT_WRITTEN.contains(word) && !beside(*kind).contains(word) {
                wrong.push(format!("{kind}: {FILE} has no {word}, which a reader knows"));
            }
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for name in names.iter().filter(|name| name.chars().all(plain)) {
            if ![&known, &shared, &mappings, &methods].iter().any(|words| words.contains(name.as_str())) {
                wrong.push(format!("{kind}: {FILE} has {name}, which no reader knows"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 300, "only {count} words were found in the readers");
}

#[test]
fn it_takes_the_events_that_are_taken() {
    let validator = validator();
    for event in EventType::ALL {
        let name = event.as_str();
        let webhook = json!({
            "kind": "webhook", "id": "w", "target_url": "https://x.example", "secret": "s", "event_types": [name],
        });
        let trigger = json!({
            "kind": "sync_job_cron_trigger", "id": "t", "sync_job_id": "j", "integrated_account_id": "a",
            "every": "1h", "events_to_send": [name],
        });
        for document in [webhook, trigger] {
            assert_eq!(
                validator.is_valid(&document),
                is_accepted(&document),
                "{name} in {}",
                document["kind"]
            );
        }
    }
}

#[test]
fn what_is_broken_is_refused() {
    /// A part of a document's text, and what takes its place.
    const BROKEN: [(&str, &str); 20] = [
        // Misspelt fields.
        ("on_unauthorized: park", "on_unauthorised: park"),
        ("response_path: data.tickets", "response_pth: data.tickets"),
        ("cursor_key: after", "curser_key: after"),
        ("tenant_id: acme-inc", "tenant: acme-inc"),
        ("park_base: 5s", "parkbase: 5s"),
        ("    depends_on: tickets", "    depend_on: tickets"),
        ("jitter: 5m", "jiter: 5m"),
        // Words that are not allowed.
        ("kind: webhook", "kind: web_hook"),
        ("method: post", "method: fetch"),
        ("format: bearer", "format: baerer"),
        ("{format: offset}", "{format: offsets}"),
        ("sync_job_run:completed", "sync_job_run:complete"),
        ("error_handling: batch", "error_handling: batches"),
        ("overlap: queue", "overlap: wait"),
        // Other types, ranges and forms.
        ("max_limit: 50", "max_limit: \"50\""),
        ("attempts: 4,", "attempts: 40,"),
        ("timeout: 20s", "timeout: 20"),
        ("  token: ${ACME_TOKEN}", "  token: 12"),
        ("path: /tickets,", "path: tickets,"),
        ("sync_job_id: tickets\n", ""),
    ];
    let validator = validator();
    let good = read(&root().join("src/definition/tests/good.yaml"));
    for (from, to) in BROKEN {
        assert!(good.contains(from), "{from:?} is not in good.yaml");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&good.replacen(from, to, 1))
            .unwrap_or_else(|error| panic!("{to:?}: {error}"));
        let wrong = documents.iter().filter(|document| !validator.is_valid(document)).count();
        assert_eq!(wrong, 1, "{from:?} → {to:?}");
        let refused = documents.iter().filter(|document| !is_accepted(document)).count();
        assert_eq!(refused, 1, "{from:?} → {to:?}: the readers");
    }
}

fn is_accepted(document: &Value) -> bool {
    read_json(document).is_ok_and(|document| Checked::of(&document).is_ok())
}

/// Every place in a value.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    found.push(place.to_owned());
    let step = |step: &str| format!("{place}/{}", step.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(members) => members.iter().for_each(|(name, child)| places(child, &step(name), found)),
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, child)| places(child, &step(&index.to_string()), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Documents that are changed at every place, by which the schema and the readers are compared: what is accepted must be
/// valid, and a field that no reader knows must not be.
#[test]
fn it_refuses_nothing_that_is_accepted_and_no_unknown_field_escapes_it() {
    /// The readers take long for larger ones, which have the same fields.
    const BYTES_MAX: usize = 1500;
    let validator = validator();
    let (mut accepted, mut wrong) = (0, Vec::new());
    for (place, document) in
        documents(&env).iter().filter(|(_, document)| document.to_string().len() < BYTES_MAX)
    {
        let mut found = Vec::new();
        places(document, "", &mut found);
        // What is laid over mappings is read when it is known over which.
        let read_later = ["/mappings", "/unified_model_override"];
        for at in found.iter().filter(|at| !read_later.iter().any(|later| at.starts_with(later))) {
            for new in [
                json!(null),
                json!(true),
                json!(7),
                json!("x"),
                json!("5s"),
                json!([]),
                json!({}),
                json!(["x"]),
            ] {
                let mut changed = document.clone();
                *changed.pointer_mut(at).unwrap() = new.clone();
                if is_accepted(&changed) {
                    accepted += 1;
                    let refusals = refusals(&validator, &changed);
                    if !refusals.is_empty() {
                        wrong
                            .push(format!("{place}: {at} = {new} is accepted, but: {}", refusals.join("; ")));
                    }
                }
            }
            for name in ["no_such_field", "config"] {
                let mut changed = document.clone();
                let members = changed.pointer_mut(at).unwrap().as_object_mut();
                let Some(members) = members.filter(|members| !members.contains_key(name)) else { continue };
                members.insert(name.to_owned(), json!(1));
                let (is_accepted, is_valid) = (is_accepted(&changed), validator.is_valid(&changed));
                if is_accepted && !is_valid {
                    wrong.push(format!("{place}: {name} in {at:?} is accepted, but not valid"));
                }
                if !is_accepted && is_valid && name == "no_such_field" {
                    wrong.push(format!("{place}: an unknown field in {at:?} is not seen"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted > 2000, "only {accepted} changed documents were accepted");
}

#[test]
fn the_command_prints_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_rapidbridge")).arg("schema").env_clear().output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), read(&root().join(FILE)));
}
