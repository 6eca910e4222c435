//! Salesforce as its documentation describes it: SOQL in a parameter, further pages at a path with a query
//! locator, errors as a list, a limit of requests that is a 403.

use serde_json::{Map, Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "salesforce",
    account: r#"{"context": {"domain": "acme"}, "credentials": {"access_token": "00D_canary"}}"#,
    lists: &[
        List { resource: "accounts", query: "{}", records: 2300 },
        List { resource: "contacts", query: "{}", records: 2300 },
        List { resource: "opportunities", query: r#"{"since": "2026-01-02T00:00:00Z"}"#, records: 2217 },
        List { resource: "users", query: r#"{"fields": "Id,Name,IsActive"}"#, records: 2300 },
        List { resource: "tasks", query: "{}", records: 2300 },
        List { resource: "query", query: r#"{"q": "SELECT Id, Name FROM Account"}"#, records: 2300 },
        List { resource: "query-all", query: r#"{"q": "SELECT Id, IsDeleted FROM Account"}"#, records: 2300 },
    ],
    answer,
    limited,
    limited_for: 900,
};

const RECORDS: usize = 2300;
const ROOT: &str = "/services/data/v65.0";

/// Objects, what their ids begin with, and their fields.
const OBJECTS: &[(&str, &str, &str)] = &[
    (
        "Account",
        "001",
        "Name Type ParentId Industry Website Phone BillingStreet BillingCity BillingState BillingPostalCode \
         BillingCountry NumberOfEmployees AnnualRevenue OwnerId",
    ),
    (
        "Contact",
        "003",
        "AccountId FirstName LastName Name Email Phone MobilePhone Title Department LeadSource MailingStreet \
         MailingCity MailingState MailingPostalCode MailingCountry OwnerId",
    ),
    (
        "Opportunity",
        "006",
        "AccountId Name StageName Amount Probability CloseDate Type LeadSource NextStep \
         ForecastCategoryName IsClosed IsWon OwnerId",
    ),
    (
        "User",
        "005",
        "Username FirstName LastName Name Email IsActive UserType Title Department UserRoleId ProfileId \
         ManagerId TimeZoneSidKey LastLoginDate",
    ),
    (
        "Task",
        "00T",
        "WhoId WhatId AccountId Subject Status Priority ActivityDate Description IsClosed \
         TaskSubtype OwnerId",
    ),
];
const COMMON: [&str; 5] = ["Id", "IsDeleted", "CreatedDate", "LastModifiedDate", "SystemModstamp"];

/// A query that was understood.
struct Soql {
    object: &'static (&'static str, &'static str, &'static str),
    fields: Vec<String>,
    since: String,
}

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer 00D_canary" {
        return refused(401, "INVALID_SESSION_ID", "Session expired or invalid");
    }
    let path = asked.path.strip_prefix(ROOT).unwrap_or_default();
    let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), steps.as_slice()) {
        ("GET", ["query" | "queryAll"]) => match asked.query("q") {
            Some(q) => page(asked, q, 0),
            None => refused(400, "MALFORMED_QUERY", "unexpected token: <EOF>"),
        },
        ("GET", ["query", locator]) => match place(locator) {
            Some((q, start)) => page(asked, &q, start),
            None => refused(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
        },
        ("GET", ["sobjects", object, id]) => one(object, id),
        _ => refused(404, "NOT_FOUND", "The requested resource does not exist"),
    }
}

/// A page of a query's records, from `start` on.
fn page(asked: &Asked, q: &str, start: usize) -> Answer {
    let soql = match understood(q) {
        Ok(soql) => soql,
        Err((code, message)) => return refused(400, code, &message),
    };
    let found: Vec<usize> = (0..RECORDS).filter(|index| changed(*index) >= soql.since).collect();
    let end = found.len().min(start + batch_size(asked));
    let records = found.iter().take(end).skip(start);
    let records: Vec<Value> = records.map(|index| record(&soql, *index)).collect();
    let mut body = json!({ "totalSize": found.len(), "done": end == found.len(), "records": records });
    if end < found.len() {
        body["nextRecordsUrl"] = json!(format!("{ROOT}/query/{}", locator(q, end)));
    }
    Answer::json(200, body)
}

/// Records a page: 2000 unless the header asks for fewer, and at least 200.
fn batch_size(asked: &Asked) -> usize {
    let size = asked.header("sforce-query-options").strip_prefix("batchSize=");
    size.and_then(|size| size.parse().ok()).unwrap_or(2000).clamp(200, 2000)
}

