//! What jobs remember, as the store keeps it.

use std::collections::BTreeMap;

use super::World;
use crate::engine::machine::{Mark, Recall};
use crate::json::Json;

impl World {
    pub(super) fn recall(&self, what: &Recall) -> Option<Json> {
        let of = |set: &String| self.sets.get(set);
        match what {
            Recall::State { state_key, key } => self.cells.get(&(state_key.clone(), key.clone())).cloned()?,
            Recall::Known { set, ids } => {
                let known = |id: &String| of(set)?.get(id).map(|(digest, _)| digest.clone());
                Some(Json::of(&ids.iter().map(known).collect::<Vec<_>>()))
            }
            Recall::Before { set, order, most } => {
                let before = of(set).into_iter().flatten().filter(|(_, (_, own))| own < order);
                Some(Json::of(&before.map(|(id, _)| id).take(*most).collect::<Vec<_>>()))
            }
            Recall::Size { set } => Some(Json::of(&of(set).map_or(0, BTreeMap::len))),
            Recall::Watermark { set } => self.watermarks.get(set).cloned(),
        }
    }

    pub(super) fn mark(&mut self, mark: &Mark) {
        match mark.clone() {
            Mark::Seen { set, id, digest, order } => {
                self.sets.entry(set).or_default().insert(id, (digest, order));
            }
            Mark::Gone { set, id } => {
                self.sets.entry(set).or_default().remove(&id);
            }
            Mark::Trim { set, from } => {
                self.sets.entry(set).or_default().retain(|_, (_, order)| *order >= from)
            }
            Mark::Watermark { set, value } => {
                self.watermarks.insert(set, value);
            }
        }
    }
}
