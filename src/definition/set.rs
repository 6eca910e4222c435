//! Definitions that belong together: what they say about each other.

mod asked;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::check::{Checker, Spot};
use super::document::{Document, Kind};
use super::problem::{Problem, Problems};
use super::unified;
use super::{Account, Checked, Integration, SyncJob, Trigger, UnifiedModel};
use crate::clock::Millis;
use crate::nearest::nearest;

/// Checks a complete set of documents: each by itself, ids that are taken twice, and every reference.
/// The checked definitions come in the order of the documents.
///
/// # Errors
/// Everything that is wrong, in the order of files and lines.
pub fn check_set(documents: &[Document]) -> Result<Vec<Checked>, Problems> {
    let (checked, problems) = check(documents, Elsewhere::Nothing);
    Problems::none_of(problems)?;
    Ok(checked.into_iter().flatten().collect())
}

/// Checks what `job`, which `document` describes, asks `integration` for.
///
/// # Errors
/// What the integration doesn't have, or doesn't take.
pub fn check_nodes(document: &Document, job: &SyncJob, integration: &Integration) -> Result<(), Problems> {
    Problems::none_of(problems_of(document, |root| nodes(root, job, integration)))
}

/// Whether there may be definitions besides the ones at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// These are all.
    Nothing,
    /// There may be others: a reference to none of these may be one to them.
    Perhaps,
}

/// What [`check_set`] does, with all that could be read and all that is wrong.
pub(super) fn check(documents: &[Document], elsewhere: Elsewhere) -> (Vec<Option<Checked>>, Vec<Problem>) {
    let (checked, mut problems) = check_each(documents);
    let set = Set { documents, checked: &checked, elsewhere, models: OnceCell::new() };
    problems.extend(set.duplicates());
    for (document, checked) in documents.iter().zip(&checked) {
        problems
            .extend(checked.as_ref().map(|checked| set.references(document, checked)).unwrap_or_default());
    }
    (checked, problems)
}

/// Each document by itself.
fn check_each(documents: &[Document]) -> (Vec<Option<Checked>>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut check = |document| match Checked::of(document) {
        Ok(checked) => Some(checked),
        Err(found) => {
            problems.extend(found.into_vec());
            None
        }
    };
    let checked = documents.iter().map(&mut check).collect();
    (checked, problems)
}

/// Documents and what became of each.
struct Set<'s> {
    documents: &'s [Document],
    checked: &'s [Option<Checked>],
    elsewhere: Elsewhere,
    /// The models that there are, once somebody asked.
    models: OnceCell<BTreeMap<String, UnifiedModel>>,
}

