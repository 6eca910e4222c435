//! The names a run shares with others: its mutex and the namespace of its state cells, rendered when it is made.

use super::SyncJob;
use crate::definition::Account;
use crate::json::Json;
use crate::template::{Scope, Template};

/// What a run's `mutex_key` and `state_key` are; none where the job has none, or it renders to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunKeys {
    /// The mutex.
    pub mutex: Option<String>,
    /// The namespace.
    pub state: Option<String>,
}

/// Why a run's key can't be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeyProblem {
    /// `mutex_key` or `state_key`.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// The longest of these names.
pub const KEY_BYTES_MAX: usize = 512;

impl SyncJob {
    /// The keys of a run with these arguments for this account. `given` are the run's own, which win.
    ///
    /// # Errors
    /// Every key that can't be rendered, or is too long.
    pub fn keys(&self, args: &Json, account: &Account, given: RunKeys) -> Result<RunKeys, Vec<KeyProblem>> {
        let known = Known { args, account };
        let mut problems = Vec::new();
        let mut key = |field: &'static str, template: Option<&Template>, given: Option<String>| {
            let text = match (given, template) {
                (Some(given), _) => Ok(given),
                (None, Some(template)) => template.text(&known).map_err(|error| error.to_string()),
                (None, None) => return None,
            };
            let fit = text.and_then(|text| match text.len() {
                0..=KEY_BYTES_MAX => Ok(text),
                bytes => Err(format!("has {bytes} bytes when it is rendered; at most {KEY_BYTES_MAX}")),
            });
            match fit {
                Ok(text) => Some(text).filter(|text| !text.is_empty()),
                Err(message) => {
                    problems.push(KeyProblem { field, message });
                    None
                }
            }
        };
        let mutex = key("mutex_key", self.mutex_key.as_ref(), given.mutex);
        let state = key("state_key", self.state_key.as_ref(), given.state);
        if problems.is_empty() { Ok(RunKeys { mutex, state }) } else { Err(problems) }
    }
}

/// What is known of a run before it is made.
struct Known<'k> {
    args: &'k Json,
    account: &'k Account,
}

impl Scope for Known<'_> {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let (root, rest) = path.split_first()?;
        let account = || Some(Json::string(self.account.id.as_str()));
        match root.as_str() {
            "args" => self.args.get(rest).or_else(|| match rest {
                [only] if only == "integrated_account_id" => account(),
                _ => None,
            }),
            "context" => self.account.context.get(rest),
            "tenant_id" if rest.is_empty() => self.account.tenant_id.as_deref().map(Json::string),
            "integrated_account_id" if rest.is_empty() => account(),
            _ => self.account.context.get(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Document, Kind};

    fn document(kind: Kind, json: serde_json::Value) -> Document {
        Document::new(kind, &json).unwrap()
    }

    fn job(mutex: Option<&str>, state: Option<&str>) -> SyncJob {
        let json = serde_json::json!({
            "id": "job", "integration_name": "helpdesk", "resources": [{ "resource": "tickets" }],
        });
        let template = |text: &str| Template::parse(text).unwrap();
        SyncJob {
            mutex_key: mutex.map(template),
            state_key: state.map(template),
            ..SyncJob::from_document(&document(Kind::SyncJob, json)).unwrap()
        }
    }

    fn account() -> Account {
        let json = serde_json::json!({
            "id": "acme", "integration": "helpdesk", "tenant_id": "t-1", "context": { "shard": 7, "region": "eu" },
        });
        Account::from_document(&document(Kind::Account, json)).unwrap()
    }

    fn keys(job: &SyncJob, given: RunKeys) -> Result<RunKeys, Vec<KeyProblem>> {
        job.keys(&Json::parse(r#"{"list":"tickets"}"#).unwrap(), &account(), given)
    }

    #[test]
    fn keys_see_arguments_and_account_and_the_runs_own_win() {
        let job = job(
            Some("{{tenant_id}}/{{region}}/{{context.shard}}"),
            Some("{{args.list}}:{{integrated_account_id}}:{{args.integrated_account_id}}"),
        );
        let found = keys(&job, RunKeys::default()).unwrap();
        assert_eq!(found.mutex.as_deref(), Some("t-1/eu/7"));
        assert_eq!(found.state.as_deref(), Some("tickets:acme:acme"));
        let given = RunKeys { mutex: Some("mine {{as it stands}}".into()), state: None };
        assert_eq!(keys(&job, given).unwrap().mutex.as_deref(), Some("mine {{as it stands}}"));
        let none = super::tests::job(Some("{{args.none:undefined}}"), None);
        assert_eq!(keys(&none, RunKeys::default()), Ok(RunKeys::default()), "nothing is no mutex");
    }

    #[test]
    fn a_placeholder_without_a_value_is_named_and_so_is_a_long_key() {
        let job = job(Some("x{{args.shard}}"), Some("y"));
        let given = RunKeys { mutex: None, state: Some("z".repeat(KEY_BYTES_MAX + 1)) };
        let problems = keys(&job, given).unwrap_err();
        assert_eq!(
            problems.iter().map(|problem| problem.field).collect::<Vec<_>>(),
            ["mutex_key", "state_key"]
        );
        assert!(problems[0].message.contains("{{args.shard}}"), "{}", problems[0]);
        assert!(problems[1].message.contains("513 bytes"), "{}", problems[1]);
    }
}
