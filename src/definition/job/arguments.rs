//! The arguments of a run: what a job declares about them, and whether those of a run keep to it.

use serde_json::Value;

use super::{Argument, SyncJob};
use crate::clock::Millis;
use crate::definition::check::Spot;
use crate::definition::problem::{Problem, Problems};
use crate::definition::schema::{self, near};
use crate::expression::World;
use crate::id::{AccountId, WebhookId};
use crate::json::{self, Json};

/// The most arguments a job may declare.
const ARGUMENTS_MAX: usize = 100;
/// The argument that is the run's account wherever a job speaks of it.
const ACCOUNT: &str = "integrated_account_id";
/// The argument that is the run's webhook unless the run says otherwise.
const WEBHOOK: &str = "webhook_id";

/// What `args_schema` says.
#[derive(Default)]
pub(super) struct Declared {
    /// The arguments; `None` when nothing is declared.
    pub(super) arguments: Option<Vec<Argument>>,
    /// Whether a run may give others.
    pub(super) open: bool,
}

/// Reads `args_schema` in both of its forms: a map of names, or a JSON Schema of an object.
pub(super) fn read(spot: &Spot<'_>) -> Option<Declared> {
    let is_schema = spot.value().get("properties").is_some_and(Value::is_object)
        && spot.value().get("type").is_some_and(Value::is_string);
    let (entries, required, open) = if is_schema {
        let fields = spot.fields()?;
        fields.ignore(&["title", "description", "$schema"]);
        let kind = fields.required("type").and_then(|spot| spot.choice(&[("object", ())]));
        let entries = fields.required("properties").and_then(|spot| spot.entries());
        let required = fields.or("required", Vec::new(), names);
        let open = fields.or("additionalProperties", false, Spot::boolean);
        fields.finish();
        kind?;
        (entries?, required?, open?)
    } else {
        (spot.entries()?, Vec::new(), false)
    };
    if entries.len() > ARGUMENTS_MAX {
        spot.problem(&format!("a job declares at most {ARGUMENTS_MAX} arguments"), None);
        return None;
    }
    let known: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
    let mut good = true;
    for (spot, name) in &required {
        if !known.contains(name) {
            let hint = near(name, &known, "the properties are");
            spot.problem(&format!("no property is called {name:?}"), Some(&hint));
            good = false;
        }
    }
    let read = |(name, spot): &(&str, Spot<'_>)| argument(name, spot);
    let read: Vec<Option<Argument>> = entries.iter().map(read).collect();
    let mut arguments = read.into_iter().collect::<Option<Vec<_>>>().filter(|_| good)?;
    for argument in &mut arguments {
        argument.required |= required.iter().any(|(_, name)| *name == argument.name);
    }
    Some(Declared { arguments: Some(arguments), open })
}

/// One argument of `args_schema`.
fn argument(name: &str, spot: &Spot<'_>) -> Option<Argument> {
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        let hint = "use letters, digits, '_' and '-', so that {{args.NAME}} can name it";
        spot.problem_of_key(&format!("{name:?} is no name for an argument"), Some(hint));
        return None;
    }
    if let Value::String(word) = spot.value() {
        spot.problem("an argument is declared by an object", Some(&format!("write {{ type: {word} }}")));
        return None;
    }
    let fields = spot.fields()?;
    let required = fields.or("required", false, Spot::boolean);
    let description = fields.maybe("description", Spot::text);
    let default = fields.maybe("default", |spot| Some(Json::of(spot.value())));
    let own = fields.maybe("format", schema::format_name);
    let checked = schema::check(&fields, 0);
    fields.finish();
    checked?;
    let mut members = spot.value().as_object().cloned().unwrap_or_default();
    for name in ["required", "default", "description"] {
        members.shift_remove(name);
    }
    let declared = Json::of(&Value::Object(members));
    let default = default?;
    if let Some(default) = &default {
        let (steps, found) = (vec!["default".to_owned()], schema::violations(&declared, default));
        for (_, message, hint) in &found {
            spot.problem_at(
                &steps,
                &format!("the default is not what the argument may be: {message}"),
                hint.as_deref(),
            );
        }
        if !found.is_empty() {
            return None;
        }
    }
    Some(Argument {
        name: name.to_owned(),
        required: required?,
        default,
        description: description?.map(str::to_owned),
        format: own?.map(str::to_owned),
        schema: declared,
    })
}

fn names<'c>(spot: &Spot<'c>) -> Option<Vec<(Spot<'c>, &'c str)>> {
    if spot.value().is_boolean() {
        let hint = "write required: true in each argument, or a list of names here";
        spot.problem("expected a list of names", Some(hint));
        return None;
    }
    let spots = spot.list()?.into_iter();
    spots.map(|spot| spot.text().map(|name| (spot.clone(), name))).collect()
}

impl SyncJob {
    /// A run's arguments, complete: with the defaults of those that are not given, and with the run's account and
    /// webhook where the job speaks of them as arguments. What was given keeps its digits and its order.
    ///
    /// # Errors
    /// Everything that is wrong, each with the argument's path (`args.start_date`).
    pub fn arguments_for(
        &self,
        given: &Json,
        account: &AccountId,
        webhook: Option<&WebhookId>,
    ) -> Result<Json, Problems> {
        let Ok(members) = json::members(given.as_str()) else {
            return Err(Problems::one(Problem::of_request(
                "args",
                "expected an object",
                Some("args: { start: … }"),
            )));
        };
        let mut members: Vec<(String, Json)> =
            members.into_iter().filter_map(|(name, text)| Some((name, Json::parse(text).ok()?))).collect();
        let mut problems = self.fill_in(&mut members, account, webhook);
        if let Some(arguments) = &self.arguments {
            problems.extend(check(arguments, self.open_arguments, &members));
        }
        Problems::none_of(problems)?;
        let shown = members.iter().map(|(name, value)| format!("{}:{value}", Json::string(name)));
        Ok(Json::parse(&format!("{{{}}}", shown.collect::<Vec<_>>().join(",")))
            .unwrap_or_else(|_| given.clone()))
    }

