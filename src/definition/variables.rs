//! `${NAME}` in the values of a file that differ from place to place or must not be written down: secrets,
//! contexts and addresses. `$${` stands for `${`.

use serde_json::Value;

use super::document::Kind;
use super::origin::Path;

/// A variable that can't be filled in: where, and what is wrong.
pub(super) struct Unfilled {
    pub(super) path: Path,
    pub(super) message: String,
    pub(super) hint: String,
}

/// The members in which variables are filled in, each a path of keys.
fn members(kind: Kind) -> &'static [&'static [&'static str]] {
    match kind {
        Kind::Account => &[&["credentials"], &["context"]],
        Kind::Webhook => &[&["secret"], &["secrets"], &["headers"], &["target_url"]],
        Kind::Integration => &[&["base_url"], &["config", "base_url"]],
        Kind::UnifiedModel | Kind::SyncJob | Kind::Trigger => &[],
    }
}

/// Fills in the variables of a document's body.
pub(super) fn fill(kind: Kind, body: &mut Value, env: &dyn Fn(&str) -> Option<String>) -> Vec<Unfilled> {
    let mut unfilled = Vec::new();
    for steps in members(kind) {
        let mut path = Path::default();
        let mut here = Some(&mut *body);
        for step in *steps {
            path = path.key(step);
            here = here.and_then(|value| value.get_mut(step));
        }
        if let Some(value) = here {
            fill_value(value, &path, env, &mut unfilled);
        }
    }
    unfilled
}

fn fill_value(
    value: &mut Value,
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    unfilled: &mut Vec<Unfilled>,
) {
    match value {
        Value::String(text) => match filled(text, env) {
            Ok(filled) => *text = filled,
            Err((message, hint)) => unfilled.push(Unfilled { path: path.clone(), message, hint }),
        },
        Value::Array(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                fill_value(element, &path.index(index), env, unfilled);
            }
        }
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                fill_value(member, &path.key(key), env, unfilled);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn filled(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(index) = rest.find("${") {
        let (before, from_brace) = rest.split_at(index);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &from_brace[2..];
            continue;
        }
        filled.push_str(before);
        let usage = || "write ${NAME}, or $${ for the characters themselves".to_owned();
        let Some((name, after)) = from_brace[2..].split_once('}') else {
            return Err(("a variable is not closed".to_owned(), usage()));
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(("what stands in ${} is no variable's name".to_owned(), usage()));
        }
        let Some(value) = env(name) else {
            let hint = format!("set {name} in the environment, or write $${{ for the characters themselves");
            return Err((format!("the environment variable {name} is not set"), hint));
        };
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_once() {
        let env = |name: &str| (name == "TOKEN").then(|| "t${x}".to_owned());
        assert_eq!(filled("a${TOKEN}b$c", &env).unwrap(), "at${x}b$c");
        assert_eq!(filled("$${TOKEN}$$", &env).unwrap(), "${TOKEN}$$");
        assert_eq!(filled("", &env).unwrap(), "");
        assert_eq!(filled("${NOPE}", &env).unwrap_err().0, "the environment variable NOPE is not set");
        assert!(filled("${TOKEN", &env).is_err());
        assert!(filled("${TOKEN:-x}", &env).is_err());
    }
}
