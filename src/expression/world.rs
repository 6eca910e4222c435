//! The functions that in JSONata see the clock and chance; here they see what the caller says these are.

use std::cell::Cell;

use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError};
use jsonata_core::parser;
use jsonata_core::value::JValue;

use super::World;
use super::wording::refuse;

/// What an evaluation keeps while it lasts.
pub(super) struct State {
    world: World,
    random: Cell<u64>,
    /// See [`super::guard`].
    pub(super) spent: Cell<usize>,
}

impl State {
    pub(super) fn new(world: World) -> Self {
        Self { world, random: Cell::new(world.seed), spent: Cell::new(0) }
    }

    /// The next number of a sequence that the seed decides (SplitMix64), the same in every version of this product.
    fn draw(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// `$millis()`
    #[expect(
        clippy::cast_precision_loss,
        reason = "JSONata's numbers are doubles; exact until the year 287396"
    )]
    pub(super) fn millis(&self) -> JValue {
        JValue::Number(self.world.now.0 as f64)
    }

    /// `$now(picture, timezone)`
    pub(super) fn now(&self, args: &[JValue]) -> Result<JValue, EvaluatorError> {
        if args.iter().all(JValue::is_undefined) {
            return Ok(JValue::string(self.world.now.rfc3339()));
        }
        let at = |index| args.get(index).cloned().unwrap_or(JValue::Undefined);
        library("$fromMillis($a, $b, $c)", [self.millis(), at(0), at(1)])
    }

    /// `$toMillis(text, picture)`. What a picture leaves out at its front (the year, then the month…) is taken from the
    /// time of the world; the library would take it from the clock.
    pub(super) fn to_millis(&self, args: &[JValue]) -> Result<JValue, EvaluatorError> {
        let [text, picture] =
            [args.first(), args.get(1)].map(|arg| arg.cloned().unwrap_or(JValue::Undefined));
        let (Some(text), Some(picture)) = (text.as_str(), picture.as_str()) else {
            return library("$toMillis($a, $b)", [text, picture, JValue::Undefined]);
        };
        let now = self.world.now.rfc3339();
        let (mut front, mut front_picture) = (String::new(), String::new());
        let parts =
            [("YXxdW", "Y0001", 0..4), ("MdW", "M01", 5..7), ("DdFW", "D01", 8..10), ("Hh", "H01", 11..13)];
        for (letters, part, digits) in parts {
            if letters.chars().any(|letter| picture.contains(&format!("[{letter}"))) {
                break;
            }
            front += &format!("{}|", now.get(digits).unwrap_or("01"));
            front_picture += &format!("[{part}]|");
        }
        let (text, picture) = (format!("{front}{text}"), format!("{front_picture}{picture}"));
        library("$toMillis($a, $b)", [text.into(), picture.into(), JValue::Undefined])
    }

    /// `$random()`: 53 random bits, as JavaScript gives.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn random(&self) -> JValue {
        JValue::Number((self.draw() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// `$shuffle(items)`
    pub(super) fn shuffle(&self, args: &[JValue]) -> Result<JValue, EvaluatorError> {
        let mut items = match args {
            [JValue::Array(items)] => items.to_vec(),
            [JValue::Undefined] => return Ok(JValue::Undefined),
            [one] => vec![one.clone()],
            _ => return Err(refuse("$shuffle takes one array")),
        };
        for index in (1..items.len()).rev() {
            let other = usize::try_from(self.draw() % (index as u64 + 1)).unwrap_or(0);
            items.swap(index, other);
        }
        Ok(JValue::array(items))
    }

    /// `$uuid()`: a version 4.
    pub(super) fn uuid(&self) -> JValue {
        let bytes = (u128::from(self.draw()) << 64) | u128::from(self.draw());
        JValue::string(uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid().to_string())
    }
}

/// What the library itself says to a call with these three arguments.
fn library(call: &str, [a, b, c]: [JValue; 3]) -> Result<JValue, EvaluatorError> {
    let mut context = Context::new();
    for (name, value) in [("a", a), ("b", b), ("c", c)] {
        context.bind(name.to_owned(), value);
    }
    let call = parser::parse(call).map_err(|error| EvaluatorError::EvaluationError(error.to_string()))?;
    Evaluator::with_context(context).evaluate(&call, &JValue::Null)
}
