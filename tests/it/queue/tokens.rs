//! Access tokens: one renews at a time, and what it got counts unless somebody else renewed meanwhile.

use rapidbridge::clock::Millis;
use rapidbridge::id::AccountId;
use rapidbridge::store::tokens::{KeptToken, Refusal, Renewal, Renewed};

use super::bench::Bench;

fn kept(generation: u64, sealed: &str, refused: Option<&Refusal>) -> KeptToken {
    KeptToken { generation, sealed: sealed.to_owned(), refused: refused.cloned() }
}

#[tokio::test]
async fn one_renews_at_a_time_and_late_tokens_do_not_replace_newer_ones() {
    let bench = Bench::start().await;
    let store = &bench.store;
    let account: AccountId = "acme".parse().unwrap();
    let no = Refusal { of: "what it had".to_owned(), at: Millis(7), message: "no".to_owned() };
    assert_eq!(store.token(&account).await.unwrap(), KeptToken::default());
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Yours);
    assert!(matches!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Wait(_)));
    // A failure lets the next one try.
    assert!(store.end_renewal(&account, 0, Renewed::Failed).await.unwrap());
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Yours);
    assert!(store.end_renewal(&account, 0, Renewed::Tokens("one")).await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(1, "one", None));
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Done);
    assert!(!store.end_renewal(&account, 0, Renewed::Tokens("late")).await.unwrap());
    // A refusal leaves the tokens; whoever was at it longer and got new ones is still right.
    assert_eq!(store.begin_renewal(&account, 1).await.unwrap(), Renewal::Yours);
    assert!(store.end_renewal(&account, 1, Renewed::Refused(&no)).await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(1, "one", Some(&no)));
    assert!(store.end_renewal(&account, 1, Renewed::Tokens("two")).await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(2, "two", None));
    // They go with their account.
    store.forget_account(&account).await.unwrap();
    assert_eq!(store.token(&account).await.unwrap(), KeptToken::default());
}
