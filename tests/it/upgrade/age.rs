//! Makes a state as old as it needs to be, however long ago it was recorded: all that was waited for is due, and
//! nothing is so old that retention takes it.

use rapidbridge::clock;
use serde_json::Value;

use super::dump::Key;
use super::record::State;

const HOUR: i64 = 3_600_000;

/// How long ago a state was left, at least; an hour more at most, so that slots stay at whole hours.
const AGE: i64 = 2 * HOUR;

/// What is this near to the time of recording is a time of that state, in milliseconds.
const NEAR: i64 = 48 * HOUR;

impl State {
    /// The same state, left two to three hours ago.
    pub(super) fn aged(&self) -> Self {
        let by = (clock::now().0 - AGE - self.recorded_at).div_euclid(HOUR) * HOUR;
        let keys = self.keys.iter().map(|key| self.aged_key(key, by)).collect();
        Self { keys, ..self.clone() }
    }

    fn aged_key(&self, key: &Key, by: i64) -> Key {
        // Events that are staged are bytes with an id of their own: they are sent as they are.
        if key.name.contains(":stage:") {
            return key.clone();
        }
        let mut value = serde_json::to_value(key).unwrap();
        walk(&mut value, &|text| shifted(text, self.recorded_at, by));
        serde_json::from_value(value).unwrap()
    }
}

fn walk(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(elements) => elements.iter_mut().for_each(|element| walk(element, change)),
        Value::Object(members) => members.values_mut().for_each(|member| walk(member, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The time that a run's next page will carry: part of its event's identity, and nothing waits for it.
const STAYS: &str = "\"at\":";

/// `text` with every whole number in it that is near to `at` moved by `by`.
fn shifted(text: &str, at: i64, by: i64) -> String {
    let mut aged = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| start + end);
        let stays = rest[..start].ends_with(STAYS);
        let number =
            rest[start..digits].parse().ok().filter(|number: &i64| !stays && (number - at).abs() < NEAR);
        aged.push_str(&rest[..start]);
        match number {
            Some(number) => aged.push_str(&(number + by).to_string()),
            None => aged.push_str(&rest[start..digits]),
        }
        rest = &rest[digits..];
    }
    aged + rest
}

#[test]
fn only_times_of_the_recording_are_moved() {
    let text = r#"{"at":1795509700651,"until":1795509700651,"epoch":"1795509700651000","old":1000000000000,"id":"01a20cb7-c7de","n":7}"#;
    let aged = shifted(text, 1_795_509_700_000, -HOUR);
    assert_eq!(aged, text.replace("\"until\":1795509700651", "\"until\":1795506100651"));
}
