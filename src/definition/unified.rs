//! Unified models: one shape of records over many integrations.
//!
//! A *model* says what its resources' records look like ([`UnifiedModel`]; `ticketing` and `crm` are there already). A
//! *mapping* ([`Mapping`]) makes such records of those of one integration. It stands in the integration; the environment
//! changes it in its own document of the model, and an account in `unified_model_override`. [`layered`] lays the three over
//! each other, which gives an integration like any other: that is what a run pins and what is executed.

mod layers;
mod lint;
mod mapping;
mod model;

pub use layers::layered;
pub(super) use layers::{PlacedProblem, only, placed};
pub use lint::{Finding, What, findings};
pub(super) use mapping::mappings;
pub use mapping::{LIMIT, Mapped, Mapping, REMOTE_QUERY};
pub use model::{ModelResource, UnifiedModel};
