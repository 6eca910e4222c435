//! JSONata: what expressions in a definition compute.
//!
//! The product speaks to a trait of its own ([`Evaluate`]); the library behind it is `jsonata-core`, used in this room
//! alone. An expression is parsed once, when its definition is read, and evaluated against a JSON object (the *context*).
//! The clock and chance are arguments ([`World`]), so the same expression on the same input gives the same bytes, whoever
//! evaluates it and however often.
//!
//! Numbers are doubles, as in every JSONata: whole numbers up to 2^53 stay what they are and are written without a
//! fraction; beyond, the nearest double is written (9007199254740993 becomes 9007199254740992). A source's larger ids
//! pass unchanged only where no expression touches the record, or as strings.
//!
//! `docs/expressions.md` is for those who write expressions; it lists the functions beyond JSONata's own.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most matches are over the library's kinds of values and nodes, and are about a few of them"
)]

mod functions;
mod guard;
mod jsonata;
mod names;
mod output;
mod place;
mod prelude;
mod reads;
mod regex;
#[cfg(test)]
mod tests;
mod walk;
mod wording;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Millis;
use crate::json::Json;

pub use reads::Reads;

/// How long one evaluation may take. The clock is looked at between steps; what one step may take is bounded by the
/// limits of size.
pub const TIME_MAX: Duration = Duration::from_secs(5);
/// How deep an evaluation may nest. A call of a function takes about three levels, unless it is the last thing that a
/// function does.
pub const DEPTH_MAX: usize = 500;
/// How many items a sequence may get.
pub const ITEMS_MAX: usize = 1_000_000;
/// How long an expression may be.
pub const SOURCE_BYTES_MAX: usize = 64 << 10;
/// How long the JSON may be that an expression is given.
pub const INPUT_BYTES_MAX: usize = 64 << 20;
/// How long the JSON may be that an expression gives.
pub const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// How large a value may get within an expression that has functions, variables or ranges.
pub const VALUE_BYTES_MAX: usize = 64 << 20;
/// How deep a value may nest.
pub const DEPTH_OF_VALUE_MAX: usize = 128;
/// How large a regular expression may be, in characters with each repetition written out: a search takes as many steps
/// for each character of the text at worst.
pub const REGEX_SIZE_MAX: usize = 512;
/// How much one evaluation may make by steps of paths, by array constructors and by functions given to `$replace`, in an
/// expression that has functions, variables or ranges.
pub const SPENT_BYTES_MAX: usize = 256 << 20;

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

    /// What it reads of its input, as far as its text tells.
    fn reads(&self) -> &Reads;
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
        let program = jsonata::Program::parse(source)?;
        Ok(Self { source: source.into(), program: Arc::new(program) })
    }

    /// The functions that an expression can call, without their `$`: JSONata's and ours, in order.
    pub fn functions() -> impl Iterator<Item = &'static str> {
        names::all()
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
        Ok(value.is_some_and(|value| output::is_true(&value)))
    }

    /// Whether it may read the member `name` of its input: false only when it surely doesn't.
    pub fn may_read(&self, name: &str) -> bool {
        self.reads().may_read(name)
    }

    /// What it reads of its input, as far as its text tells.
    pub fn reads(&self) -> &Reads {
        self.program.reads()
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
