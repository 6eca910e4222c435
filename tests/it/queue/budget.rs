//! Budgets of requests: shared by all who spend of them, each account's own; and the gates that are passed to spend.

use std::time::Duration;

use rapidbridge::id::{AccountId, IntegrationName};
use rapidbridge::store::budget::{Counted, Spent};

use super::bench::Bench;

const UNGATED: Spent = Spent::Sent { generation: 0, passes: false };

#[tokio::test]
async fn a_budget_is_spent_once_by_all_together() {
    let bench = Bench::start().await;
    let (acme, other): (AccountId, AccountId) = ("acme".parse().unwrap(), "other".parse().unwrap());
    let (acme, other) = (Counted::Account(&acme), Counted::Account(&other));
    // So long that nothing of it fills while the test runs.
    let per = Duration::from_secs(24 * 3600);
    let budget = Some((5, per));
    for _ in 0..5 {
        assert_eq!(bench.store.spend(acme, budget, false).await.unwrap(), UNGATED);
    }
    let Spent::Limited(wait) = bench.store.spend(acme, budget, false).await.unwrap() else { panic!("sent") };
    assert!(wait <= per / 5 && wait > per / 6, "{wait:?}: the time of one request");
    assert_eq!(bench.store.spend(other, budget, false).await.unwrap(), UNGATED);
    // That of an application is apart from that of an account of the same name.
    let application: IntegrationName = "acme".parse().unwrap();
    let whose = Counted::Application(&application);
    assert_eq!(bench.store.spend(whose, budget, true).await.unwrap(), UNGATED);
    assert_eq!(bench.store.spend(whose, None, true).await.unwrap(), UNGATED);
    // An account's gate counts where its own runs don't pass it.
    bench.store.close_gate(other, 0, per).await.unwrap();
    assert_eq!(bench.store.spend(other, budget, false).await.unwrap(), UNGATED);
    for (closed, budget) in [(other, budget), (whose, None)] {
        bench.store.close_gate(closed, 0, per).await.unwrap();
        let spent = bench.store.spend(closed, budget, true).await.unwrap();
        assert!(matches!(spent, Spent::Limited(wait) if wait > per / 2), "{spent:?}");
    }
}

/// An opened gate is passed by one until it has its answer, then by twice as many in each step, and at last by all.
#[tokio::test]
async fn an_opened_gate_is_passed_by_one_until_it_has_its_answer() {
    let bench = Bench::start().await;
    let application: IntegrationName = "helpdesk".parse().unwrap();
    let whose = Counted::Application(&application);
    let spend = async |budget| bench.store.spend(whose, budget, true).await.unwrap();
    // It opens at once.
    let (old, _) = bench.store.close_gate(whose, 0, Duration::ZERO).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(spend(Some((1, day))).await, Spent::Sent { generation: old, passes: true });
    let (generation, _) = bench.store.close_gate(whose, old, Duration::ZERO).await.unwrap();
    // Who may not send by the budget is not the one that passes.
    assert!(matches!(spend(Some((1, day))).await, Spent::Limited(_)));
    let passes = Spent::Sent { generation, passes: true };
    assert_eq!(spend(None).await, passes);
    assert!(matches!(spend(None).await, Spent::Held(_)));
    // What was asked before the gate closed says nothing now, neither for it nor against it.
    assert!(!bench.store.pass_gate(whose, old).await.unwrap());
    assert!(matches!(spend(None).await, Spent::Held(_)));
    assert_eq!(bench.store.close_gate(whose, old, day).await.unwrap().0, generation);
    assert!(bench.store.pass_gate(whose, generation).await.unwrap());
    assert!(!bench.store.pass_gate(whose, generation).await.unwrap(), "it was said before");
    for width in [2, 4, 8, 16, 32, 64] {
        let mut through = 0;
        while spend(None).await == passes {
            through += 1;
        }
        assert_eq!(through, width);
        let held = spend(None).await;
        assert!(matches!(held, Spent::Held(wait) if wait <= Duration::from_secs(1)), "{held:?}");
        assert!(!bench.store.pass_gate(whose, generation).await.unwrap(), "only the first is waited for");
        end_step(&bench, "application:helpdesk").await;
    }
    assert_eq!(spend(None).await, Spent::Sent { generation, passes: false });
    // A gate that nobody came to for long limits nobody either, once one has passed it.
    let (generation, _) = bench.store.close_gate(whose, generation, Duration::ZERO).await.unwrap();
    assert_eq!(spend(None).await, Spent::Sent { generation, passes: true });
    let _: u64 = bench.raw(&["HSET", &bench.key("gate:application:helpdesk"), "till", "1"]).await;
    assert_eq!(spend(None).await, Spent::Sent { generation, passes: false });
}

/// The step of an opened gate is over, as after its time.
pub(super) async fn end_step(bench: &Bench, whose: &str) {
    let now = bench.store.now().await.unwrap().0.to_string();
    let _: u64 = bench.raw(&["HSET", &bench.key(&format!("gate:{whose}")), "till", &now]).await;
    let _: u64 = bench.raw(&["ZADD", &bench.key("asleep"), "XX", &now, whose]).await;
}
