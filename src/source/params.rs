//! The parameters of a request: JSON objects that are merged and written as a query string or a body without
//! ever becoming numbers, so that a thirty-digit id is sent digit by digit.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::definition::integration::QueryArray;
use crate::json::Json;

/// A JSON object, its members in the order they were written, their values as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Params(Vec<(String, Json)>);

impl Params {
    /// The members of the object `json`.
    ///
    /// # Errors
    /// When `json` is no object.
    pub(super) fn parse(json: &Json) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json.as_str())
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Takes `name` away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// Sets `name`, in its old place if it has one.
    pub(super) fn set(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value at a dotted path.
    pub(super) fn at_path(&self, path: &str) -> Option<Json> {
        match path.split_once('.') {
            None => self.get(path).cloned(),
            Some((name, rest)) => Self::parse(self.get(name)?).ok()?.at_path(rest),
        }
    }

    /// Sets the member at a dotted path (`variables.after`), making the objects on its way.
    pub(super) fn set_path(&mut self, path: &str, value: Json) {
        match path.split_once('.') {
            None => self.set(path, value),
            Some((name, rest)) => {
                let mut inner = self.get(name).and_then(|json| Self::parse(json).ok()).unwrap_or_default();
                inner.set_path(rest, value);
                self.set(name, inner.to_json());
            }
        }
    }

    /// Lays `over` over this: objects are merged member by member, anything else is replaced.
    pub(super) fn merge(&mut self, over: Self) {
        for (name, value) in over.0 {
            let both =
                self.get(&name).and_then(|old| Some((Self::parse(old).ok()?, Self::parse(&value).ok()?)));
            match both {
                Some((mut inner, over)) => {
                    inner.merge(over);
                    self.set(&name, inner.to_json());
                }
                None => self.set(&name, value),
            }
        }
    }

    /// The object as JSON.
    pub(super) fn to_json(&self) -> Json {
        Json::of(self)
    }

    /// Name and value of each query parameter: nested members as `a[b]`, arrays as `array` says, `null` left
    /// out.
    pub(super) fn pairs(&self, array: QueryArray) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (name, value) in &self.0 {
            flatten(name, value, array, &mut pairs);
        }
        pairs
    }
}

fn flatten(name: &str, value: &Json, array: QueryArray, pairs: &mut Vec<(String, String)>) {
    if value.as_str() == "null" {
        return;
    }
    if let Ok(object) = Params::parse(value) {
        for (key, inner) in &object.0 {
            flatten(&format!("{name}[{key}]"), inner, array, pairs);
        }
    } else if let Ok(items) = serde_json::from_str::<Vec<Json>>(value.as_str()) {
        flatten_array(name, &items, array, pairs);
    } else {
        pairs.push((name.to_owned(), value.to_text().into_owned()));
    }
}

fn flatten_array(name: &str, items: &[Json], array: QueryArray, pairs: &mut Vec<(String, String)>) {
    let each = |name: &dyn Fn(usize) -> String, pairs: &mut Vec<(String, String)>| {
        for (index, item) in items.iter().enumerate() {
            flatten(&name(index), item, array, pairs);
        }
    };
    match array {
        QueryArray::Brackets => each(&|_| format!("{name}[]"), pairs),
        QueryArray::Repeat => each(&|_| name.to_owned(), pairs),
        QueryArray::Indices => each(&|index| format!("{name}[{index}]"), pairs),
        QueryArray::Comma if items.is_empty() => {}
        QueryArray::Comma => {
            let texts: Vec<_> = items.iter().map(Json::to_text).collect();
            pairs.push((name.to_owned(), texts.join(",")));
        }
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
                let mut params = Params::default();
                while let Some((key, value)) = map.next_entry::<String, Json>()? {
                    params.set(&key, value);
                }
                Ok(params)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::parse(&Json::parse(text).unwrap()).unwrap()
    }

    fn query(text: &str, array: QueryArray) -> String {
        let pairs = params(text).pairs(array);
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    #[test]
    fn objects_and_scalars_become_parameters() {
        let text = r#"{"q":"a b","n":12345678901234567890.10,"on":true,"gone":null,"filter":{"status":"open","at":{"gt":1}}}"#;
        assert_eq!(
            query(text, QueryArray::Brackets),
            "q=a b&n=12345678901234567890.10&on=true&filter[status]=open&filter[at][gt]=1"
        );
    }

    #[test]
    fn arrays_follow_the_declared_form() {
        let text = r#"{"a":[1,"x"],"b":{"c":[2]},"none":[]}"#;
        for (array, expected) in [
            (QueryArray::Brackets, "a[]=1&a[]=x&b[c][]=2"),
            (QueryArray::Repeat, "a=1&a=x&b[c]=2"),
            (QueryArray::Comma, "a=1,x&b[c]=2"),
            (QueryArray::Indices, "a[0]=1&a[1]=x&b[c][0]=2"),
        ] {
            assert_eq!(query(text, array), expected, "{array:?}");
        }
    }

    #[test]
    fn merging_is_deep_and_the_later_wins() {
        let mut base = params(r#"{"a":{"x":1,"y":2},"b":[1],"c":1}"#);
        base.merge(params(r#"{"a":{"y":3},"b":[2],"d":4}"#));
        assert_eq!(base.to_json().as_str(), r#"{"a":{"x":1,"y":3},"b":[2],"c":1,"d":4}"#);
    }

    #[test]
    fn a_dotted_path_makes_its_objects() {
        let mut body = params(r#"{"query":"q","variables":{"first":10}}"#);
        body.set_path("variables.after", Json::string("c1"));
        body.set_path("page.size", Json::parse("5").unwrap());
        assert_eq!(
            body.to_json().as_str(),
            r#"{"query":"q","variables":{"first":10,"after":"c1"},"page":{"size":5}}"#
        );
    }
}
