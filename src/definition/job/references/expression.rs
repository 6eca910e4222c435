//! The paths that an expression surely reads from the root of its input, as far as its text tells.
//!
//! Names within `[…]` behind a value, and within `(…)` and `{…}` behind a dot or a value, speak of other things than the
//! root, and are passed over; so is what stands in functions. What is told is right; what is not told may still be read.

/// A path in an expression: its steps, and the text as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) path: Vec<String>,
    pub(super) text: String,
}

/// What `source` surely reads.
pub(super) fn reads(source: &str) -> Vec<Read> {
    let mut scanner =
        Scanner { source, at: 0, stack: Vec::new(), before: Before::Operator, found: Vec::new() };
    while scanner.at < source.len() {
        scanner.step();
    }
    scanner.found
}

/// What stood before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A dot: what follows is a step of something else.
    Dot,
    /// A value: a bracket behind it speaks of its items.
    Value,
    /// `^`: the bracket behind it sorts items.
    Sort,
    Operator,
}

struct Scanner<'s> {
    source: &'s str,
    at: usize,
    /// For each open bracket whether names in it speak of the root; those around it included.
    stack: Vec<bool>,
    before: Before,
    found: Vec<Read>,
}

impl<'s> Scanner<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn at_root(&self) -> bool {
        self.stack.last().copied().unwrap_or(true)
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return };
        if c.is_whitespace() {
            self.at += c.len_utf8();
        } else if rest.starts_with("/*") {
            self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if is_name(c) || c == '`' {
            self.chain();
        } else {
            match c {
                '"' | '\'' => {
                    self.quoted();
                    self.before = Before::Value;
                }
                '$' => self.variable(),
                '0'..='9' => {
                    self.at +=
                        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
                    self.before = Before::Value;
                }
                // A regular expression can only stand where a value may begin.
                '/' if self.before == Before::Operator => {
                    let end = rest[1..].find('/').map_or(rest.len(), |end| end + 2);
                    self.at += end;
                    self.before = Before::Value;
                }
                _ => self.punctuation(c),
            }
        }
    }

    fn punctuation(&mut self, c: char) {
        match c {
            '(' => self.stack.push(self.at_root() && !matches!(self.before, Before::Dot | Before::Sort)),
            // The body of a function stands behind a parenthesis, as does a grouping.
            '[' | '{' => {
                self.stack.push(self.at_root() && !matches!(self.before, Before::Dot | Before::Value))
            }
            ')' | ']' | '}' => drop(self.stack.pop()),
            _ => {}
        }
        self.before = match c {
            '.' => Before::Dot,
            '^' => Before::Sort,
            ')' | ']' | '}' => Before::Value,
            // A wildcard where a value may stand (`**` too), else an operator.
            '*' | '%' if self.before != Before::Value => {
                self.at += usize::from(self.rest().starts_with("**"));
                Before::Value
            }
            _ => Before::Operator,
        };
        self.at += c.len_utf8();
    }

    /// `$name`, `$` or `$$`. `$$.args` speaks of the root, but is left to those who write it.
    fn variable(&mut self) {
        let rest = self.rest();
        let end = rest[1..].find(|c: char| !is_name(c) && !c.is_ascii_digit() && c != '$');
        self.at += end.map_or(rest.len(), |end| end + 1);
        // A call's arguments speak of what stands around the call.
        self.before = if self.rest().trim_start().starts_with('(') && self.before != Before::Dot {
            Before::Operator
        } else {
            Before::Value
        };
    }

    /// Text in quotes; its content.
    fn quoted(&mut self) -> String {
        let rest = self.rest();
        let mut characters = rest.char_indices();
        let quote = characters.next().map(|(_, c)| c);
        let (mut text, mut escaped) = (String::new(), false);
        for (index, c) in characters {
            match c {
                _ if escaped => {
                    text.push(c);
                    escaped = false;
                }
                '\\' if quote != Some('`') => escaped = true,
                c if Some(c) == quote => {
                    self.at += index + c.len_utf8();
                    return text;
                }
                c => text.push(c),
            }
        }
        self.at = self.source.len();
        text
    }

    /// `a.b.c`, where a step may stand in quotes.
    fn chain(&mut self) {
        let (start, is_step) = (self.at, self.before == Before::Dot);
        let mut path = vec![self.name()];
        let mut end = self.at;
        if matches!(path[0].as_str(), "and" | "or" | "in") && !is_step {
            self.before = Before::Operator;
            return;
        }
        if path[0] == "function" && self.rest().trim_start().starts_with('(') {
            self.before = Before::Value;
            return;
        }
        while let Some(after) = self.rest().trim_start().strip_prefix('.') {
            let next = after.trim_start();
            if !next.starts_with(|c: char| is_name(c) || matches!(c, '`' | '"' | '\'')) {
                break;
            }
            self.at = self.source.len() - next.len();
            path.push(self.name());
            end = self.at;
        }
        self.before = Before::Value;
        if !is_step && self.at_root() {
            let text = self.source.get(start..end).unwrap_or_default().to_owned();
            self.found.push(Read { path, text });
        }
    }

    fn name(&mut self) -> String {
        let rest = self.rest();
        if rest.starts_with(['`', '"', '\'']) {
            return self.quoted();
        }
        let end = rest.find(|c: char| !is_name(c) && !c.is_ascii_digit()).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }
}

fn is_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        reads(source).into_iter().map(|read| read.path.join(".")).collect()
    }

    #[test]
    fn paths_from_the_root_are_told() {
        assert_eq!(paths("args.start"), ["args.start"]);
        assert_eq!(paths("resources.`ticket-list`.id"), ["resources.ticket-list.id"]);
        assert_eq!(paths("$exists(args.a) and args.\"b\" > 1"), ["args.a", "args.b"]);
        assert_eq!(paths("[resources.a, {'x': args.b}]"), ["resources.a", "args.b"]);
        assert_eq!(paths("($x := args.a; $x + args . b)"), ["args.a", "args.b"]);
        assert_eq!(paths("args.a in ['args.c', \"args.d\"] /* args.e */"), ["args.a"]);
        assert_eq!(paths("$match(args.a, /args.b/)"), ["args.a"]);
        assert_eq!(paths("args.a ? args.b : args.c"), ["args.a", "args.b", "args.c"]);
        assert_eq!(paths("resources.a - b"), ["resources.a", "b"]);
        assert_eq!(paths("args.a * args.b % args.c"), ["args.a", "args.b", "args.c"]);
    }

    #[test]
    fn what_speaks_of_items_is_passed_over() {
        assert_eq!(paths("resources.a[args.x = 1].(args.y)"), ["resources.a"]);
        assert_eq!(paths("resources.a{args.k: args.v}"), ["resources.a"]);
        assert_eq!(paths("resources.a^(args.x)"), ["resources.a"]);
        assert_eq!(paths("*[args.x] and **{args.y: 1}"), [""; 0]);
        assert_eq!(paths("$map(resources.a, function($r) { args.x })"), ["resources.a"]);
        assert_eq!(paths("$.args.x & $$.args.y & $r.args.z"), [""; 0]);
    }

    #[test]
    fn anything_ends() {
        for source in ["", "`a", "'", "a.", "((", "$", "/", "/*", "a.'b", "ä.ö", "]]"] {
            let _ = reads(source);
        }
    }
}
