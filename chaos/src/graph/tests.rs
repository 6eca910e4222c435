use rapidbridge::definition::DefinitionSet;
use serde_json::{Value, json};

use super::*;

#[test]
fn every_trial_has_every_theme() {
    for seed in 0..40 {
        assert_eq!(of_seed(seed).len(), draw::THEMES.len(), "seed {seed}");
    }
}