impl Set<'_> {
    fn duplicates(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, document) in self.documents.iter().enumerate() {
            let same = |other: &&Document| other.kind == document.kind && other.id == document.id;
            let Some(first) = self.documents[..index].iter().find(same) else { continue };
            let place = first.place().map_or_else(String::new, |place| format!(" (the first is at {place})"));
            problems.extend(problems_of(document, |root| {
                let field = document.kind.id_field();
                let message =
                    format!("two definitions of kind {} are called {:?}", document.kind, document.id);
                root.problem_at(
                    &[field.to_owned()],
                    &format!("{message}{place}"),
                    Some("rename or remove one"),
                );
            }));
        }
        problems
    }

    fn references(&self, document: &Document, checked: &Checked) -> Vec<Problem> {
        problems_of(document, |root| match checked {
            Checked::Webhook(_) => {}
            Checked::UnifiedModel(_) => self.model(root, document),
            Checked::Integration(integration) => self.known(root, integration, None, |model, resource| {
                ["unified", model, resource].map(str::to_owned).to_vec()
            }),
            Checked::Account(account) => self.account(root, account),
            Checked::SyncJob(job) => self.job(root, job),
            Checked::Trigger(trigger) => self.trigger(root, trigger),
        })
    }

    fn account(&self, root: &Spot<'_>, account: &Account) {
        let field = written_of(root, &["integration", "integration_name"]);
        self.exists(root, field, Kind::Integration, account.integration.as_str());
        if let Some(integration) = self.integration(account.integration.as_str()) {
            check_needs(root, account, integration);
        }
        self.account_layer(root, account);
    }

    fn job(&self, root: &Spot<'_>, job: &SyncJob) {
        let field = written_of(root, &["integration_name", "integration"]);
        for (index, _, destination) in job.destinations().filter(|(_, _, it)| it.webhook.is_literal()) {
            let place = ["resources", &index.to_string(), "config", "id"].map(str::to_owned);
            self.exists_at(root, &place, Kind::Webhook, destination.webhook.source());
        }
        let Some(integration) = &job.integration else { return };
        self.exists(root, field, Kind::Integration, integration.as_str());
        let Some(integration) = self.environments(integration.as_str()) else { return };
        nodes(root, job, &integration);
    }

    fn trigger(&self, root: &Spot<'_>, trigger: &Trigger) {
        self.exists(root, "sync_job_id", Kind::SyncJob, trigger.job.as_str());
        self.exists(root, "integrated_account_id", Kind::Account, trigger.account.as_str());
        if let Some(webhook) = &trigger.webhook {
            self.exists(root, "webhook_id", Kind::Webhook, webhook.as_str());
        }
        let account = self.find(|checked| checked.account().filter(|account| account.id == trigger.account));
        let job = self.find(|checked| checked.sync_job().filter(|job| job.id == trigger.job));
        if let Some(job) = job {
            self.arguments(root, trigger, job);
        }
        if let (Some(account), Some(job)) = (account, job)
            && let Some(reads) = job.integration.as_ref().filter(|reads| **reads != account.integration)
            && self.integration(account.integration.as_str()).is_some()
        {
            let (reads, connects) = (reads.as_str(), account.integration.as_str());
            let message = format!("the job reads from {reads:?}, but this account connects to {connects:?}");
            let hint = format!("choose an account of {reads:?}");
            root.problem_at(&["integrated_account_id".to_owned()], &message, Some(&hint));
        }
    }

    /// What a trigger gives its runs, and where they deliver. What depends on the time of a run is left to that.
    fn arguments(&self, root: &Spot<'_>, trigger: &Trigger, job: &SyncJob) {
        if trigger.webhook.is_none() && !job.has_destinations() {
            let hint = "the webhook its runs deliver to; the job has no destinations of its own";
            root.problem("webhook_id is missing", Some(hint));
        }
        let args = match job.arguments_for(&trigger.args, &trigger.account, trigger.webhook.as_ref()) {
            Ok(args) => args,
            Err(problems) => {
                for problem in problems.iter() {
                    let steps: Vec<String> = steps(&problem.path).collect();
                    root.problem_at(&steps, &problem.message, problem.hint.as_deref());
                }
                return;
            }
        };
        match job.webhooks(&args, Millis(0)) {
            Ok(found) => {
                for delivers in found.iter().filter(|it| Some(&it.webhook) != trigger.webhook.as_ref()) {
                    self.exists(root, "args", Kind::Webhook, delivers.webhook.as_str());
                }
            }
            Err(problems) => {
                for problem in problems.iter() {
                    root.problem_at(&["args".to_owned()], &problem.message, problem.hint.as_deref());
                }
            }
        }
    }

    /// Reports a reference to nothing. A document that exists but has problems of its own is something.
    fn exists(&self, root: &Spot<'_>, field: &str, kind: Kind, id: &str) {
        self.exists_at(root, &[field.to_owned()], kind, id);
    }

    fn exists_at(&self, root: &Spot<'_>, place: &[String], kind: Kind, id: &str) {
        if self.elsewhere == Elsewhere::Perhaps {
            return;
        }
        let ids =
            || self.documents.iter().filter(|document| document.kind == kind).map(|document| &*document.id);
        if !ids().any(|known| known == id) {
            let message = format!("there is no {kind} {id:?}");
            root.problem_at(place, &message, Some(&hint(id, ids())));
        }
    }

    fn integration(&self, name: &str) -> Option<&Integration> {
        self.find(|checked| checked.integration().filter(|integration| integration.name.as_str() == name))
    }

    /// The integration with its mappings as the environment changes them.
    fn environments(&self, name: &str) -> Option<Cow<'_, Integration>> {
        let own = self.integration(name)?;
        let laid = unified::layered(self.document(Kind::Integration, name)?, self.documents, None);
        let laid = laid.and_then(|document| Integration::from_document(&document).ok());
        Some(laid.map_or(Cow::Borrowed(own), Cow::Owned))
    }

    /// Whether mappings are of models that there are; those of `before` are somebody else's business. `place` is where in the
    /// document the mappings of model and resource stand.
    fn known(
        &self,
        root: &Spot<'_>,
        integration: &Integration,
        before: Option<&Integration>,
        place: impl Fn(&str, &str) -> Vec<String>,
    ) {
        let models = self.models.get_or_init(|| UnifiedModel::all(self.documents.iter()));
        let own = integration
            .unified
            .keys()
            .filter(|name| before.is_none_or(|before| !before.unified.contains_key(*name)));
        for name in own {
            let Some((model, resource)) = name.split_once('/') else { continue };
            match models.get(model) {
                None if self.elsewhere == Elsewhere::Perhaps => {}
                None => {
                    let hint = hint(model, models.keys().map(String::as_str));
                    let message = format!("there is no unified model {model:?}");
                    root.problem_at(&place(model, resource), &message, Some(&hint));
                }
                Some(known) if !known.resources.contains_key(resource) => {
                    let hint = hint(resource, known.resources.keys().map(String::as_str));
                    let message = format!("the model has no resource {resource:?}");
                    root.problem_at(&place(model, resource), &message, Some(&hint));
                }
                Some(_) => {}
            }
        }
    }

    /// What a model's document changes of integrations' mappings.
    fn model(&self, root: &Spot<'_>, document: &Document) {
        let mappings = document.body.get("mappings").and_then(serde_json::Value::as_object);
        for name in mappings.into_iter().flat_map(|all| all.keys()) {
            self.exists_at(root, &["mappings".to_owned(), name.clone()], Kind::Integration, name);
            let (Some(own), Some(base)) = (self.document(Kind::Integration, name), self.integration(name))
            else {
                continue;
            };
            let Some(laid) = unified::layered(own, [document], None) else { continue };
            match Integration::from_document(&laid) {
                Err(problems) => {
                    let prefix = format!("mappings.{name}");
                    report(root, unified::placed(problems, &prefix, Some(&document.id)));
                }
                Ok(laid) => self.known(root, &laid, Some(base), |_, resource| {
                    ["mappings", name, resource].map(str::to_owned).to_vec()
                }),
            }
        }
    }

    /// What an account changes of its integration's mappings.
    fn account_layer(&self, root: &Spot<'_>, account: &Account) {
        let name = account.integration.as_str();
        let Some(changes) = &account.unified_override else { return };
        let (Some(own), Some(base)) = (self.document(Kind::Integration, name), self.environments(name))
        else {
            return;
        };
        let changes = serde_json::from_str(changes.as_str()).unwrap_or_default();
        let Some(laid) = unified::layered(own, self.documents, Some(&changes)) else { return };
        // There may be thousands of accounts: only what this one changes is read again.
        let laid = unified::only(laid, &changes);
        match Integration::from_document(&laid) {
            Err(problems) => report(root, unified::placed(problems, "unified_model_override", None)),
            Ok(laid) => self.known(root, &laid, Some(&base), |model, resource| {
                ["unified_model_override", model, resource].map(str::to_owned).to_vec()
            }),
        }
    }

    fn document(&self, kind: Kind, id: &str) -> Option<&Document> {
        self.documents.iter().find(|document| document.kind == kind && document.id == id)
    }

    fn find<T>(&self, wanted: impl Fn(&Checked) -> Option<&T>) -> Option<&T> {
        self.checked.iter().flatten().find_map(wanted)
    }
}

