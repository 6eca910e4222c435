//! The input of an expression: an object put together from the values a run has, each kept as it was written.

use crate::json::{self, Json};

/// A JSON object that is being put together.
#[derive(Debug, Default)]
pub struct Context {
    members: Vec<(String, Value)>,
}

#[derive(Debug)]
enum Value {
    Written(Json),
    Open(Context),
}

impl Context {
    /// Puts `value` at `path`, in place of what is there.
    pub fn set<S: AsRef<str>>(&mut self, path: &[S], value: Json) {
        let Some((first, rest)) = path.split_first() else { return };
        let first = first.as_ref();
        if rest.is_empty() {
            *self.member(first) = Value::Written(value);
            return;
        }
        let member = self.member(first);
        if let Value::Written(written) = member {
            *member = Value::Open(Self::opened(written));
        }
        if let Value::Open(inner) = member {
            inner.set(rest, value);
        }
    }

    /// Puts every member of `object` beside those there are, in place of those of the same name.
    pub fn extend(&mut self, object: &Json) {
        for (name, value) in Self::opened(object).members {
            *self.member(&name) = value;
        }
    }

    /// The object.
    pub fn json(&self) -> Json {
        let mut text = String::new();
        self.write(&mut text);
        Json::parse(&text).unwrap_or_else(|_| Json::empty_object())
    }

    fn opened(written: &Json) -> Self {
        let mut opened = Self::default();
        for (name, text) in json::members(written.as_str()).unwrap_or_default() {
            // Of duplicate keys the last one counts.
            *opened.member(&name) = Value::Written(Json::parse(text).unwrap_or_else(|_| Json::null()));
        }
        opened
    }

    fn member(&mut self, name: &str) -> &mut Value {
        let at = self.members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.members.push((name.to_owned(), Value::Open(Self::default())));
            self.members.len() - 1
        });
        &mut self.members[at].1
    }

    fn write(&self, text: &mut String) {
        text.push('{');
        for (index, (name, value)) in self.members.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(Json::string(name).as_str());
            text.push(':');
            match value {
                Value::Written(json) => text.push_str(json.as_str()),
                Value::Open(inner) => inner.write(text),
            }
        }
        text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_where_they_belong() {
        let json = |text: &str| Json::parse(text).unwrap();
        let mut context = Context::default();
        context.extend(&json(r#"{"site":"a","args":1}"#));
        context.set(&["args"], json(r#"{"n":1.10,"list":[1]}"#));
        context.set(&["args", "list"], json("7"));
        context.set(&["resources", "a", "b"], json("[1]"));
        context.set(&["resources", "a"], json("2"));
        context.set(&["resources", "c"], json("3"));
        let expected = r#"{"site":"a","args":{"n":1.10,"list":7},"resources":{"a":2,"c":3}}"#;
        assert_eq!(context.json().as_str(), expected);
    }
}
