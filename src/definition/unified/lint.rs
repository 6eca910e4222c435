//! What a mapping leaves out of its model, or has that the model doesn't know. Nothing of this is wrong: a source may not
//! have it. But somebody should have looked.

use std::collections::BTreeMap;
use std::fmt;

use super::UnifiedModel;
use crate::definition::Integration;

/// One thing that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The model's resource (`ticketing/tickets`).
    pub resource: String,
    /// The method.
    pub method: String,
    /// What is to be looked at.
    pub what: What,
}

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// There is no such model.
    UnknownModel,
    /// The model has no such resource.
    UnknownResource,
    /// These members of the model are not made.
    Unmapped(Vec<String>),
    /// These are made, and the model doesn't know them.
    NotInModel(Vec<String>),
    /// Lists can't be asked with these.
    UnmappedFilters(Vec<String>),
    /// It is one expression: what it makes can't be told from its text.
    Opaque,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.resource, self.method, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModel => write!(f, "there is no such model"),
            Self::UnknownResource => write!(f, "the model has no such resource"),
            Self::Unmapped(names) => write!(f, "not mapped: {}", names.join(", ")),
            Self::NotInModel(names) => write!(f, "not in the model: {}", names.join(", ")),
            Self::UnmappedFilters(names) => write!(f, "can't be asked with: {}", names.join(", ")),
            Self::Opaque => write!(f, "one expression; what it leaves out can't be told"),
        }
    }
}

/// What is to be looked at in the mappings of `integration`.
pub fn findings(integration: &Integration, models: &BTreeMap<String, UnifiedModel>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, methods) in &integration.unified {
        let (model, resource) = name.split_once('/').unwrap_or((name, ""));
        for (method, mapping) in methods {
            let mut found = |what| {
                findings.push(Finding { resource: name.clone(), method: method.clone(), what });
            };
            let Some(model) = models.get(model) else {
                found(What::UnknownModel);
                continue;
            };
            let Some(resource) = model.resources.get(resource) else {
                found(What::UnknownResource);
                continue;
            };
            let known = resource.members();
            match mapping.response.as_ref().map(|mapped| &mapped.members) {
                Some(Some(members)) => {
                    let unmapped = missing(&known, members);
                    let foreign = missing(members, &known);
                    unmapped
                        .map(What::Unmapped)
                        .into_iter()
                        .chain(foreign.map(What::NotInModel))
                        .for_each(&mut found);
                }
                Some(None) => found(What::Opaque),
                None => {}
            }
            if method == "list"
                && let Some(taken) = mapping.filters()
                && let Some(names) = missing(&resource.filters(), &taken)
            {
                found(What::UnmappedFilters(names));
            }
        }
    }
    findings
}

/// Those of `wanted` that are not in `there`, if there are any.
fn missing(wanted: &[String], there: &[String]) -> Option<Vec<String>> {
    let missing: Vec<String> = wanted.iter().filter(|name| !there.contains(name)).cloned().collect();
    (!missing.is_empty()).then_some(missing)
}