/// Reports what the nodes of `job` ask for that `integration` does not have, or does not take.
fn nodes(root: &Spot<'_>, job: &SyncJob, integration: &Integration) {
    for (index, node) in job.nodes.iter().enumerate() {
        // A request with an account of its own may be meant for another integration.
        let Some(node) = node.request().filter(|request| request.account.is_none()) else { continue };
        let place = |field: &str| ["resources".to_owned(), index.to_string(), field.to_owned()];
        let own = integration.resources.get(&node.resource).map(|methods| methods.keys().collect());
        let mapped =
            || integration.unified.get(&node.resource).map(|methods| methods.keys().collect::<Vec<_>>());
        let Some(methods) = own.or_else(mapped) else {
            let message =
                format!("integration {:?} has no resource {:?}", integration.name.as_str(), node.resource);
            let known = integration.resources.keys().chain(integration.unified.keys());
            let hint = hint(&node.resource, known.map(String::as_str));
            root.problem_at(&place("resource"), &message, Some(&hint));
            continue;
        };
        let Some(method) = integration.method(&node.resource, &node.method) else {
            let message = format!("resource {:?} has no method {:?}", node.resource, node.method);
            let hint = hint(&node.method, methods.into_iter().map(String::as_str));
            root.problem_at(&place("method"), &message, Some(&hint));
            continue;
        };
        asked::check(root, index, node, method, integration.mapping(&node.resource, &node.method));
        let needs_id = method.path.required_paths().contains(&vec!["id".to_owned()]);
        if needs_id && node.id.is_none() {
            let message =
                format!("{} of {} needs an id: its path is {}", node.method, node.resource, method.path);
            let hint = "write id: \"{{…}}\", for instance of a record this node depends on";
            root.problem_at(&place("id"), &message, Some(hint));
        }
    }
}

