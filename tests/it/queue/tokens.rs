//! Access tokens: one renews at a time, and what it got counts unless somebody else renewed meanwhile.

use rapidbridge::id::AccountId;
use rapidbridge::store::tokens::{KeptToken, Renewal};

use super::bench::Bench;

fn kept(generation: u64, sealed: &str, refused: &str) -> KeptToken {
    KeptToken { generation, sealed: sealed.to_owned(), refused: refused.to_owned() }
}

#[tokio::test]
async fn one_renews_at_a_time_and_late_tokens_do_not_replace_newer_ones() {
    let bench = Bench::start().await;
    let store = &bench.store;
    let account: AccountId = "acme".parse().unwrap();
    assert_eq!(store.token(&account).await.unwrap(), KeptToken::default());
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Yours);
    assert!(matches!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Wait(_)));
    // A failure lets the next one try.
    assert!(store.end_renewal(&account, 0, "", "").await.unwrap());
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Yours);
    assert!(store.end_renewal(&account, 0, "one", "").await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(1, "one", ""));
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Done);
    assert!(!store.end_renewal(&account, 0, "late", "").await.unwrap());
    // A refusal leaves the tokens; whoever was at it longer and got new ones is still right.
    assert_eq!(store.begin_renewal(&account, 1).await.unwrap(), Renewal::Yours);
    assert!(store.end_renewal(&account, 1, "", "no").await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(1, "one", "no"));
    assert!(store.end_renewal(&account, 1, "two", "").await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(2, "two", ""));
    // They go with their account.
    store.forget_account(&account).await.unwrap();
    assert_eq!(store.token(&account).await.unwrap(), KeptToken::default());
}
