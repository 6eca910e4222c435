//! A small sender of our own against the receiver: its counts must be right, and it must see what is wrong.

use super::*;

const RUN: &str = "run-1";
const SOON: Duration = Duration::from_secs(10);

/// Signs as the standard says and posts.
struct Sender {
    client: reqwest::Client,
    url: String,
    secret: String,
    epoch: u64,
}

impl Sender {
    fn new(receiver: &Receiver) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, url: receiver.url(), secret: Settings::default().secret, epoch: 7 }
    }

    async fn post(&self, id: &str, seq: Option<u64>, body: String) -> Result<u16, reqwest::Error> {
        let webhook = standardwebhooks::Webhook::from_bytes(self.secret.clone().into_bytes()).unwrap();
        let timestamp = clock::now().0 / 1000;
        let mut request = self
            .client
            .post(&self.url)
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", webhook.sign(id, timestamp, body.as_bytes()).unwrap())
            .header("rapidbridge-run", RUN)
            .header("rapidbridge-epoch", self.epoch)
            .header("rapidbridge-attempt", 1);
        if let Some(seq) = seq {
            request = request.header("rapidbridge-seq", seq);
        }
        Ok(request.body(body).send().await?.status().as_u16())
    }

    async fn page(&self, id: &str, seq: u64, records: &str) -> u16 {
        self.post(id, Some(seq), page(id, seq, records)).await.unwrap()
    }

    async fn lifecycle(&self, id: &str, event: &str) -> u16 {
        let body = format!(r#"{{"id":"{id}","event":"sync_job_run:{event}","payload":{{"id":"{RUN}"}}}}"#);
        self.post(id, None, body).await.unwrap()
    }
}

fn page(id: &str, seq: u64, records: &str) -> String {
    format!(
        r#"{{"id":"{id}","event":"sync_job_run:record","payload":{{"resource":"tickets","records":[{records}],"meta":{{"sync_job_run_id":"{RUN}","seq":{seq}}}}}}}"#
    )
}

async fn pair() -> (Receiver, Sender) {
    let receiver = Receiver::start(Settings::default()).await.unwrap();
    let sender = Sender::new(&receiver);
    (receiver, sender)
}

