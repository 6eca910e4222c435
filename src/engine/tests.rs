//! Runs under every kind of bad luck: random plans, failing sources and webhooks, and a crash between any two
//! effects. A world without I/O plays Redis, the source and the webhooks, and keeps their ledgers; the checks
//! read only the ledgers.

mod driver;
mod evolve;
mod graphs;
mod limited;
mod plans;
mod world;

use proptest::prelude::*;

use crate::definition::job::ErrorHandling;
use crate::definition::webhook::EventType;
use crate::run::Status;

use world::{Luck, World};

/// Plays one run to its end and checks everything that must hold for any run.
fn play(seed: u64, luck: Luck) -> World {
    let mut world = World::new(seed, luck);
    world.play();
    world.check();
    world
}

proptest! {
    #[test]
    fn a_run_without_bad_luck_delivers_everything_once(seed: u64) {
        let world = play(seed, Luck::default());
        prop_assert_eq!(world.outcome().status, Status::Completed);
        prop_assert_eq!(world.missing(), Vec::<String>::new());
        prop_assert_eq!(world.repeated_pages(), 0);
    }

    #[test]
    fn crashes_lose_nothing_and_repeat_at_most_the_last_page(seed: u64) {
        let world = play(seed, Luck { crash: 0.15, ..Luck::default() });
        prop_assert_eq!(world.outcome().status, Status::Completed);
        prop_assert_eq!(world.missing(), Vec::<String>::new());
        prop_assert!(world.repeated_pages() <= world.crashes, "{} repeats, {} crashes", world.repeated_pages(), world.crashes);
    }

    #[test]
    fn outages_limits_and_crashes_together_lose_nothing(seed: u64) {
        let luck = Luck { crash: 0.08, deliver: 0.1, ack_lost: 0.05, transient: 0.1, limited: 0.1, ..Luck::default() };
        let world = play(seed, luck);
        prop_assert_eq!(world.outcome().status, Status::Completed);
        prop_assert_eq!(world.missing(), Vec::<String>::new());
    }

    #[test]
    fn requests_that_fail_for_good_are_reported_and_leave_no_silent_hole(seed: u64) {
        for errors in [ErrorHandling::Ignore, ErrorHandling::Batch] {
            let luck = Luck { crash: 0.05, permanent: 0.1, expired: 0.05, errors, ..Luck::default() };
            let world = play(seed, luck);
            prop_assert_eq!(world.outcome().status, Status::Completed);
            prop_assert!(world.missing().is_empty() || !world.checkpoint().progress.incomplete.is_empty());
            prop_assert_eq!(world.reported_errors() > 0, !world.checkpoint().progress.incomplete.is_empty());
        }
    }

    #[test]
    fn fail_fast_ends_at_the_first_error(seed: u64) {
        let world = play(seed, Luck { permanent: 0.2, errors: ErrorHandling::FailFast, ..Luck::default() });
        let failed = world.outcome().status == Status::Failed;
        prop_assert_eq!(failed, world.permanent_failures > 0);
        prop_assert!(failed || world.missing().is_empty());
    }

    #[test]
    fn a_dead_webhook_fails_the_run_and_resume_loses_nothing(seed: u64) {
        let mut world = World::new(seed, Luck { crash: 0.05, ..Luck::default() });
        world.dead_after = Some(3);
        world.play();
        world.check();
        if world.checkpoint().terminal_undelivered {
            let failed = world.outcome().status == Status::Failed;
            prop_assert_eq!(world.outcome().code.as_deref(), failed.then_some("delivery_exhausted"));
            world.dead_after = None;
            world.resume();
            world.play();
            world.check();
        }
        prop_assert_eq!(world.outcome().status, Status::Completed);
        prop_assert!(!world.checkpoint().terminal_undelivered);
        prop_assert_eq!(world.missing(), Vec::<String>::new());
    }

    #[test]
    fn a_stop_is_heeded_and_resume_goes_on_exactly_there(seed: u64, stop_at in 1u64..40) {
        let mut world = World::new(seed, Luck { crash: 0.05, deliver: 0.05, ..Luck::default() });
        world.stop_at = Some(stop_at);
        world.play();
        world.check();
        if world.outcome().status == Status::Stopped {
            world.stop_at = None;
            world.resume();
            world.play();
            world.check();
        }
        prop_assert_eq!(world.outcome().status, Status::Completed);
        prop_assert_eq!(world.missing(), Vec::<String>::new());
    }
}

#[test]
fn a_refusal_of_started_stops_the_run_before_anything_is_fetched() {
    let mut world = World::new(7, Luck::default());
    world.refuse = true;
    world.play();
    assert_eq!(world.outcome().status, Status::Stopped);
    assert_eq!(world.outcome().reason.as_deref(), Some("the webhook refused the run: not today"));
    assert_eq!(world.fetches, 0);
    assert_eq!(world.events(EventType::RunFailed), 0);
}

#[test]
fn a_page_whose_cursor_works_once_survives_a_crash_in_its_delivery() {
    for seed in 0..300 {
        let luck = Luck { crash: 0.2, deliver: 0.1, single_use_cursors: true, ..Luck::default() };
        let world = play(seed, luck);
        assert_eq!(world.missing(), Vec::<String>::new(), "seed {seed}");
    }
}
