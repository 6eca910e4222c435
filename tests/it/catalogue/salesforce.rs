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
    unified: &[
        List {
            resource: "crm/contacts",
            query: r#"{"updated_at": {"gt": "2026-01-02T01:00:00+01:00", "lt": "2026-01-28T00:00:00Z"}}"#,
            records: 2135,
        },
        List {
            resource: "crm/companies",
            query: r#"{"created_at": {"gt": "2025-11-03T07:59:59.5Z", "lt": "2025-11-03T08:00:00.5Z"}}"#,
            records: 2300,
        },
        List { resource: "crm/deals", query: "{}", records: 2300 },
        List {
            resource: "crm/users",
            query: r#"{"updated_at": {"lt": "2026-01-03T00:00:00Z"}}"#,
            records: 166,
        },
    ],
    answer,
    limited,
    limited_for: 900,
};

const RECORDS: usize = 2300;
/// When all records were made.
const CREATED: &str = "2025-11-03T08:00:00Z";
const ROOT: &str = "/services/data/v65.0";

/// Objects, what their ids begin with, and their fields.
const OBJECTS: &[(&str, &str, &str)] = &[
    (
        "Account",
        "001",
        "Name Type ParentId Industry Description Website Phone BillingStreet BillingCity BillingState \
         BillingPostalCode BillingCountry NumberOfEmployees AnnualRevenue OwnerId",
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
        "AccountId Name Description StageName Amount Probability CloseDate Type LeadSource NextStep \
         ForecastCategoryName IsClosed IsWon OwnerId",
    ),
    (
        "User",
        "005",
        "Username FirstName LastName Name Email Phone IsActive UserType Title Department UserRoleId ProfileId \
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
    /// Field, operator and time of each condition.
    conditions: Vec<(String, String, String)>,
}

impl Soql {
    fn finds(&self, index: usize) -> bool {
        self.conditions.iter().all(|(field, operator, bound)| {
            let time = if field == "CreatedDate" { CREATED.to_owned() } else { changed(index) };
            match operator.as_str() {
                ">=" => time >= *bound,
                ">" => time > *bound,
                "<=" => time <= *bound,
                _ => time < *bound,
            }
        })
    }
}

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer 00D_canary" {
        return refused(401, "INVALID_SESSION_ID", "Session expired or invalid");
    }
    let path = asked.path.strip_prefix(ROOT).unwrap_or_default();
    let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), steps.as_slice()) {
        ("GET", ["query" | "queryAll"]) => match asked.query("q") {
            // Nobody has a role in an opportunity here.
            Some(q) if q.contains(" FROM OpportunityContactRole WHERE OpportunityId = '") => {
                Answer::json(200, json!({ "totalSize": 0, "done": true, "records": [] }))
            }
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
    let found: Vec<usize> = (0..RECORDS).filter(|index| soql.finds(*index)).collect();
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

/// What `q` asks for: `SELECT … FROM …`, perhaps with `WHERE SystemModstamp >= … AND …`.
fn understood(q: &str) -> Result<Soql, (&'static str, String)> {
    let malformed = || ("MALFORMED_QUERY", format!("unexpected token in {q}"));
    let (fields, rest) =
        q.strip_prefix("SELECT ").and_then(|q| q.split_once(" FROM ")).ok_or_else(malformed)?;
    let (object, conditions) = match rest.split_once(" WHERE ") {
        Some((object, conditions)) => {
            let conditions = conditions.split(" AND ").map(|text| condition(text).ok_or_else(malformed));
            (object, conditions.collect::<Result<Vec<_>, _>>()?)
        }
        None => (rest, Vec::new()),
    };
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
    Ok(Soql { object, fields, conditions })
}

/// A field of a time, an operator and a time without quotes.
fn condition(text: &str) -> Option<(String, String, String)> {
    let mut words = text.split_whitespace().map(str::to_owned);
    let (field, operator, time) = (words.next()?, words.next()?, words.next()?);
    let is_known = matches!(field.as_str(), "CreatedDate" | "LastModifiedDate" | "SystemModstamp")
        && matches!(operator.as_str(), ">=" | ">" | "<=" | "<")
        && time.len() == 20
        && time.ends_with('Z')
        && words.next().is_none();
    is_known.then_some((field, operator, time))
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
    let soql = Soql { object, fields, conditions: Vec::new() };
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
        "AccountId" if !index.is_multiple_of(5) => json!(id_of("001", index / 2)),
        "IsDeleted" => json!(false),
        "IsWon" => json!(index % 4 == 1),
        "IsClosed" => json!(matches!(index % 4, 1 | 2)),
        "IsActive" => json!(!index.is_multiple_of(10)),
        "Name" | "LastName" | "Subject" => json!(format!("Name {index}")),
        "Username" | "Email" => json!(format!("name{index}@acme.example")),
        "FirstName" if !index.is_multiple_of(6) => json!("Ada"),
        "Phone" if !index.is_multiple_of(4) => json!("+49 30 123456"),
        "MobilePhone" => json!("+49 170 123456"),
        "Title" => json!("Buyer"),
        "MailingStreet" | "BillingStreet" => json!("Main Street 1"),
        "MailingCity" | "BillingCity" => json!("Berlin"),
        "MailingPostalCode" | "BillingPostalCode" => json!("10115"),
        "MailingCountry" | "BillingCountry" => json!("Germany"),
        "Website" => json!("https://acme.example"),
        "Industry" => json!("Machinery"),
        "Description" => json!("They make anvils."),
        "NumberOfEmployees" if !index.is_multiple_of(3) => json!(250),
        "AnnualRevenue" if !index.is_multiple_of(3) => json!(1_500_000.0),
        "StageName" => json!(["Prospecting", "Closed Won", "Closed Lost", "Qualification"][index % 4]),
        "Amount" if !index.is_multiple_of(5) => json!(1250.5),
        "Probability" => json!([10.0, 100.0, 0.0, 25.0][index % 4]),
        "CloseDate" | "ActivityDate" => json!("2026-03-31"),
        "Status" => json!("Not Started"),
        "CreatedDate" => json!(CREATED.replace('Z', ".000+0000")),
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
