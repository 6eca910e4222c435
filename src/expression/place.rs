//! Where in a text its first mistake is. The library says what is wrong and not where; but a text that is cut behind
//! the mistake has the same mistake, and one that is cut before has another or none. So halving finds the place.

use jsonata_core::parser::{self, ParserError};

/// The offset in bytes of what `error`, got from parsing `source`, complains about; `None` when nothing tells.
pub(super) fn of_error(source: &str, error: &ParserError) -> Option<usize> {
    if matches!(error, ParserError::Coded { .. }) {
        return None; // Found after parsing, in the whole of it.
    }
    let wanted = error.to_string();
    if wanted.starts_with("S0203") || wanted.starts_with("S0207") {
        return Some(source.trim_end().len());
    }
    let same = |end: usize| {
        parser::parse(&source[..boundary(source, end)]).err().is_some_and(|other| other.to_string() == wanted)
    };
    let (mut without, mut with) = (0, source.len());
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        if same(middle) { with = middle } else { without = middle }
    }
    same(with).then(|| start_of_word(source, boundary(source, with)))
}

/// The last place at or before `at` where a character begins.
fn boundary(source: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0)
}

/// Where the word, or the one sign, begins that ends at `end`.
fn start_of_word(source: &str, end: usize) -> usize {
    let before = &source[..end];
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == '.';
    let word = before.trim_end_matches(part).len();
    match before.char_indices().next_back() {
        Some((at, last)) if !part(last) => at,
        _ => word,
    }
}

/// Where `$name` is used in `source`, as an offset in bytes.
pub(super) fn of_variable(source: &str, name: &str) -> Option<usize> {
    let written = format!("${name}");
    source.match_indices(&written).map(|(at, _)| at).find(|at| {
        let after = source[at + written.len()..].chars().next();
        !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}