/// Reports what the integration's address and authorization need and the account doesn't have. A bare name is
/// looked for in the context, then in the credentials; a credential's name may have dots.
fn check_needs(root: &Spot<'_>, account: &Account, integration: &Integration) {
    let is_granted = integration.grant.as_ref().is_some_and(|grant| grant.fits(account));
    let has_credential = |path: &[String]| {
        let name = path.join(".");
        account.credentials.contains_key(&name) || (is_granted && name == "access_token")
    };
    for path in integration.account_paths() {
        let (field, path_in, there) = match path.split_first() {
            Some((first, rest)) if first == "credentials" => ("credentials", rest, has_credential(rest)),
            Some((first, rest)) if first == "context" => {
                ("context", rest, account.context.get(rest).is_some())
            }
            _ => ("context", path.as_slice(), account.context.get(&path).is_some() || has_credential(&path)),
        };
        if !there {
            let (shown, missing) = (path.join("."), path_in.join("."));
            let message = format!("integration {:?} needs {{{{{shown}}}}}", integration.name.as_str());
            root.problem_at(&[field.to_owned()], &message, Some(&format!("add {missing} to {field}")));
        }
    }
}

/// Problems that a layer causes, at their place in its document.
fn report(root: &Spot<'_>, problems: Vec<unified::PlacedProblem>) {
    for placed in problems {
        let steps: Vec<String> = placed.path.split('.').map(str::to_owned).collect();
        root.problem_at(&steps, &placed.problem.message, placed.problem.hint.as_deref());
    }
}

fn written_of<'n>(root: &Spot<'_>, names: &[&'n str]) -> &'n str {
    let written = names.iter().find(|name| root.value().get(**name).is_some());
    written.or(names.first()).copied().unwrap_or_default()
}

/// The steps of a place such as `args.codes[2]`.
fn steps(place: &str) -> impl Iterator<Item = String> {
    place.split(['.', '[']).map(|step| step.trim_end_matches(']').to_owned())
}

fn hint<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 10;
    let known: Vec<&str> = known.collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => "there is none at all; define it first".to_owned(),
        None if known.len() > SHOWN_MAX => format!("there are {}, …", known[..SHOWN_MAX].join(", ")),
        None if known.len() == 1 => format!("there is only {:?}", known[0]),
        None => format!("there are {}", known.join(", ")),
    }
}

fn problems_of(document: &Document, report: impl FnOnce(&Spot<'_>)) -> Vec<Problem> {
    let run = Checker::run(document, |root| {
        report(root);
        Some(())
    });
    run.err().into_iter().flat_map(Problems::into_vec).collect()
}
