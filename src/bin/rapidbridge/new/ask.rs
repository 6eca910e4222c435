//! Questions, and who answers them: flags first, then a person, then defaults.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal as _, Write as _};

use anyhow::bail;
use clap::ValueEnum;
use rapidbridge::nearest::nearest;

use super::render::{Answers, refusal};
use crate::paint::{BOLD, DIM, RED};

/// One question.
pub(super) struct Question<'q> {
    /// The flag that answers it, without its dashes.
    pub(super) flag: &'static str,
    pub(super) text: &'q str,
    /// What it is when nothing is said; `Some("")` where nothing need be said.
    pub(super) default: Option<&'q str>,
}

/// What is settled so far, and where answers come from.
pub(super) struct Asker {
    /// Accepted by the check at all times.
    pub(super) answers: Answers,
    /// Flags that have not been used yet.
    given: BTreeMap<&'static str, String>,
    /// Where a person's answers come from; nobody is asked without it.
    person: Option<Box<dyn BufRead>>,
}

impl Asker {
    pub(super) fn new(given: BTreeMap<&'static str, String>, person: Option<Box<dyn BufRead>>) -> Self {
        Self { answers: Answers::sample(), given, person }
    }

    /// Settles what `question` asks for: `put` places it among the answers, which must be accepted then.
    pub(super) fn settle(
        &mut self,
        question: &Question<'_>,
        put: impl Fn(&mut Answers, &str) -> Result<(), String>,
    ) -> anyhow::Result<()> {
        self.answered(question, |answers, text| {
            let mut next = answers.clone();
            put(&mut next, text)?;
            if let Some(reason) = refusal(&next) {
                return Err(reason);
            }
            *answers = next;
            Ok(())
        })
    }

    /// As [`settle`](Self::settle), where any text can be placed.
    pub(super) fn text(
        &mut self,
        question: &Question<'_>,
        put: impl Fn(&mut Answers, String),
    ) -> anyhow::Result<()> {
        self.settle(question, |answers, text| {
            put(answers, text.to_owned());
            Ok(())
        })
    }

    /// Settles which of a few ways it is.
    pub(super) fn choose<T: ValueEnum>(
        &mut self,
        question: &Question<'_>,
        put: impl Fn(&mut Answers, &T),
    ) -> anyhow::Result<T> {
        let names: Vec<String> = T::value_variants().iter().filter_map(name_of).collect();
        if self.is_asking(question) {
            anstream::println!("\n{BOLD}{}{BOLD:#}", question.text);
            for (index, variant) in T::value_variants().iter().enumerate() {
                let value = variant.to_possible_value();
                let help = value.as_ref().and_then(|value| value.get_help()).map(ToString::to_string);
                let name = value.as_ref().map(|value| value.get_name()).unwrap_or_default();
                anstream::println!("  {} {name:<26} {DIM}{}{DIM:#}", index + 1, help.unwrap_or_default());
            }
        }
        let mut chosen = None;
        let short = Question { text: "Number or name", ..*question };
        let found = &mut chosen;
        self.answered(&short, |answers, text| {
            let number = text.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let named = || names.iter().position(|name| name.eq_ignore_ascii_case(text));
            let Some(choice) = number.or_else(named).and_then(|index| T::value_variants().get(index)) else {
                let hint = nearest(text, names.iter().map(String::as_str)).map_or_else(
                    || format!("write one of {}", names.join(", ")),
                    |near| format!("did you mean {near:?}?"),
                );
                return Err(format!("{text:?} is none of these; {hint}"));
            };
            put(answers, choice);
            *found = Some(choice.clone());
            Ok(())
        })?;
        chosen.ok_or_else(|| anyhow::anyhow!("--{} is not answered", question.flag))
    }

    fn is_asking(&self, question: &Question<'_>) -> bool {
        self.person.is_some() && !self.given.contains_key(question.flag)
    }

    /// Takes the flag, asks until the answer is good, or takes the default.
    fn answered(
        &mut self,
        question: &Question<'_>,
        mut take: impl FnMut(&mut Answers, &str) -> Result<(), String>,
    ) -> anyhow::Result<()> {
        let Question { flag, text, default } = *question;
        if let Some(given) = self.given.remove(flag) {
            return take(&mut self.answers, &given).map_err(|reason| anyhow::anyhow!("--{flag}: {reason}"));
        }
        let Some(person) = &mut self.person else {
            let Some(default) = default else {
                bail!("--{flag} is missing: {}", lower_first(text));
            };
            return take(&mut self.answers, default).map_err(|reason| anyhow::anyhow!("--{flag}: {reason}"));
        };
        loop {
            let shown = default.filter(|default| !default.is_empty()).map(|default| format!(" [{default}]"));
            anstream::print!("{BOLD}{text}{BOLD:#}{DIM}{}{DIM:#}: ", shown.unwrap_or_default());
            io::stdout().flush()?;
            let mut line = String::new();
            if person.read_line(&mut line)? == 0 {
                anstream::println!();
                bail!("the answers ended; --{flag} would be the next");
            }
            if !io::stdin().is_terminal() {
                // A terminal shows what is typed, a pipe doesn't.
                anstream::println!("{}", line.trim());
            }
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            let reason = match take(&mut self.answers, answer) {
                Ok(()) => return Ok(()),
                Err(_) if answer.is_empty() => "this can't be left out".to_owned(),
                Err(reason) => reason,
            };
            anstream::println!("  {RED}✗{RED:#} {reason}");
        }
    }

    /// The answers, unless a flag has not been needed.
    pub(super) fn finish(self) -> anyhow::Result<Answers> {
        if let Some(flag) = self.given.keys().next() {
            bail!("--{flag} means nothing beside the other answers; leave it out");
        }
        Ok(self.answers)
    }
}

/// A choice as it is written.
pub(super) fn name_of<T: ValueEnum>(choice: &T) -> Option<String> {
    choice.to_possible_value().map(|value| value.get_name().to_owned())
}

/// A whole number.
pub(super) fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no whole number"))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    // An abbreviation stays.
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain([second]).chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
