//! Colours and short texts for people. Printed through `anstream`, which leaves the colours out where they would be
//! noise: in files, in pipes, under `NO_COLOR`.

use std::collections::BTreeMap;

use clap::builder::styling::{AnsiColor, Style};
use rapidbridge::run::{Counts, Status};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// The colour of a status.
pub(crate) fn of(status: Status) -> Style {
    match status {
        Status::Created => DIM,
        Status::Running => CYAN,
        Status::RateLimited | Status::Retrying | Status::Stopped => YELLOW,
        Status::Completed => GREEN,
        Status::Failed => RED,
    }
}

/// A number with thousands apart: `12,345`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `text` on one line, cut to `max` characters. Control characters, which could move the cursor, become spaces.
pub(crate) fn short(text: &str, max: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max + 1).collect();
    if plain.chars().count() <= max {
        return plain;
    }
    let cut: String = plain.chars().take(max.saturating_sub(1)).collect();
    format!("{cut}…")
}

/// Counts of all nodes and methods together.
pub(crate) fn total(stats: &BTreeMap<String, BTreeMap<String, Counts>>) -> Counts {
    stats.values().flat_map(BTreeMap::values).fold(Counts::default(), |all, one| Counts {
        fetched: all.fetched + one.fetched,
        persisted: all.persisted + one.persisted,
        pages: all.pages + one.pages,
        errors: all.errors + one.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn short_texts_stay_and_long_ones_are_cut() {
        assert_eq!(short("abc", 3), "abc");
        assert_eq!(short("abcd", 3), "ab…");
        assert_eq!(short("a\u{1b}[2J\nb", 10), "a [2J b");
    }
}
