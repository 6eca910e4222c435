//! JSONata: what expressions in a definition compute.
//!
//! The product speaks to a trait of its own ([`Evaluate`]); the library behind it is `jsonata-core`, used in this room
//! alone. An expression is parsed once, when its definition is read, and evaluated against a JSON object (the *context*).
//! The clock and chance are arguments ([`World`]), so the same expression on the same input gives the same bytes, whoever
//! evaluates it and however often.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;

use crate::clock::Millis;
use crate::json::Json;

/// How long one evaluation may take.
pub const TIME_MAX: Duration = Duration::from_secs(5);
/// How deep an evaluation may nest.
pub const DEPTH_MAX: usize = 500;
/// How many items a sequence may get.
pub const ITEMS_MAX: usize = 1_000_000;

/// What an evaluation sees besides its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// What `$now()` and `$millis()` say.
    pub now: Millis,
    /// What `$random()`, `$shuffle()` and `$uuid()` are drawn from.
    pub seed: u64,
}

/// A parsed expression, whatever library parsed it.
pub trait Evaluate: Send + Sync {
    /// Its value; `None` is JSONata's "undefined".
    ///
    /// # Errors
    /// Why it has none: the expression's own error, or a limit.
    fn evaluate(&self, input: &Json, world: &World) -> Result<Option<Json>, EvaluationError>;

    /// Whether it may read the member `name` of its input, as far as its text tells: false only when it surely
    /// doesn't.
    fn may_read(&self, name: &str) -> bool;
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where, as an offset in bytes.
    pub at: Option<usize>,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvaluationError {
    /// What is wrong, in one sentence; JSONata's code (`T2001`) included where there is one.
    pub message: String,
}

/// An expression as it was written, ready to be evaluated. Cheap to clone.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    program: Arc<dyn Evaluate>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first thing in `source` that is no JSONata, with its place.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        let ast = parser::parse(source)
            .map_err(|error| ExpressionError { message: error.to_string(), at: None })?;
        Ok(Self { source: source.into(), program: Arc::new(Jsonata { source: source.into(), ast }) })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its value; `None` is "undefined".
    ///
    /// # Errors
    /// The expression's own error, or a limit.
    pub fn evaluate(&self, input: &Json, world: &World) -> Result<Option<Json>, EvaluationError> {
        self.program.evaluate(input, world)
    }

    /// Whether its value counts as true, as JSONata's `$boolean` says; "undefined" does not.
    ///
    /// # Errors
    /// The expression's own error, or a limit.
    pub fn is_true(&self, input: &Json, world: &World) -> Result<bool, EvaluationError> {
        let value = self.evaluate(input, world)?;
        Ok(value.is_some_and(|value| is_truthy(&value)))
    }

    /// Whether it may read the member `name` of its input: false only when it surely doesn't.
    pub fn may_read(&self, name: &str) -> bool {
        self.program.may_read(name)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

fn is_truthy(value: &Json) -> bool {
    match serde_json::from_str::<serde_json::Value>(value.as_str()) {
        Ok(serde_json::Value::Bool(value)) => value,
        Ok(serde_json::Value::Number(number)) => number.as_f64() != Some(0.0),
        Ok(serde_json::Value::String(text)) => !text.is_empty(),
        Ok(serde_json::Value::Array(items)) => !items.is_empty(),
        Ok(serde_json::Value::Object(members)) => !members.is_empty(),
        Ok(serde_json::Value::Null) | Err(_) => false,
    }
}

struct Jsonata {
    source: Box<str>,
    ast: AstNode,
}

impl Evaluate for Jsonata {
    fn evaluate(&self, input: &Json, _world: &World) -> Result<Option<Json>, EvaluationError> {
        let failed = |message: String| EvaluationError { message };
        let input = JValue::from_json_str(input.as_str()).map_err(|error| failed(error.to_string()))?;
        let options = EvaluatorOptions {
            timeout_ms: u64::try_from(TIME_MAX.as_millis()).ok(),
            max_stack_depth: Some(DEPTH_MAX),
            max_sequence_length: Some(ITEMS_MAX),
            ..EvaluatorOptions::default()
        };
        let mut evaluator = Evaluator::with_options(Context::new(), options);
        let value = evaluator.evaluate(&self.ast, &input).map_err(|error| failed(error.to_string()))?;
        if value.is_undefined() {
            return Ok(None);
        }
        let text = value.to_json_string().map_err(|error| failed(error.to_string()))?;
        Json::parse(&text).map(Some).map_err(|error| failed(error.to_string()))
    }

    fn may_read(&self, name: &str) -> bool {
        self.source.contains(name) || self.source.contains('$') || self.source.contains('*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: World = World { now: Millis(1_769_846_400_000), seed: 7 };

    #[test]
    fn a_value_is_computed_and_nothing_is_undefined() {
        let input = Json::parse(r#"{"a":[{"n":1},{"n":2}]}"#).unwrap();
        let value = Expression::parse("$sum(a.n)").unwrap().evaluate(&input, &WORLD).unwrap();
        assert_eq!(value.unwrap().as_str(), "3");
        assert_eq!(Expression::parse("b").unwrap().evaluate(&input, &WORLD).unwrap(), None);
        assert!(Expression::parse("a[").is_err());
    }
}
