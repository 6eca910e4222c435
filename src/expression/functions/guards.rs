//! What stands before those of JSONata's own functions that could make a small text large.

use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::value::JValue;

use super::{Answer, Args, Function};
use crate::expression::VALUE_BYTES_MAX;

/// How wide `$pad` makes a text.
const WIDTH_MAX: f64 = 1_000_000.0;
/// How long the text may be that `$pad` fills with.
const FILL_BYTES_MAX: usize = 64;
/// How long a text may be that `$match` and `$split` take apart: each piece costs much more than its text.
const PIECES_BYTES_MAX: usize = 4 << 20;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: " width", call: width },
    Function { name: " short", call: short },
    Function { name: " pieces", call: pieces },
    Function { name: " replaceable", call: replaceable },
];

/// # Errors
/// When a text of `bytes` would be larger than a value may be.
pub(super) fn bounded(args: &Args, bytes: usize) -> Result<(), EvaluatorError> {
    if bytes > VALUE_BYTES_MAX {
        return Err(args.refuse(format_args!("the text would be longer than {VALUE_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn width(args: &Args) -> Answer {
    match args.get(0) {
        JValue::Number(width) if width.abs() > WIDTH_MAX => {
            Err(super::refuse(format_args!("$pad makes a text at most {WIDTH_MAX} characters wide")))
        }
        other => Ok(other.clone()),
    }
}

fn short(args: &Args) -> Answer {
    match args.get(0) {
        JValue::String(text) if text.len() > FILL_BYTES_MAX => {
            Err(super::refuse(format_args!("$pad fills with a text of at most {FILL_BYTES_MAX} bytes")))
        }
        other => Ok(other.clone()),
    }
}

fn pieces(args: &Args) -> Answer {
    match args.get(0) {
        JValue::String(text) if text.len() > PIECES_BYTES_MAX => Err(super::refuse(format_args!(
            "$match and $split take texts of at most {PIECES_BYTES_MAX} bytes"
        ))),
        other => Ok(other.clone()),
    }
}

/// At worst something is put between any two characters of a text; and a `$1` in it, of two characters, repeats no more
/// than the text, all matches together. So the product bounds both.
fn replaceable(args: &Args) -> Answer {
    if let (JValue::String(text), JValue::String(with)) = (args.get(0), args.get(1))
        && (text.len() + 1).saturating_mul(with.len()) > VALUE_BYTES_MAX
    {
        return Err(super::refuse(format_args!(
            "$replace could make a text longer than {VALUE_BYTES_MAX} bytes"
        )));
    }
    Ok(args.get(0).clone())
}
