//! What is said when an expression can't be read or fails: one sentence with JSONata's code. Nothing of the input is
//! quoted, for it may be large or secret.

use jsonata_core::evaluator::{EvaluatorError, error_code_prefix};
use jsonata_core::parser::ParserError;

/// Begins the messages of our own functions, which quote nothing and may pass as they are.
const OURS: &str = "rapidbridge: ";
/// How much is kept of a message that the expression itself made, by `$error` or `$assert`.
const OWN_MESSAGE_CHARS_MAX: usize = 300;

/// An error of one of our functions: `says` names the function and what it wants.
pub(super) fn refuse(says: impl std::fmt::Display) -> EvaluatorError {
    EvaluatorError::EvaluationError(format!("{OURS}{says}"))
}

/// What a failed evaluation says.
pub(super) fn of_failure(error: &EvaluatorError) -> String {
    let message = error.message();
    if let Some(ours) = message.strip_prefix(OURS) {
        return ours.to_owned();
    }
    let Some(code) = error_code_prefix(message) else {
        return "the expression asks something of a value that it can't do; check the kinds of the values it uses"
            .to_owned();
    };
    let rest = message[code.len() + 1..].trim();
    match code {
        "D3137" | "D3141" => {
            let rest: String = rest.chars().take(OWN_MESSAGE_CHARS_MAX).collect();
            format!("{rest} ({code})")
        }
        // These name a function and the place of an argument, and nothing of the input.
        "T0410" | "T0411" | "T0412" | "D1011" | "D1012" | "D2015" | "T1005" => {
            format!("{} ({code})", rest.trim_end_matches('.'))
        }
        _ => format!("{} ({code})", of_code(code)),
    }
}

/// What JSONata's codes mean.
fn of_code(code: &str) -> &'static str {
    match code {
        "D1001" => "a number is out of range",
        "D1002" => "only a number can be negated",
        "D1004" => "a regular expression matches the empty string",
        "D1009" => "several keys of an object are the same",
        "D2014" => "a range has too many numbers",
        "D3001" => "a number without a value can't be made a string",
        "D3010" => "the pattern of $replace is empty",
        "D3011" => "the limit of $replace is negative",
        "D3012" => "the function given to $replace must return a string",
        "D3020" => "the limit of $split is negative",
        "D3030" => "a value can't be made a number",
        "D3040" => "the limit of $match is negative",
        "D3050" => "the function given to $reduce needs two parameters at least",
        "D3060" => "the square root of a negative number was asked for",
        "D3061" => "a power is out of range",
        "D3070" => "$sort without a function sorts strings or numbers only, all of one kind",
        "D3080" | "D3081" | "D3082" | "D3083" | "D3084" | "D3085" | "D3086" | "D3087" | "D3088" | "D3089"
        | "D3090" | "D3091" | "D3092" | "D3093" => "the picture of $formatNumber is wrong",
        "D3100" => "the base of $formatBase must be between 2 and 36",
        "D3110" => "$toMillis without a picture reads ISO 8601 only",
        "D3130" | "D3131" => "the picture of a number is wrong or not supported",
        "D3132" | "D3133" | "D3134" | "D3135" | "D3136" => "the picture of a date or time is wrong",
        "D3138" => "$single found more than one match",
        "D3139" => "$single found no match",
        "D3140" => "a text is no valid URL-encoded string",
        "T1003" => "the key of an object must be a string",
        "T1006" => "what is called is no function",
        "T1007" | "T1008" => "what is partially applied is no function",
        "T1010" => "a function used as a pattern must return what a regular expression would",
        "T2001" => "the left side of an arithmetic operator must be a number",
        "T2002" => "the right side of an arithmetic operator must be a number",
        "T2003" => "the left side of a range must be an integer",
        "T2004" => "the right side of a range must be an integer",
        "T2006" => "the right side of `~>` must be a function",
        "T2007" => "values of different kinds can't be sorted together",
        "T2008" => "what is sorted by must be a string or a number",
        "T2009" => "values of different kinds can't be compared",
        "T2010" => "only strings and numbers can be compared by order",
        "T2011" => "what a transform inserts must be an object",
        "T2012" => "what a transform deletes must be a string or an array of strings",
        "T2013" => "what a transform changes can't be copied",
        "U1001" => "the expression nests too deep",
        _ => "the expression failed",
    }
}

/// What a text that is no expression says.
pub(super) fn of_mistake(error: &ParserError) -> String {
    let message = error.to_string();
    let message = message.strip_prefix("Invalid syntax: ").unwrap_or(&message);
    let (code, rest) = match error_code_prefix(message) {
        Some(code) => (Some(code), message[code.len() + 1..].trim()),
        None => (None, message),
    };
    let rest = rest.replacen("Syntax error: ", "unexpected ", 1);
    let words = rest.split(' ').map(sign).collect::<Vec<_>>().join(" ");
    match code {
        Some(code) => format!("{words} ({code})"),
        None => words,
    }
}

/// The sign that a name of the library's for a token stands for.
fn sign(word: &str) -> String {
    let (name, rest) = word.split_at(word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len()));
    let sign = match name {
        "Eof" => "the end",
        "RightParen" => "`)`",
        "LeftParen" => "`(`",
        "RightBracket" => "`]`",
        "LeftBracket" => "`[`",
        "RightBrace" => "`}`",
        "LeftBrace" => "`{`",
        "Comma" => "`,`",
        "Semicolon" => "`;`",
        "Colon" => "`:`",
        "ColonEqual" => "`:=`",
        "Question" => "`?`",
        "Dot" => "`.`",
        "DotDot" => "`..`",
        "Star" => "`*`",
        "Slash" => "`/`",
        "Plus" => "`+`",
        "Minus" => "`-`",
        "Percent" => "`%`",
        "Equal" => "`=`",
        "LessThan" => "`<`",
        "GreaterThan" => "`>`",
        "Ampersand" => "`&`",
        "Caret" => "`^`",
        "Pipe" => "`|`",
        "Hash" => "`#`",
        "At" => "`@`",
        "TildeArrow" => "`~>`",
        "Identifier" => "name",
        _ => return word.to_owned(),
    };
    format!("{sign}{rest}")
}
