//! Budgets of requests: shared by all who spend of them, each account's own.

use std::time::Duration;

use rapidbridge::id::{AccountId, IntegrationName};
use rapidbridge::store::budget::Counted;

use super::bench::Bench;

#[tokio::test]
async fn a_budget_is_spent_once_by_all_together() {
    let bench = Bench::start().await;
    let (acme, other): (AccountId, AccountId) = ("acme".parse().unwrap(), "other".parse().unwrap());
    // So long that nothing of it fills while the test runs.
    let per = Duration::from_secs(24 * 3600);
    for _ in 0..5 {
        assert_eq!(bench.store.spend(Counted::Account(&acme), Some((5, per))).await.unwrap(), None);
    }
    let wait = bench.store.spend(Counted::Account(&acme), Some((5, per))).await.unwrap().unwrap();
    assert!(wait <= per / 5 && wait > per / 6, "{wait:?}: the time of one request");
    assert_eq!(bench.store.spend(Counted::Account(&other), Some((5, per))).await.unwrap(), None);
    // That of an application is apart from that of an account of the same name, and its gate counts.
    let application: IntegrationName = "acme".parse().unwrap();
    let whose = Counted::Application(&application);
    assert_eq!(bench.store.spend(whose, Some((5, per))).await.unwrap(), None);
    assert_eq!(bench.store.spend(whose, None).await.unwrap(), None);
    bench.store.close_gate(Counted::Account(&other), 0, per).await.unwrap();
    assert_eq!(bench.store.spend(Counted::Account(&other), Some((5, per))).await.unwrap(), None);
    bench.store.close_gate(whose, 0, per).await.unwrap();
    assert!(bench.store.spend(whose, None).await.unwrap().unwrap() > per / 2);
}