#[tokio::test]
async fn a_faultless_run_is_counted_and_found_faultless() {
    let (receiver, sender) = pair().await;
    assert_eq!(sender.lifecycle("a", "started").await, 200);
    // Two ids that a float would make one; the same record twice; an id inside another object.
    sender.page("b", 1, r#"{"id":9007199254740992},{"id":9007199254740993}"#).await;
    sender.page("c", 2, r#"{"x":{"id":1},"id":"9007199254740993"},{"id":9007199254740993}"#).await;
    sender.lifecycle("d", "completed").await;
    receiver.read(|ledger| {
        let run = ledger.run(RUN);
        assert_eq!((run.last_acked_seq, run.missing_seqs()), (2, vec![]));
        assert_eq!((run.resources["tickets"].unique.len(), run.resources["tickets"].total), (3, 4));
        assert_eq!(run.event("sync_job_run:started"), EventLedger { requests: 1, acked: 1, distinct: 1 });
        assert_eq!(run.ended.as_deref(), Some("sync_job_run:completed"));
        assert!(ledger.all_ended());
        assert_eq!((ledger.requests.len(), ledger.pages(), ledger.acknowledged), (4, 2, 4));
        assert_eq!(ledger.duplicates, Duplicates::default());
        assert_eq!(ledger.problems, Vec::<String>::new());
    });
}

#[tokio::test]
async fn repeats_gaps_and_zombies_are_found() {
    let (receiver, mut sender) = pair().await;
    sender.page("a", 1, r#"{"id":1}"#).await;
    sender.page("a", 1, r#"{"id":1}"#).await; // the same again: a duplicate, in order
    sender.page("b", 1, r#"{"id":2}"#).await; // the same page with other content: a duplicate page
    receiver.read(|ledger| {
        assert_eq!(ledger.duplicates, Duplicates { requests: 1, pages: 2, records: 2 });
        assert_eq!((ledger.out_of_order, ledger.id_conflicts), (0, 0));
    });
    sender.page("c", 3, r#"{"id":3}"#).await; // a gap
    sender.page("d", 1, r#"{"id":1}"#).await; // back behind the last one
    receiver.read(|ledger| {
        assert_eq!(ledger.out_of_order, 2);
        assert_eq!(ledger.run(RUN).missing_seqs(), [2]);
    });
    sender.epoch = 6;
    sender.page("e", 4, r#"{"id":4}"#).await;
    assert_eq!(receiver.read(|ledger| ledger.stale_epochs), 1);
    sender.lifecycle("f", "completed").await;
    sender.lifecycle("f", "completed").await;
    assert_eq!(receiver.read(|ledger| ledger.out_of_order), 2, "a repeat of the end is no disorder");
    sender.lifecycle("u", "updated").await; // nobody waits for it: it may come at any time
    sender.page("g", 5, r#"{"id":5}"#).await;
    receiver.read(|ledger| {
        assert_eq!(ledger.out_of_order, 3);
        assert_eq!(
            ledger.run(RUN).event("sync_job_run:completed"),
            EventLedger { requests: 2, acked: 2, distinct: 1 }
        );
    });
}

#[tokio::test]
async fn one_id_with_two_bodies_and_bodies_that_contradict_their_headers_are_found() {
    let (receiver, sender) = pair().await;
    sender.page("a", 1, r#"{"id":1}"#).await;
    sender.page("a", 1, r#"{"id":2}"#).await;
    assert_eq!(receiver.read(|ledger| ledger.id_conflicts), 1);
    sender.post("b", Some(2), page("other", 2, "")).await.unwrap();
    assert_eq!(receiver.read(|ledger| (ledger.id_conflicts, ledger.malformed)), (2, 0));
    sender.post("c", Some(4), page("c", 3, "")).await.unwrap();
    sender.post("d", None, "no json".to_owned()).await.unwrap();
    receiver.read(|ledger| {
        assert_eq!(ledger.malformed, 2);
        assert!(
            ledger.problems.iter().any(|problem| problem.contains("seq is Some(3)")),
            "{:?}",
            ledger.problems
        );
    });
}

#[tokio::test]
async fn bad_signatures_are_refused_and_counted() {
    let (receiver, mut sender) = pair().await;
    sender.secret = "another".to_owned();
    assert_eq!(sender.page("a", 1, r#"{"id":1}"#).await, 401);
    sender.secret = Settings::default().secret;
    assert_eq!(sender.page("a", 1, r#"{"id":1}"#).await, 200);
    receiver.set_secret("rotated");
    assert_eq!(sender.page("b", 2, r#"{"id":2}"#).await, 401);
    let plain = sender.client.post(&sender.url).body("{}").send().await.unwrap();
    assert_eq!(plain.status(), 401);
    receiver.read(|ledger| {
        assert_eq!((ledger.bad_signatures, ledger.requests.len()), (3, 1));
        assert_eq!(ledger.unique("tickets").len(), 1);
    });
}

#[test]
fn the_truto_signature_is_checked_when_it_is_there() {
    let body = br#"{"a":1}"#;
    let webhook = standardwebhooks::Webhook::from_bytes(b"s3cret".to_vec()).unwrap();
    let timestamp = clock::now().0 / 1000;
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "a".parse().unwrap());
    headers.insert("webhook-timestamp", timestamp.into());
    headers.insert("webhook-signature", webhook.sign("a", timestamp, body).unwrap().parse().unwrap());
    assert_eq!(signature::verify("s3cret", &headers, body), Ok(signature::Signatures::Standard));
    // printf '{"a":1}' | openssl dgst -sha256 -hmac s3cret -binary | base64
    let good = "format=sha256,v=WRDmIBbvUDQnLJJsJwcZkqRlwjNc7PQYUb2gcVd/T20=";
    headers.insert("x-truto-signature", good.parse().unwrap());
    assert_eq!(signature::verify("s3cret", &headers, body), Ok(signature::Signatures::StandardAndTruto));
    headers.insert("x-truto-signature", "format=sha256,v=AAAA".parse().unwrap());
    assert!(signature::verify("s3cret", &headers, body).is_err());
}

#[tokio::test]
async fn it_can_be_scripted_taken_down_and_held() {
    let (receiver, sender) = pair().await;
    receiver.fail_next(2, 503);
    assert_eq!(sender.page("a", 1, r#"{"id":1}"#).await, 503);
    assert_eq!(sender.page("a", 1, r#"{"id":1}"#).await, 503);
    assert_eq!(sender.page("a", 1, r#"{"id":1}"#).await, 200);
    receiver.script(|received| match received.seq {
        Some(2) => Some(Answer::status(400).json(r#"{"message":"no"}"#).then_down()),
        Some(3) => Some(Answer::ok().held()),
        _ => None,
    });
    assert_eq!(sender.page("b", 2, r#"{"id":2}"#).await, 400);
    assert!(sender.post("b", Some(2), page("b", 2, "")).await.is_err(), "down: no answer");
    receiver.down_with(502);
    assert_eq!(sender.page("b2", 2, "").await, 502);
    receiver.up();
    receiver.unscript();
    assert_eq!(sender.page("b2", 2, "").await, 200);
    receiver.read(|ledger| {
        assert_eq!(
            (ledger.acknowledged, ledger.duplicates, ledger.out_of_order),
            (2, Duplicates::default(), 0)
        );
        let given: Vec<_> = ledger.requests.iter().map(|request| request.given.unwrap()).collect();
        let expected = [503, 503, 200, 400, 0, 502, 200];
        assert_eq!(given, expected.map(|code| if code == 0 { Given::HungUp } else { Given::Status(code) }));
    });
    receiver.hold();
    let (status, ()) = tokio::join!(sender.page("c", 3, r#"{"id":3}"#), async {
        receiver.wait_for("page 3", SOON, |ledger| ledger.requests.len() == 8).await.unwrap();
        assert_eq!(receiver.read(|ledger| (ledger.acknowledged, ledger.requests[7].given)), (2, None));
        receiver.release();
    });
    assert_eq!(status, 200);
    assert_eq!(receiver.read(|ledger| ledger.run(RUN).last_acked_seq), 3);
}

#[tokio::test]
async fn a_sender_that_leaves_while_held_is_not_acknowledged() {
    let (receiver, sender) = pair().await;
    receiver.hold();
    tokio::select! {
        _ = sender.page("a", 1, r#"{"id":1}"#) => panic!("it is held"),
        arrived = receiver.wait_for("the page", SOON, |ledger| ledger.requests.len() == 1) => arrived.unwrap(),
    }
    receiver.release();
    drop(sender);
    let sender = Sender::new(&receiver);
    sender.page("a", 1, r#"{"id":1}"#).await;
    receiver.read(|ledger| assert_eq!(ledger.duplicates.requests + 1, ledger.acknowledged, "{ledger}"));
}

#[tokio::test]
async fn waiting_ends_with_a_word_about_the_state() {
    let (receiver, sender) = pair().await;
    sender.page("a", 1, r#"{"id":1}"#).await;
    let error =
        receiver.wait_for("the moon", Duration::from_millis(1), |_| false).await.unwrap_err().to_string();
    assert!(error.contains("the moon") && error.contains("1 requests, 1 acknowledged"), "{error}");
}

#[tokio::test]
async fn it_keeps_the_first_bodies_up_to_a_budget_and_takes_large_ones() {
    let small = page("a", 1, r#"{"id":1}"#);
    let settings = Settings { keep_bytes_max: small.len(), ..Settings::default() };
    let receiver = Receiver::start(settings).await.unwrap();
    let sender = Sender::new(&receiver);
    sender.page("a", 1, r#"{"id":1}"#).await;
    let large = format!(r#"{{"id":2,"text":"{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(sender.page("b", 2, &large).await, 200);
    receiver.read(|ledger| {
        assert_eq!(ledger.requests[0].body.as_deref(), Some(small.as_bytes()));
        assert_eq!(ledger.requests[1].body, None);
        assert_eq!(
            ledger.requests[1].digest,
            <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(page("b", 2, &large)))
        );
    });
}

#[tokio::test]
async fn pages_after_a_failure_may_be_a_resume_and_are_counted_apart() {
    let (receiver, sender) = pair().await;
    sender.page("a", 1, r#"{"id":1}"#).await;
    sender.lifecycle("b", "failed").await;
    sender.page("c", 2, r#"{"id":2}"#).await;
    assert_eq!(receiver.read(|ledger| (ledger.after_failure, ledger.out_of_order)), (1, 0));
}

#[tokio::test]
async fn a_newer_claim_may_go_back_but_not_skip_and_an_older_one_may_not_go_back() {
    let (receiver, mut sender) = pair().await;
    for (id, seq) in [("a", 1), ("b", 2), ("c", 3)] {
        sender.page(id, seq, r#"{"id":1}"#).await;
    }
    sender.page("b", 2, r#"{"id":1}"#).await;
    assert_eq!(receiver.read(|ledger| (ledger.rewinds.len(), ledger.out_of_order)), (0, 1), "the same claim");
    sender.page("c", 3, r#"{"id":1}"#).await;
    let wrong = receiver.read(|ledger| ledger.out_of_order);
    sender.epoch = 8;
    sender.page("b", 2, r#"{"id":1}"#).await;
    let rewinds = receiver.read(|ledger| ledger.rewinds.clone());
    let [rewind] = rewinds.as_slice() else { panic!("{rewinds:?}") };
    assert_eq!((rewind.from, rewind.to, rewind.pages()), (3, 2, 2));
    sender.page("d", 4, r#"{"id":1}"#).await;
    assert_eq!(receiver.read(|ledger| ledger.out_of_order), wrong + 1, "page 3 was skipped after the rewind");
    sender.page("b", 2, r#"{"id":1}"#).await;
    assert_eq!(receiver.read(|ledger| ledger.rewinds.len()), 1, "once a claim");
}

#[tokio::test]
async fn a_newer_claim_may_go_back_behind_the_end() {
    let (receiver, mut sender) = pair().await;
    sender.lifecycle("s", "started").await;
    sender.page("a", 1, r#"{"id":1}"#).await;
    sender.lifecycle("e", "completed").await;
    sender.epoch = 8;
    sender.page("a", 1, r#"{"id":1}"#).await;
    sender.lifecycle("e", "completed").await;
    receiver.read(|ledger| {
        assert_eq!((ledger.rewinds.len(), ledger.out_of_order), (1, 0), "{ledger}");
        assert_eq!(ledger.run(RUN).ended.as_deref(), Some("sync_job_run:completed"));
    });
}
