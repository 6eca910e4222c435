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
    /// Within the batches of a node, when all of `after` are through.
    Within {
        /// `EachRecord` or `EachBatch`.
        home: Home,
        /// The nodes that must be through.
        after: Vec<usize>,
    },
    /// When all of these nodes are through.
    After(Vec<usize>),
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

impl Order<'_> {
    /// All sequences, each in its order.
    pub(super) fn sequences(&self) -> Result<BTreeMap<Home, Vec<usize>>, PlanError> {
        let mut homes: BTreeMap<usize, Home> = BTreeMap::new();
        for step in self.steps() {
            self.home(step, &mut homes, 0)?;
        }
        let mut befores = Befores::new();
        for step in self.steps() {
            self.constrain(step, &homes, &mut befores)?;
        }
        let mut members: BTreeMap<Home, Vec<usize>> = BTreeMap::new();
        for (step, home) in &homes {
            members.entry(*home).or_default().push(*step);
        }
        members.into_iter().map(|(home, steps)| Ok((home, self.sorted(&steps, &befores)?))).collect()
    }

    fn steps(&self) -> impl Iterator<Item = usize> {
        (0..self.places.len()).filter(|&index| self.places[index].is_some())
    }

    fn home(&self, step: usize, homes: &mut BTreeMap<usize, Home>, depth: usize) -> Result<Home, PlanError> {
        if let Some(home) = homes.get(&step) {
            return Ok(*home);
        }
        if depth > self.places.len() {
            return Err(PlanError(format!("node {:?} waits for itself", self.names[step])));
        }
        let home = match self.places[step].as_ref() {
            None => Home::Root,
            Some(Place::Top(home)) => *home,
            Some(Place::Within { home, .. }) => *home,
            Some(Place::After(nodes)) => {
                let mut common: Option<Home> = None;
                for node in nodes {
                    let home = self.home(self.owners[*node], homes, depth + 1)?;
                    common = Some(match common {
                        None => home,
                        Some(common) => self.common(common, home, homes, depth)?.ok_or_else(|| {
                            let message = "waits for nodes of different moments of the run";
                            PlanError(format!("node {:?} {message}", self.names[step]))
                        })?,
                    });
                }
                common.unwrap_or(Home::Root)
            }
        };
        homes.insert(step, home);
        Ok(home)
    }

    /// The sequence that this one stands in, and the step of that sequence which it belongs to.
    fn outer(
        &self,
        home: Home,
        homes: &mut BTreeMap<usize, Home>,
        depth: usize,
    ) -> Result<Option<(Home, usize)>, PlanError> {
        match home {
            Home::Root | Home::Complete | Home::Error => Ok(None),
            Home::EachRecord(node) | Home::EachBatch(node) => {
                let owner = self.owners[node];
                Ok(Some((self.home(owner, homes, depth + 1)?, owner)))
            }
        }
    }

    /// The innermost sequence that holds both.
    fn common(
        &self,
        one: Home,
        other: Home,
        homes: &mut BTreeMap<usize, Home>,
        depth: usize,
    ) -> Result<Option<Home>, PlanError> {
        let mut around = vec![one];
        let mut here = one;
        while let Some((outer, _)) = self.outer(here, homes, depth)? {
            around.push(outer);
            here = outer;
        }
        let mut here = other;
        loop {
            if around.contains(&here) {
                return Ok(Some(here));
            }
            match self.outer(here, homes, depth)? {
                Some((outer, _)) => here = outer,
                None => return Ok(None),
            }
        }
    }

    /// The step of the sequence `home` in which `step` is done.
    fn lifted(&self, step: usize, home: Home, homes: &BTreeMap<usize, Home>) -> Option<usize> {
        let mut here = step;
        loop {
            let own = *homes.get(&here)?;
            if own == home {
                return Some(here);
            }
            match own {
                Home::Root | Home::Complete | Home::Error => return None,
                Home::EachRecord(node) | Home::EachBatch(node) => here = self.owners[node],
            }
        }
    }

    /// Notes which steps of its sequence must come before `step`.
    fn constrain(
        &self,
        step: usize,
        homes: &BTreeMap<usize, Home>,
        befores: &mut Befores,
    ) -> Result<(), PlanError> {
        let home = homes[&step];
        let (after, within) = match self.places[step].as_ref() {
            Some(Place::After(nodes)) => (nodes, None),
            Some(Place::Within { home: Home::EachRecord(node) | Home::EachBatch(node), after }) => {
                (after, Some(*node))
            }
            Some(Place::Within { .. } | Place::Top(_)) | None => return Ok(()),
        };
        for node in after {
            let waited = self.owners[*node];
            if let Some(before) = self.lifted(waited, home, homes) {
                befores.entry(step).or_default().insert(before, step);
                continue;
            }
            // It stands outside: then what this step is part of must wait.
            let mut homes_too = homes.clone();
            let common = self.common(home, homes[&waited], &mut homes_too, 0)?;
            let pair = common.and_then(|common| {
                Some((self.lifted(step, common, homes)?, self.lifted(waited, common, homes)?))
            });
            match pair {
                Some((mine, before)) if mine != before => {
                    befores.entry(mine).or_default().insert(before, step);
                }
                Some(_) | None => return Err(self.never(step, *node, within)),
            }
        }
        Ok(())
    }

    fn never(&self, step: usize, waited: usize, within: Option<usize>) -> PlanError {
        let (name, waited) = (self.names[step], self.names[waited]);
        PlanError(match within {
            Some(parent) => format!(
                "node {name:?} is done for each record of {:?}, and so can't wait for {waited:?}, which ends after them",
                self.names[parent]
            ),
            None => format!("node {name:?} can't wait for {waited:?}"),
        })
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
