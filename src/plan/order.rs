//! In which sequence each step stands, and where in it.

use std::collections::{BTreeMap, BTreeSet};

use super::PlanError;

/// For each step those that must come before it, and the step because of which they must.
type Befores = BTreeMap<usize, BTreeMap<usize, usize>>;

/// A sequence of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Home {
    /// The run's own.
    Root,
    /// Before the run is completed.
    Complete,
    /// When the run is about to fail.
    Error,
    /// For each record of a batch of this node.
    EachRecord(usize),
    /// Once for each batch of this node.
    EachBatch(usize),
}

/// How a step comes to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In one of the run's own sequences.
    Top(Home),
    /// Within the batches of these nodes, in each of them, when all of `after` are through.
    Within {
        /// `EachRecord` or `EachBatch`.
        homes: Vec<Home>,
        /// The nodes that must be through.
        after: Vec<usize>,
    },
    /// When all of these nodes are through.
    After(Vec<usize>),
    /// When this node is through altogether, whatever it is done for.
    Last(usize),
}

/// The steps' sequences.
pub(super) struct Order<'a> {
    /// For each node its place, when it is a step.
    pub(super) places: &'a [Option<Place>],
    /// For each node the step that brings its batches; itself for a step.
    pub(super) owners: &'a [usize],
    /// For each node its name.
    pub(super) names: &'a [&'a str],
}

/// For each step the sequences it stands in.
type Homes = BTreeMap<usize, Vec<Home>>;

