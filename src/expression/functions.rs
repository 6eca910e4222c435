//! The functions that expressions have beside JSONata's own. Where Truto documents one of this name, it does the same.

mod codec;
mod collection;
mod date;
mod guards;
mod iteratee;
mod money;
mod object;
mod table;
mod text;
mod tree;
mod url;
mod value;

use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::value::JValue;

use super::wording::refuse;

/// What a function gives.
pub(super) type Answer = Result<JValue, EvaluatorError>;

/// A function of ours: an expression calls it as `$name(…)`, or, when the name begins with a blank, only our prelude.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) call: fn(&Args) -> Answer,
}

/// Everything that is no lambda of the prelude.
pub(super) const FUNCTIONS: &[&[Function]] = &[
    codec::FUNCTIONS,
    collection::FUNCTIONS,
    date::FUNCTIONS,
    guards::FUNCTIONS,
    money::FUNCTIONS,
    object::FUNCTIONS,
    table::FUNCTIONS,
    text::FUNCTIONS,
    tree::FUNCTIONS,
    url::FUNCTIONS,
];

/// The names that an expression may use.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let all = FUNCTIONS.iter().copied().flatten().map(|function| function.name);
    all.filter(|name| !name.starts_with(' '))
}

/// What a function was called with.
pub(super) struct Args<'a> {
    name: &'static str,
    values: &'a [JValue],
}

impl<'a> Args<'a> {
    /// Calls `function`; without a first argument there is no value, as with JSONata's own functions.
    pub(super) fn call(function: &'static Function, values: &'a [JValue]) -> Answer {
        let lenient = ["firstNonEmpty", "mapValues"].contains(&function.name);
        if !lenient && values.first().is_none_or(JValue::is_undefined) {
            return Ok(JValue::Undefined);
        }
        (function.call)(&Args { name: function.name, values })
    }

    fn get(&self, index: usize) -> &'a JValue {
        self.values.get(index).unwrap_or(&JValue::Undefined)
    }

    /// The argument, unless it is absent or null.
    fn optional(&self, index: usize) -> Option<&'a JValue> {
        Some(self.get(index)).filter(|value| !value.is_undefined() && !value.is_null())
    }

    fn text(&self, index: usize) -> Result<&'a str, EvaluatorError> {
        self.get(index).as_str().ok_or_else(|| self.wants(index, "a string"))
    }

    fn text_or(&self, index: usize, default: &'a str) -> Result<&'a str, EvaluatorError> {
        if self.optional(index).is_none() { Ok(default) } else { self.text(index) }
    }

    fn number_or(&self, index: usize, default: f64) -> Result<f64, EvaluatorError> {
        match self.optional(index) {
            None => Ok(default),
            Some(JValue::Number(number)) if number.is_finite() => Ok(*number),
            Some(_) => Err(self.wants(index, "a number")),
        }
    }

    /// A whole number from 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    fn count_or(&self, index: usize, default: usize) -> Result<usize, EvaluatorError> {
        let number = self.number_or(index, -1.0)?;
        Ok(if self.optional(index).is_none() { default } else { number.clamp(0.0, 1e9) as usize })
    }

    /// The items of an array; any other value is its only item.
    fn items(&self, index: usize) -> &'a [JValue] {
        match self.get(index) {
            JValue::Array(items) => items,
            JValue::Undefined => &[],
            one => std::slice::from_ref(one),
        }
    }

    fn wants(&self, index: usize, what: &str) -> EvaluatorError {
        // The first argument of a date's own functions is the date.
        let (name, hidden) = self.shown();
        refuse(format_args!("argument {} of {name} must be {what}", index + 1 - hidden.min(index)))
    }

    fn refuse(&self, why: impl std::fmt::Display) -> EvaluatorError {
        refuse(format_args!("{}: {why}", self.shown().0))
    }

    /// The function's name as an expression says it, and how many arguments it doesn't see there.
    fn shown(&self) -> (String, usize) {
        match self.name.strip_prefix(" date") {
            Some(made) if made.starts_with("From") => (format!("$dt{made}"), 0),
            Some(own) => (format!("{}{}", own[..1].to_lowercase(), &own[1..]), 1),
            None => (format!("${}", self.name.trim_start()), 0),
        }
    }
}
