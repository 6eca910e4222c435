//! A page is bytes: what the receiver gets of a record is what the source wrote.

use rapidbridge::playground::Answer;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::{Setup, definitions};

/// What a parsed tree would change.
const RECORDS: [&str; 13] = [
    r#"{"id":1,"big":12345678901234567890123456789012345678901234567890}"#,
    r#"{"id":2,"beyond_float":9007199254740993,"negative":-9007199254740993}"#,
    r#"{"id":3,"price":1.10,"zero":0.0,"minus":-0,"tiny":1e-400,"huge":1E+400}"#,
    r#"{"z":1,"a":2,"id":4,"m":{"b":1,"a":2}}"#,
    r#"{"id":5,"twice":1,"twice":2,"twice":"three"}"#,
    r#"{"id":6,"text":"\u0041\/\ud83d\ude00\b\f\n\r\t\\\"","raw":"é😀"}"#,
    r#"{"id":7,"lone":"\ud800","null":null,"empty":"","nul":"\u0000"}"#,
    "{ \"id\" : 8 ,\n\t\"spaced\" : [ 1 , 2.0 ,3e2 ] }",
    r##"{"id":9,"":"empty key","a.b":"dotted","$ref":"#/x"}"##,
    r#"{"id":10,"deep":[[[[[[[[[[{"x":[]}]]]]]]]]]]}"#,
    r#""only a text""#,
    "12.50",
    r#"{"id":13,"quoted":"}],\"meta\":{\"has_more\":true}","decimal":0.1000}"#,
];

#[derive(Deserialize)]
struct Event {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    records: Vec<Box<RawValue>>,
}

#[tokio::test]
async fn every_record_arrives_as_the_source_wrote_it() {
    let cluster = Setup::default().start().await;
    cluster.helpdesk.script(|info| {
        let (half, more) = match info.cursor.as_deref() {
            None => (&RECORDS[..6], r#"true,"next_cursor":"rest""#),
            Some(_) => (&RECORDS[6..], r#"false,"next_cursor":null"#),
        };
        let body =
            format!("\n {{\"meta\":{{\"has_more\":{more}}},\"tickets\": [ {} ] }}", half.join(" ,\n "));
        Some(Answer::ok().json(body))
    });
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!((ended.status.as_str(), ended.incomplete.len()), ("completed", 0), "{ended:?}");
    let bodies: Vec<_> = cluster.receiver.read(|ledger| {
        let pages = ledger.requests.iter().filter(|request| request.event == "sync_job_run:record");
        pages.map(|page| page.body.clone().unwrap()).collect()
    });
    let events = bodies.iter().map(|body| serde_json::from_slice::<Event>(body).unwrap());
    let came: Vec<String> =
        events.flat_map(|event| event.payload.records).map(|raw| raw.get().to_owned()).collect();
    assert_eq!(came, RECORDS);
}

/// A child's request is made from the parent's record; a number there must not pass through a float.
#[tokio::test]
async fn a_big_id_reaches_the_childs_request_as_it_was_written() {
    let cluster = Setup::default().start().await;
    cluster.helpdesk.script(|info| {
        let body = match info.path.as_str() {
            "/api/v1/tickets" => {
                r#"{"tickets":[{"id":9007199254740993},{"id":123456789012345678901},{"id":"a/b?c#d é"},{"id":1.50}],"meta":{"has_more":false}}"#
                    .to_owned()
            }
            path => format!(r#"{{"comments":[{{"id":1,"path":{path:?}}}],"meta":{{"has_more":false}}}}"#),
        };
        Some(Answer::ok().json(body))
    });
    cluster.apply(vec![definitions::job("nested", definitions::nested())]).await;
    let run = cluster.api.push("nested", "acme", "backend").await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!((ended.status.as_str(), ended.incomplete.len()), ("completed", 0), "{ended:?}");
    let mut asked: Vec<String> =
        cluster.helpdesk.read(|ledger| ledger.asked.keys().map(|(path, _)| path.clone()).collect());
    asked.sort();
    let path = |id: &str| format!("/api/v1/tickets/{id}/comments");
    let mut wanted: Vec<String> =
        ["9007199254740993", "123456789012345678901", "a%2Fb%3Fc%23d%20%C3%A9", "1.50"].map(path).into();
    wanted.push("/api/v1/tickets".to_owned());
    wanted.sort();
    assert_eq!(asked, wanted);
}