/// What `q` asks for: `SELECT … FROM …`, perhaps with `WHERE SystemModstamp >= …`.
fn understood(q: &str) -> Result<Soql, (&'static str, String)> {
    let malformed = || ("MALFORMED_QUERY", format!("unexpected token in {q}"));
    let (fields, rest) =
        q.strip_prefix("SELECT ").and_then(|q| q.split_once(" FROM ")).ok_or_else(malformed)?;
    let (object, condition) =
        rest.split_once(" WHERE ").unwrap_or((rest, "SystemModstamp >= 1970-01-01T00:00:00Z"));
    let since = condition.strip_prefix("SystemModstamp >= ").ok_or_else(malformed)?;
    if since.len() != 20 || !since.ends_with('Z') {
        return Err(malformed());
    }
    let object = OBJECTS
        .iter()
        .find(|(name, _, _)| *name == object)
        .ok_or_else(|| ("INVALID_TYPE", format!("sObject type '{object}' is not supported.")))?;
    let fields: Vec<String> = fields.split(',').map(|field| field.trim().to_owned()).collect();
    let is_known =
        |field: &str| COMMON.contains(&field) || object.2.split_whitespace().any(|known| known == field);
    if let Some(field) = fields.iter().find(|field| !is_known(field)) {
        return Err(("INVALID_FIELD", format!("No such column '{field}' on entity '{}'.", object.0)));
    }
    Ok(Soql { object, fields, since: since.to_owned() })
}

/// A locator is opaque; this one holds the query, since nothing is remembered here.
fn locator(q: &str, start: usize) -> String {
    let digits: String = q.bytes().map(|byte| format!("{:02x}", byte ^ 0x5a)).collect();
    format!("0r8{digits}-{start}")
}

fn place(locator: &str) -> Option<(String, usize)> {
    let (digits, start) = locator.strip_prefix("0r8")?.rsplit_once('-')?;
    let bytes = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok().map(|byte| byte ^ 0x5a)
    });
    let q = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
    Some((q, start.parse().ok()?))
}

fn one(object: &str, id: &str) -> Answer {
    let Some(object) = OBJECTS.iter().find(|(name, _, _)| *name == object) else {
        return refused(404, "NOT_FOUND", "The requested resource does not exist");
    };
    let fields = COMMON.iter().copied().chain(object.2.split_whitespace()).map(str::to_owned).collect();
    let soql = Soql { object, fields, since: String::new() };
    match (0..RECORDS).find(|index| id_of(object.1, *index) == id) {
        Some(index) => Answer::json(200, record(&soql, index)),
        None => refused(404, "NOT_FOUND", "The requested resource does not exist"),
    }
}

fn record(soql: &Soql, index: usize) -> Value {
    let (object, prefix, _) = soql.object;
    let url = format!("{ROOT}/sobjects/{object}/{}", id_of(prefix, index));
    let mut record = Map::new();
    record.insert("attributes".to_owned(), json!({ "type": object, "url": url }));
    for field in &soql.fields {
        record.insert(field.clone(), value(prefix, field, index));
    }
    Value::Object(record)
}

fn value(prefix: &str, field: &str, index: usize) -> Value {
    match field {
        "Id" => json!(id_of(prefix, index)),
        "OwnerId" => json!(id_of("005", index % 7)),
        "AccountId" => json!(id_of("001", index / 2)),
        "IsDeleted" | "IsWon" | "IsClosed" => json!(false),
        "IsActive" => json!(!index.is_multiple_of(10)),
        "Name" | "LastName" | "Subject" => json!(format!("Name {index}")),
        "Username" | "Email" => json!(format!("name{index}@acme.example")),
        "StageName" => json!("Prospecting"),
        "Amount" => json!(1250.5),
        "Probability" => json!(10.0),
        "CloseDate" | "ActivityDate" => json!("2026-03-31"),
        "Status" => json!("Not Started"),
        "CreatedDate" => json!("2025-11-03T08:00:00.000+0000"),
        "LastModifiedDate" | "SystemModstamp" => json!(changed(index).replace('Z', ".000+0000")),
        _ => Value::Null,
    }
}

/// 18 letters and digits.
fn id_of(prefix: &str, index: usize) -> String {
    format!("{prefix}Kj0000{index:06}IAB")
}

/// When a record was changed, as SOQL writes times.
fn changed(index: usize) -> String {
    format!("2026-01-{:02}T09:{:02}:00Z", index % 28 + 1, index % 60)
}

fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, json!([{ "message": message, "errorCode": code }]))
}

fn limited() -> Answer {
    refused(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
}