impl Order<'_> {
    /// All sequences, each in its order.
    pub(super) fn sequences(&self) -> Result<BTreeMap<Home, Vec<usize>>, PlanError> {
        let mut homes = Homes::new();
        for step in self.steps() {
            self.homes(step, &mut homes, 0)?;
        }
        let mut befores = Befores::new();
        for step in self.steps() {
            self.constrain(step, &homes, &mut befores)?;
        }
        let mut members: BTreeMap<Home, Vec<usize>> = BTreeMap::new();
        for (step, own) in &homes {
            own.iter().for_each(|home| members.entry(*home).or_default().push(*step));
        }
        members.into_iter().map(|(home, steps)| Ok((home, self.sorted(&steps, &befores)?))).collect()
    }

    fn steps(&self) -> impl Iterator<Item = usize> {
        (0..self.places.len()).filter(|&index| self.places[index].is_some())
    }

    /// The sequences that a step stands in: several, where it is done for the records of several nodes.
    fn homes(&self, step: usize, homes: &mut Homes, depth: usize) -> Result<Vec<Home>, PlanError> {
        if let Some(found) = homes.get(&step) {
            return Ok(found.clone());
        }
        if depth > self.places.len() {
            let message = format!("node {:?} waits for itself", self.names[step]);
            return Err(PlanError { message, node: step });
        }
        let found = match self.places[step].as_ref() {
            None => vec![Home::Root],
            Some(Place::Top(home)) => vec![*home],
            Some(Place::Within { homes, .. }) => homes.clone(),
            Some(Place::Last(node)) => {
                let mut outermost = Vec::new();
                for home in self.homes(self.owners[*node], homes, depth + 1)? {
                    outermost.extend(self.outward(home, homes, depth)?);
                }
                let ends = [Home::Root, Home::Complete, Home::Error];
                outermost.into_iter().filter(|home| ends.contains(home)).take(1).collect()
            }
            Some(Place::After(nodes)) => {
                let mut around: Option<Vec<Home>> = None;
                for node in nodes {
                    for home in self.homes(self.owners[*node], homes, depth + 1)? {
                        let chains = self.outward(home, homes, depth)?;
                        around = Some(match around {
                            None => chains,
                            Some(around) => around.into_iter().filter(|home| chains.contains(home)).collect(),
                        });
                    }
                }
                match around.as_deref() {
                    None => vec![Home::Root],
                    Some([innermost, ..]) => vec![*innermost],
                    Some([]) => {
                        let name = self.names[step];
                        let message =
                            format!("node {name:?} waits for nodes of different moments of the run");
                        return Err(PlanError { message, node: step });
                    }
                }
            }
        };
        homes.insert(step, found.clone());
        Ok(found)
    }

    /// A sequence and those around it, the innermost first.
    fn outward(&self, home: Home, homes: &mut Homes, depth: usize) -> Result<Vec<Home>, PlanError> {
        let mut found = vec![home];
        let mut next = 0;
        while let Some(&here) = found.get(next) {
            next += 1;
            if let Home::EachRecord(node) | Home::EachBatch(node) = here {
                for outer in self.homes(self.owners[node], homes, depth + 1)? {
                    if !found.contains(&outer) {
                        found.push(outer);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The steps of the sequence `home` in which `step` is done.
    fn lifted(&self, step: usize, home: Home, homes: &Homes) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = vec![step];
        let mut seen = BTreeSet::new();
        while let Some(here) = open.pop().filter(|_| seen.len() <= self.places.len()) {
            if !seen.insert(here) {
                continue;
            }
            for own in homes.get(&here).into_iter().flatten() {
                match own {
                    _ if *own == home => found.push(here),
                    Home::Root | Home::Complete | Home::Error => {}
                    Home::EachRecord(node) | Home::EachBatch(node) => open.push(self.owners[*node]),
                }
            }
        }
        found
    }

    /// Notes which steps of its sequences must come before `step`.
    fn constrain(&self, step: usize, homes: &Homes, befores: &mut Befores) -> Result<(), PlanError> {
        let (after, within) = match self.places[step].as_ref() {
            Some(Place::After(nodes)) => (nodes.clone(), None),
            Some(Place::Last(node)) => (vec![*node], None),
            Some(Place::Within { homes, after }) => (
                after.clone(),
                homes.iter().find_map(|home| match home {
                    Home::EachRecord(node) | Home::EachBatch(node) => Some(*node),
                    Home::Root | Home::Complete | Home::Error => None,
                }),
            ),
            Some(Place::Top(_)) | None => return Ok(()),
        };
        for node in &after {
            let waited = self.owners[*node];
            for home in &homes[&step] {
                let inside = self.lifted(waited, *home, homes);
                if !inside.is_empty() {
                    inside.into_iter().for_each(|before| {
                        befores.entry(step).or_default().insert(before, step);
                    });
                    continue;
                }
                // It stands outside: then what this step is part of must wait.
                let mut known = homes.clone();
                let around = self.outward(*home, &mut known, 0)?;
                let common = around.iter().find(|home| !self.lifted(waited, **home, homes).is_empty());
                let Some(common) = common else { return Err(self.never(step, *node, within)) };
                for mine in self.lifted(step, *common, homes) {
                    for before in self.lifted(waited, *common, homes) {
                        if mine == before {
                            return Err(self.never(step, *node, within));
                        }
                        befores.entry(mine).or_default().insert(before, step);
                    }
                }
            }
        }
        Ok(())
    }

    fn never(&self, step: usize, waited: usize, within: Option<usize>) -> PlanError {
        let (name, waited) = (self.names[step], self.names[waited]);
        let message = match within {
            Some(parent) => format!(
                "node {name:?} is done for each record of {:?}, and so can't wait for {waited:?}, which ends after them",
                self.names[parent]
            ),
            None => format!("node {name:?} can't wait for {waited:?}"),
        };
        PlanError { message, node: step }
    }

    /// `steps` so that each comes after those it waits for; as written, where that doesn't say.
    fn sorted(&self, steps: &[usize], befores: &Befores) -> Result<Vec<usize>, PlanError> {
        let mut left: BTreeSet<usize> = steps.iter().copied().collect();
        let mut sorted = Vec::new();
        while !left.is_empty() {
            let free = left.iter().copied().find(|step| {
                befores.get(step).is_none_or(|before| before.keys().all(|before| !left.contains(before)))
            });
            let Some(step) = free else {
                // Written dependencies have no circle, so one of these comes of a step further in.
                let edges = left.iter().flat_map(|step| {
                    befores
                        .get(step)
                        .into_iter()
                        .flatten()
                        .map(|(before, because)| (*step, *before, *because))
                });
                let mut inner =
                    edges.filter(|(step, before, because)| left.contains(before) && because != step);
                let (step, before, because) = inner.next_back().unwrap_or_default();
                return Err(self.never(because, before, Some(step)));
            };
            left.remove(&step);
            sorted.push(step);
        }
        Ok(sorted)
    }
}
