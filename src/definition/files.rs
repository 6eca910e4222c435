//! Documents from files: YAML or JSON, one or many a file.

use std::sync::Arc;

use serde_json::Value;

use super::document::{Document, Kind};
use super::origin::{Origin, Part, Path, Place, Position};
use super::problem::{Problem, Problems};
use super::{Checked, check::Checker, variables, yaml};

/// Reads the documents of files given as (name, text). A name that ends in `.json` is read strictly as JSON,
/// any other as YAML. A file holds one document, several YAML documents, or a list of documents.
///
/// `env` gives the variables for `${NAME}` in credentials, context, secrets, a webhook's headers and
/// `target_url`, and an integration's `base_url`; elsewhere `${` is text like any other.
///
/// # Errors
/// Everything that keeps a document from being told apart: syntax, kind, id, missing variables. What the
/// documents say is checked by [`super::check_set`]; [`super::read_and_check`] does both at once, and
/// [`super::read_part`] does as much of it as files alone allow.
pub fn read_files<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Document>, Problems> {
    let (documents, problems) = read(files, env);
    Problems::none_of(problems).map(|()| documents)
}

/// What can be read, and what can't.
pub(super) fn read<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Document>, Vec<Problem>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match yaml::parse(name, text) {
            Ok(parsed) => {
                for one in parsed.into_iter().flat_map(|parsed| separated(name, &lines, parsed)) {
                    let (document, found) = document(one, env);
                    documents.extend(document);
                    problems.extend(found);
                }
            }
            Err(error) => problems.push(syntax_problem(name, &lines, error)),
        }
    }
    (documents, problems)
}

/// A document that is still only a value with places.
struct Loose {
    value: Value,
    origin: Arc<Origin>,
    losses: Vec<(Path, String)>,
}

/// The documents of a parsed one: itself, or the elements of the list that it is.
fn separated(name: &str, lines: &[String], parsed: yaml::Parsed) -> Vec<Loose> {
    let yaml::Parsed { value, places, withheld, losses } = parsed;
    let origin = |places| {
        let (file, lines, withheld) = (name.to_owned(), lines.to_vec(), withheld.clone());
        Arc::new(Origin { file, lines, places, withheld })
    };
    let Value::Array(elements) = value else {
        return vec![Loose { value, origin: origin(places), losses }];
    };
    let element = |(index, value): (usize, Value)| {
        let prefix = Path::default().index(index);
        let within = |pointer: &str| {
            let rest = pointer.strip_prefix(&prefix.pointer)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
        };
        let own: Vec<(String, Place)> =
            places.iter().filter_map(|(pointer, place)| Some((within(pointer)?, *place))).collect();
        let losses = losses.iter().filter_map(|(path, message)| {
            let shown = path.shown.strip_prefix(&prefix.shown)?.trim_start_matches('.').to_owned();
            Some((Path { pointer: within(&path.pointer)?, shown }, message.clone()))
        });
        Loose { value, origin: origin(own.into_iter().collect()), losses: losses.collect() }
    };
    elements.into_iter().enumerate().map(element).collect()
}

/// The document when its kind and id can be told, and what is wrong with it all the same.
fn document(loose: Loose, env: &dyn Fn(&str) -> Option<String>) -> (Option<Document>, Vec<Problem>) {
    let Loose { mut value, origin, losses } = loose;
    let kind = value.get("kind").and_then(Value::as_str).and_then(|kind| kind.parse::<Kind>().ok());
    let title = kind.map(|kind| match value.get(kind.id_field()).and_then(Value::as_str) {
        Some(id) => format!("{kind} {id:?}"),
        None => kind.to_string(),
    });
    let checker = Checker::new(title, Some(Arc::clone(&origin)));
    for (path, message) in losses {
        checker.add(&path, Part::Value, &message, Some("put it in quotes, or write the number like that"));
    }
    if let Some(kind) = kind {
        for unfilled in variables::fill(kind, &mut value, env) {
            checker.add(&unfilled.path, Part::Value, &unfilled.message, Some(&unfilled.hint));
        }
    }
    let found = checker.finish(Some(())).err().into_iter().flat_map(Problems::into_vec);
    let (document, mut problems) = match Document::read(value.clone(), None, Some(Arc::clone(&origin))) {
        Ok(document) => (Some(document), Vec::new()),
        Err(problems) => {
            let mut problems = problems.into_vec();
            problems.extend(kind.into_iter().flat_map(|kind| nameless(kind, value.clone(), &origin)));
            (None, problems)
        }
    };
    problems.extend(found);
    (document, problems)
}

/// What else is wrong with a document whose id can't be told.
fn nameless(kind: Kind, body: Value, origin: &Arc<Origin>) -> Vec<Problem> {
    let field = kind.id_field();
    let id = body.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let document = Document { kind, id, body, origin: Some(Arc::clone(origin)) };
    let problems = Checked::of(&document).err().into_iter().flat_map(Problems::into_vec);
    let told = format!("{field} is missing");
    let others = problems.filter(|problem| problem.path != field && problem.message != told);
    let title = |problem: Problem| match document.id.as_str() {
        "" => Problem { document: Some(kind.to_string()), ..problem },
        _ => problem,
    };
    others.map(title).collect()
}

fn syntax_problem(name: &str, lines: &[String], error: yaml::SyntaxError) -> Problem {
    // Where the structure can't be told, neither can what is a secret: no line of a file that may hold any.
    let show = !lines.iter().any(|line| yaml::mentions_secret(line));
    let line_at =
        |position: Position| lines.get(usize::try_from(position.line).ok()?.checked_sub(1)?).cloned();
    Problem {
        file: Some(name.to_owned()),
        line: error.position.map(|position| position.line),
        column: error.position.map(|position| position.column),
        document: None,
        path: String::new(),
        message: error.message,
        hint: error.hint,
        source_line: error.position.filter(|_| show).and_then(line_at),
    }
}
