//! What is wrong with a definition: always all of it at once, each with its place and what to do about it.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, and where.
///
/// As JSON it is an entry of the API's `details`; as text it is what the command line prints.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, when the definition came from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The character in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The document, by kind and id (`sync_job "tickets"`), as far as it could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The place in the document (`resources[2].depends_on`); empty for the document itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line of the file, when it is safe to show.
    #[serde(skip)]
    pub(crate) source_line: Option<String>,
}

impl Problem {
    /// A problem of something that comes from no file: a member of a request.
    pub fn of_request(path: &str, message: &str, hint: Option<&str>) -> Self {
        Self {
            file: None,
            line: None,
            column: None,
            document: None,
            path: path.to_owned(),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
            source_line: None,
        }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: document: path: message`, then the line with a caret and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        for part in self.document.iter().chain(Some(&self.path).filter(|path| !path.is_empty())) {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)?;
        if let (Some(text), Some(line), Some(column)) = (&self.source_line, self.line, self.column) {
            write_snippet(f, text, line, column)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The most characters of a line that are shown; the part around the column is chosen.
const SNIPPET_CHARS_MAX: usize = 100;

fn write_snippet(f: &mut fmt::Formatter<'_>, text: &str, line: u64, column: u64) -> fmt::Result {
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let skipped = column.saturating_sub(SNIPPET_CHARS_MAX * 3 / 4);
    // A tab has no known width; as one space the caret stays below its character.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = text.chars().skip(skipped).take(SNIPPET_CHARS_MAX).map(plain).collect();
    let gutter = " ".repeat(line.to_string().len());
    let indent = " ".repeat(column - 1 - skipped.min(column - 1));
    write!(f, "\n  {line} | {}\n  {gutter} | {indent}^", shown.trim_end())
}

/// Everything that is wrong; never empty.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` when there is none. Problems of one file are put in the order of its lines.
    pub(crate) fn none_of(mut problems: Vec<Problem>) -> Result<(), Self> {
        let place = |problem: &Problem| (problem.file.clone(), problem.line, problem.column);
        problems.sort_by_key(place);
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// Just this one.
    pub(super) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// The problems, in the order of files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Problems {}
