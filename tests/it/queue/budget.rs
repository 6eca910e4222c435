//! Budgets of requests: shared by all who spend of them, each account's own.

use std::time::Duration;

use rapidbridge::id::AccountId;

use super::bench::Bench;

#[tokio::test]
async fn a_budget_is_spent_once_by_all_together() {
    let bench = Bench::start().await;
    let (acme, other): (AccountId, AccountId) = ("acme".parse().unwrap(), "other".parse().unwrap());
    // So long that nothing of it fills while the test runs.
    let per = Duration::from_secs(24 * 3600);
    for _ in 0..5 {
        assert_eq!(bench.store.spend(&acme, 5, per).await.unwrap(), None);
    }
    let wait = bench.store.spend(&acme, 5, per).await.unwrap().unwrap();
    assert!(wait <= per / 5 && wait > per / 6, "{wait:?}: the time of one request");
    assert_eq!(bench.store.spend(&other, 5, per).await.unwrap(), None);
}
