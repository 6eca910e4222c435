//! What expressions compute, and what they can't do to us.

mod cases;
mod docs;
mod functions;
mod hostile;
mod random;
mod reading;

use super::*;

pub(super) const WORLD: World = World { now: Millis(1_769_846_400_000), seed: 7 };

/// The JSON that `source` gives for `input`; `undefined`, or the error's sentence.
pub(super) fn compute(source: &str, input: &str) -> String {
    let input = Json::parse(input).unwrap();
    let expression = match Expression::parse(source) {
        Ok(expression) => expression,
        Err(error) => return format!("error: {error}"),
    };
    match expression.evaluate(&input, &WORLD) {
        Ok(Some(value)) => value.as_str().to_owned(),
        Ok(None) => "undefined".to_owned(),
        Err(error) => format!("error: {error}"),
    }
}
