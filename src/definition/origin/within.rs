//! A character of a text, found again in the file: YAML spells a text plainly, in quotes, or as a block of lines.

use super::Position;

/// How the text is spelt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Its characters as they are.
    Plain,
    /// `'…'`, with `''` for a quote.
    Single,
    /// `"…"`, with escapes.
    Double,
}

/// The position of the byte `at` of `text`, whose value begins at `start`. Text and file are walked side by side,
/// white space aside (lines are folded and indented); where they differ, nothing is told.
pub(super) fn position(lines: &[String], start: Position, text: &str, at: usize) -> Option<Position> {
    // A block is said to begin at its first line, which may look like a quotation.
    spelt(lines, start, text, at, false).or_else(|| spelt(lines, start, text, at, true))
}

fn spelt(lines: &[String], start: Position, text: &str, at: usize, plainly: bool) -> Option<Position> {
    let first = usize::try_from(start.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(start.column).ok()?.checked_sub(1)?;
    let opening = lines.get(first)?.chars().nth(column)?;
    let (spelling, line, column) = match opening {
        _ if plainly => (Spelling::Plain, first, column),
        '|' | '>' => (Spelling::Plain, first + 1, 0),
        '\'' => (Spelling::Single, first, column + 1),
        '"' => (Spelling::Double, first, column + 1),
        _ => (Spelling::Plain, first, column),
    };
    let mut source = Source { lines, line, column, characters: lines.get(line)?.chars().collect() };
    for (index, wanted) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let (here, found) = source.next_character(spelling)?;
        if found != wanted {
            return None;
        }
        if index >= at {
            return Some(here);
        }
    }
    Some(source.here())
}

/// A place in the file that moves on.
struct Source<'l> {
    lines: &'l [String],
    line: usize,
    column: usize,
    /// Those of the line.
    characters: Vec<char>,
}

impl Source<'_> {
    fn here(&self) -> Position {
        Position { line: self.line as u64 + 1, column: self.column as u64 + 1 }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.column).copied()
    }

    /// The next character that is no white space, and where it is.
    fn next_character(&mut self, spelling: Spelling) -> Option<(Position, char)> {
        loop {
            let Some(found) = self.peek() else {
                self.line += 1;
                self.column = 0;
                self.characters = self.lines.get(self.line)?.chars().collect();
                continue;
            };
            let here = self.here();
            self.column += 1;
            match (spelling, found) {
                (Spelling::Double, '\\') => match self.peek() {
                    // The end of a line that goes on.
                    None => {}
                    // White space that was written as an escape.
                    Some('n' | 't' | 'r' | ' ') => self.column += 1,
                    Some(escaped) => {
                        self.column += 1;
                        return Some((here, escaped));
                    }
                },
                (Spelling::Single, '\'') => {
                    self.column += 1;
                    return Some((here, found));
                }
                _ if found.is_whitespace() => {}
                _ => return Some((here, found)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The position of `needle` in `text`, as the file spells it from `line:column` on.
    fn found(file: &str, start: (u64, u64), text: &str, needle: &str) -> Option<(u64, u64)> {
        let lines: Vec<String> = file.lines().map(str::to_owned).collect();
        let start = Position { line: start.0, column: start.1 };
        let found = position(&lines, start, text, text.find(needle).unwrap())?;
        Some((found.line, found.column))
    }

    #[test]
    fn a_character_is_found_in_every_spelling() {
        assert_eq!(found("a: x + é ? y", (1, 4), "x + é ? y", "? y"), Some((1, 10)));
        assert_eq!(found("a: 'it''s ? y'", (1, 4), "it's ? y", "?"), Some((1, 11)));
        assert_eq!(found(r#"a: "x = \"y\" ? z""#, (1, 4), "x = \"y\" ? z", "?"), Some((1, 15)));
        assert_eq!(found(r#"a: "x\n  ? z""#, (1, 4), "x\n  ? z", "?"), Some((1, 10)));
        assert_eq!(found("a: |-\n  x +\n    ? y\n", (1, 4), "x +\n  ? y", "?"), Some((3, 5)));
        assert_eq!(found("a: |\n  \"x\" +\n  ? y\n", (2, 3), "\"x\" +\n? y\n", "?"), Some((3, 3)));
        assert_eq!(found("a: >\n  x +\n  y ?\n  z\n", (1, 4), "x + y ? z\n", "?"), Some((3, 5)));
    }

    #[test]
    fn the_end_is_behind_the_last_character_and_what_differs_is_not_told() {
        let lines = ["a: |".to_owned(), "  x +".to_owned()];
        let end = position(&lines, Position { line: 1, column: 4 }, "x +\n", 4).unwrap();
        assert_eq!((end.line, end.column), (2, 6));
        assert_eq!(found("a: *alias", (1, 4), "x ? y", "?"), None);
        assert_eq!(found(r#"a: "\x41 ? y""#, (1, 4), "A ? y", "?"), None);
    }
}
