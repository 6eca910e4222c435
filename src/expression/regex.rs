//! Regular expressions, looked at before anything is searched with them. Searching takes time in proportion to the text
//! and to the pattern's size, so it never explodes as with JavaScript; but `(a{1,500}){1,20}` is ten thousand characters.

use jsonata_core::ast::AstNode;
use jsonata_core::functions::string::build_regex;

use super::{ExpressionError, REGEX_SIZE_MAX, walk};

/// # Errors
/// When one in `ast` can't be used, or is too large.
pub(super) fn check(source: &str, ast: &AstNode) -> Result<(), ExpressionError> {
    for node in walk::all(ast) {
        let AstNode::Regex { pattern, flags } = node else { continue };
        let refused = |message: String| ExpressionError { message, at: source.find(&format!("/{pattern}/")) };
        if size(pattern) > REGEX_SIZE_MAX {
            let message = format!(
                "the regular expression is larger than {REGEX_SIZE_MAX} characters, repetitions written out"
            );
            return Err(refused(message));
        }
        if build_regex(pattern, flags).is_err() {
            let message =
                "the regular expression can't be used; look-around and back-references are not supported";
            return Err(refused(message.to_owned()));
        }
    }
    Ok(())
}

/// How many characters a pattern has when `a{3}` is `aaa`.
fn size(pattern: &str) -> usize {
    // For each open group: what it has so far, of which the last thing may be repeated.
    let mut open: Vec<(usize, usize)> = vec![(0, 0)];
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let last = match c {
            '(' => {
                open.push((0, 0));
                continue;
            }
            ')' if open.len() > 1 => open.pop().map_or(0, |(total, last)| total.saturating_add(last)),
            '{' => match most(&mut chars) {
                Some(times) => {
                    if let Some((_, last)) = open.last_mut() {
                        *last = last.saturating_mul(times);
                    }
                    continue;
                }
                None => 1,
            },
            '*' | '+' | '?' => continue,
            '\\' => {
                chars.next();
                1
            }
            '[' => {
                skip_class(&mut chars);
                1
            }
            _ => 1,
        };
        if let Some((total, before)) = open.last_mut() {
            *total = total.saturating_add(*before);
            *before = last;
        }
    }
    open.into_iter().fold(0, |sum, (total, last)| sum.saturating_add(total).saturating_add(last))
}

/// Behind a `{`: how often at most, as `3}`, `1,3}` or `3,}` say it.
fn most(chars: &mut std::iter::Peekable<std::str::Chars>) -> Option<usize> {
    let text: String = chars.clone().take_while(|c| *c != '}').collect();
    let (least, most) = text.split_once(',').unwrap_or((&text, &text));
    let times = if most.is_empty() { least } else { most }.trim().parse::<usize>().ok()?;
    chars.by_ref().take_while(|c| *c != '}').for_each(drop);
    Some(times.max(1))
}

fn skip_class(chars: &mut std::iter::Peekable<std::str::Chars>) {
    chars.next_if_eq(&'^');
    chars.next_if_eq(&']');
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            ']' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn repetitions_count() {
        for (pattern, expected) in [
            ("abc", 3),
            ("a{3}b", 4),
            ("(ab{2}){10}", 30),
            ("(a{1,500}){1,20}b", 10_001),
            (r"\d{4}-[0-9a-f]{2,}", 7),
            ("[{5}]{3}", 3),
            ("a|b*", 3),
            ("a{x}", 4),
            ("a{99999999999}{99999999999}", usize::MAX),
        ] {
            assert_eq!(size(pattern), expected, "{pattern}");
        }
    }
}
