//! The API over real HTTP and a real Redis, without a worker: nothing here ever starts a run.

mod definitions;
mod fixture;
mod jobs;
mod requests;
mod runs;
mod state;