    /// The accounts that complete arguments name, by the arguments' names: those of the format `integrated_account_id`.
    pub fn named_accounts(&self, args: &Json) -> Vec<(&str, String)> {
        let declared = self.arguments.iter().flatten();
        let named = declared.filter(|argument| argument.format.as_deref() == Some(ACCOUNT));
        let value =
            |argument: &Argument| args.get(&[&argument.name]).filter(|value| value.as_str() != "null");
        named.filter_map(|it| Some((it.name.as_str(), value(it)?.to_text().into_owned()))).collect()
    }

    /// Asks `args_validation` about complete arguments.
    ///
    /// # Errors
    /// What it says is wrong, or why it can't be asked.
    pub fn validate_arguments(&self, args: &Json, now: Millis) -> Result<(), Problems> {
        let Some(validation) = &self.args_validation else { return Ok(()) };
        let refuse = |message: &str, hint: Option<&str>| {
            Err(Problems::one(Problem::of_request("args", message, hint)))
        };
        let input = Json::parse(&format!("{{\"args\":{args}}}")).unwrap_or_else(|_| Json::empty_object());
        let verdict = match validation.evaluate(&input, &World { now, seed: 0 }) {
            Ok(verdict) => verdict.unwrap_or_else(Json::null),
            Err(error) => {
                let message = format!("the job's args_validation can't be evaluated: {error}");
                return refuse(&message, Some("mend the job, or give the arguments it expects"));
            }
        };
        if let Some(message) = verdict.get(&["message"]) {
            return refuse(&message.to_text(), None);
        }
        match serde_json::from_str(verdict.as_str()) {
            Ok(Value::Null | Value::Bool(false)) => Ok(()),
            Ok(Value::String(text)) if text.is_empty() => Ok(()),
            Ok(Value::String(text)) => refuse(&text, None),
            _ => {
                let hint = "it gives no message; the job tells what it wants";
                refuse("the job's args_validation refuses these arguments", Some(hint))
            }
        }
    }

    /// Adds defaults, account and webhook; what is in their way.
    fn fill_in(
        &self,
        members: &mut Vec<(String, Json)>,
        account: &AccountId,
        webhook: Option<&WebhookId>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let given = |members: &[(String, Json)], name: &str| {
            members
                .iter()
                .find(|(known, value)| known == name && value.as_str() != "null")
                .map(|(_, value)| value.clone())
        };
        match given(members, ACCOUNT) {
            Some(value) if value.to_text() != account.as_str() => {
                let message =
                    format!("the run reads from account {:?}, this names another one", account.as_str());
                let hint = "leave it out; an argument for a second account needs another name";
                problems.push(Problem::of_request("args.integrated_account_id", &message, Some(hint)));
            }
            None if self.speaks_of_argument(ACCOUNT) => set(members, ACCOUNT, Json::string(account.as_str())),
            Some(_) | None => {}
        }
        if let (None, Some(webhook)) = (given(members, WEBHOOK), webhook)
            && self.speaks_of_argument(WEBHOOK)
        {
            set(members, WEBHOOK, Json::string(webhook.as_str()));
        }
        for argument in self.arguments.iter().flatten() {
            if let (None, Some(default)) = (given(members, &argument.name), &argument.default) {
                set(members, &argument.name, default.clone());
            }
        }
        problems
    }

    /// Whether it declares the argument, or mentions it without declaring any.
    fn speaks_of_argument(&self, name: &str) -> bool {
        match &self.arguments {
            Some(arguments) => arguments.iter().any(|argument| argument.name == name),
            None => self.mentions_argument(name),
        }
    }
}

fn set(members: &mut Vec<(String, Json)>, name: &str, value: Json) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => members.push((name.to_owned(), value)),
    }
}

/// What is wrong with given arguments, by what is declared.
fn check(arguments: &[Argument], open: bool, given: &[(String, Json)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for argument in arguments {
        let value = given.iter().find(|(name, _)| *name == argument.name).map(|(_, value)| value);
        let path = format!("args.{}", argument.name);
        match value.filter(|value| value.as_str() != "null") {
            Some(value) => {
                for (place, message, hint) in schema::violations(&argument.schema, value) {
                    problems.push(Problem::of_request(&format!("{path}{place}"), &message, hint.as_deref()));
                }
            }
            None if argument.required => {
                let meant = argument.description.as_ref().map(|text| format!("it is: {text}"));
                let message = format!("the argument {} is missing", argument.name);
                problems.push(Problem::of_request(&path, &message, meant.as_deref()));
            }
            None => {}
        }
    }
    let known: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
    for (name, _) in given.iter().filter(|(name, _)| !open && !known.contains(&name.as_str())) {
        let hint = near(name, &known, "the arguments are");
        problems.push(Problem::of_request(
            &format!("args.{name}"),
            "the job has no such argument",
            Some(&hint),
        ));
    }
    problems
}
