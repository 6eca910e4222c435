//! Access tokens: one renews at a time, and what it got counts unless somebody else renewed meanwhile.

use std::time::Duration;

use rapidbridge::clock::Millis;
use rapidbridge::id::AccountId;
use rapidbridge::json::Json;
use rapidbridge::store::announcements::Announcement;
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
    let told = Announcement {
        event: "e".to_owned(),
        at: Millis(7),
        payload: Json::empty_object(),
        told: Vec::new(),
        tries: 0,
    };
    let partition = account.partition(store.partitions());
    let due = async || store.take_announcements(partition).await.unwrap();
    assert_eq!(store.token(&account).await.unwrap(), KeptToken::default());
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Yours);
    assert!(matches!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Wait(_)));
    // A failure lets the next one try.
    assert!(store.end_renewal(&account, 0, Renewed::Failed, &told).await.unwrap());
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Yours);
    assert!(store.end_renewal(&account, 0, Renewed::Tokens("one"), &told).await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(1, "one", None));
    assert_eq!(store.begin_renewal(&account, 0).await.unwrap(), Renewal::Done);
    assert!(!store.end_renewal(&account, 0, Renewed::Tokens("late"), &told).await.unwrap());
    assert_eq!(due().await, [], "nothing happened that anybody has to know");
    // A refusal leaves the tokens; whoever was at it longer and got new ones is still right.
    assert_eq!(store.begin_renewal(&account, 1).await.unwrap(), Renewal::Yours);
    assert!(store.end_renewal(&account, 1, Renewed::Refused(&no), &told).await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(1, "one", Some(&no)));
    assert!(store.end_renewal(&account, 1, Renewed::Tokens("two"), &told).await.unwrap());
    assert_eq!(store.token(&account).await.unwrap(), kept(2, "two", None));
    let audit = store.audit().await.unwrap();
    assert!(!audit.leftovers.iter().any(|left| left.contains("announce")), "{audit}");
    // Both are told, each to one that takes it; what could not be told comes again.
    let found = due().await;
    let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    assert!(ids[0].starts_with("acme:1:refused:") && ids[1] == "acme:2", "{ids:?}");
    assert_eq!(due().await, [], "taken");
    store.end_announcement(partition, ids[0], None).await.unwrap();
    let again = Announcement { tries: 1, ..found[1].1.clone() };
    store.end_announcement(partition, ids[1], Some((&again, Duration::ZERO))).await.unwrap();
    assert_eq!(due().await, [("acme:2".to_owned(), again)]);
    store.end_announcement(partition, "acme:2", None).await.unwrap();
    // They go with their account.
    store.forget_account(&account).await.unwrap();
    assert_eq!(store.token(&account).await.unwrap(), KeptToken::default());
}
