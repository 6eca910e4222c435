//! HubSpot as its documentation describes it: lists by an opaque `after`, searches of at most 10,000 results
//! with filters in the body, a limit of ten seconds without `Retry-After`.

use serde_json::{Map, Value, json};

use super::{Answer, Api, Asked, List};

pub(super) const API: Api = Api {
    name: "hubspot",
    account: r#"{"context": {}, "credentials": {"token": "pat-canary"}}"#,
    lists: &[
        List { resource: "contacts", query: "{}", records: 230 },
        List { resource: "companies", query: "{}", records: 230 },
        List { resource: "deals", query: "{}", records: 230 },
        List { resource: "tickets", query: "{}", records: 230 },
        List { resource: "notes", query: "{}", records: 230 },
        List { resource: "owners", query: "{}", records: 230 },
        List { resource: "deal-contacts", query: r#"{"deal_id": "951"}"#, records: 1100 },
        List { resource: "deal-companies", query: r#"{"deal_id": "951"}"#, records: 1100 },
        List { resource: "changed-contacts", query: "{}", records: 430 },
        List { resource: "changed-companies", query: "{}", records: 430 },
        List { resource: "changed-deals", query: "{}", records: 430 },
        List { resource: "changed-tickets", query: "{}", records: 430 },
        List { resource: "changed-notes", query: "{}", records: 430 },
    ],
    unified: &[
        List {
            resource: "crm/contacts",
            query: r#"{"updated_at": {"gt": "2026-01-05T02:00:00+01:00"}}"#,
            records: 369,
        },
        List { resource: "crm/companies", query: "{}", records: 430 },
        List { resource: "crm/deals", query: DEALS, records: 238 },
        List {
            resource: "crm/notes",
            query: r#"{"created_at": {"lt": "2026-01-01T00:00:00Z"}}"#,
            records: 430,
        },
        List { resource: "crm/users", query: "{}", records: 230 },
        List { resource: "ticketing/tickets", query: r#"{"organization_id": "1001"}"#, records: 62 },
    ],
    answer,
    limited,
    limited_for: 10,
};

/// All filters by time at once.
const DEALS: &str = r#"{
    "created_at": {"gt": "2025-11-03T07:59:59Z", "lt": "2025-11-04T00:00:00Z"},
    "updated_at": {"gt": "2026-01-05T01:00:00Z", "lt": "2026-01-05T04:59:00Z"}
}"#;
/// When all records were made, in milliseconds: 2025-11-03T08:00:00Z.
const CREATED: usize = 1_762_156_800_000;
/// When the first record was changed, in milliseconds: 2026-01-05T00:00:00Z. Others follow a minute apart.
const CHANGED: usize = 1_767_571_200_000;
const FOUND: usize = 430;
/// `after` of a list is a position with these bits turned.
const TURNED: usize = 0x5eed_c0de;

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer pat-canary" {
        let message = "Authentication credentials not found. This API supports OAuth 2.0 authentication.";
        return refused(401, "INVALID_AUTHENTICATION", message);
    }
    let steps: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), steps.as_slice()) {
        ("GET", ["crm", "v3", "owners"]) => list(asked, 230, 500, owner),
        ("GET", ["crm", "v3", "owners", id]) => one(id, owner),
        ("GET", ["crm", "v3", "objects", kind]) if is_kind(kind) => {
            list(asked, 230, 100, |index| associated(asked, kind, index))
        }
        ("GET", ["crm", "v3", "objects", kind, id]) if is_kind(kind) => {
            one(id, |index| associated(asked, kind, index))
        }
        ("GET", ["crm", "v4", "objects", "deals", _, "associations", "contacts" | "companies"]) => {
            list(asked, 1100, 500, association)
        }
        ("POST", ["crm", "v3", "objects", kind, "search"]) if is_kind(kind) => search(asked, kind),
        _ => refused(404, "OBJECT_NOT_FOUND", "resource not found"),
    }
}

fn is_kind(kind: &str) -> bool {
    matches!(kind, "contacts" | "companies" | "deals" | "tickets" | "notes")
}

/// A page of a list.
fn list(asked: &Asked, records: usize, limit_max: usize, record: impl Fn(usize) -> Value) -> Answer {
    let limit = asked.number("limit", 10);
    if !(1..=limit_max).contains(&limit) {
        let message = format!("Page size can't be greater than {limit_max}");
        return refused(400, "VALIDATION_ERROR", &message);
    }
    let start = match asked.query("after") {
        None => Some(0),
        Some(after) => {
            let digits = after.strip_suffix("%3D%3D").unwrap_or_default();
            usize::from_str_radix(digits, 16).ok().map(|digits| digits ^ TURNED)
        }
    };
    let Some(start) = start.filter(|start| *start < records) else {
        return refused(400, "VALIDATION_ERROR", "Invalid paging cursor");
    };
    let end = records.min(start + limit);
    let results: Vec<Value> = (start..end).map(record).collect();
    let mut body = json!({ "results": results });
    if end < records {
        let after = format!("{:x}%3D%3D", end ^ TURNED);
        let link = format!("{}{}?limit={limit}&after={after}", asked.base, asked.path);
        body["paging"] = json!({ "next": { "after": after, "link": link } });
    }
    Answer::json(200, body)
}

fn one(id: &str, record: impl Fn(usize) -> Value) -> Answer {
    match (0..FOUND).find(|index| id_of(*index) == id) {
        Some(index) => Answer::json(200, record(index)),
        None => refused(404, "OBJECT_NOT_FOUND", "resource not found"),
    }
}

/// A page of a search.
fn search(asked: &Asked, kind: &str) -> Answer {
    let body = &asked.body;
    let limit = body["limit"].as_u64().map_or(10, size);
    let after = if body["after"].is_null() { Some(0) } else { text_of(&body["after"]).parse().ok() };
    let Some(after) = after else {
        return refused(400, "VALIDATION_ERROR", "Invalid input JSON: after must be an integer");
    };
    let groups = list_of(&body["filterGroups"]);
    let filters = groups.iter().map(|group| list_of(&group["filters"]));
    let is_too_much = groups.len() > 5 || filters.clone().any(|filters| filters.len() > 6);
    if limit > 200 || after + limit > 10_000 || is_too_much || filters.flatten().count() > 18 {
        return refused(400, "VALIDATION_ERROR", "There was a problem with the request.");
    }
    if let Some(filter) =
        groups.iter().flat_map(|group| list_of(&group["filters"])).find(|f| !is_filter(kind, f))
    {
        return refused(400, "VALIDATION_ERROR", &format!("There was a problem with the filter {filter}"));
    }
    let is_found = |index: &usize| {
        groups.is_empty()
            || groups.iter().any(|group| list_of(&group["filters"]).iter().all(|f| holds(f, *index)))
    };
    let found: Vec<usize> = (0..FOUND).filter(is_found).collect();
    let names: Vec<&str> = list_of(&body["properties"]).iter().filter_map(Value::as_str).collect();
    let page = found.iter().skip(after).take(limit);
    let results: Vec<Value> = page.map(|index| object(kind, &names, *index)).collect();
    let mut answer = json!({ "total": found.len(), "results": results });
    if after + limit < found.len() {
        answer["paging"] = json!({ "next": { "after": (after + limit).to_string() } });
    }
    Answer::json(200, answer)
}

/// Whether a filter is one that can be understood: ids, times in milliseconds, and the company of an association.
fn is_filter(kind: &str, filter: &Value) -> bool {
    let name = filter["propertyName"].as_str().unwrap_or_default();
    let operator = filter["operator"].as_str();
    let is_known = matches!(operator, Some("GT" | "GTE" | "LT" | "LTE" | "EQ"));
    let is_association = name == "associations.company" && operator == Some("EQ");
    (name == "hs_object_id" || name == changed_name(kind) || name == created_name(kind) || is_association)
        && is_known
        && number_of(&filter["value"]).is_some()
}

fn holds(filter: &Value, index: usize) -> bool {
    let value = match filter["propertyName"].as_str() {
        Some("hs_object_id") => id(index),
        Some("associations.company") => id(company(index)),
        Some("createdate" | "hs_createdate") => CREATED,
        Some(_) | None => changed(index),
    };
    let bound = number_of(&filter["value"]).unwrap();
    match filter["operator"].as_str() {
        Some("GT") => value > bound,
        Some("GTE") => value >= bound,
        Some("LT") => value < bound,
        Some("LTE") => value <= bound,
        Some(_) | None => value == bound,
    }
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number_of(value: &Value) -> Option<usize> {
    text_of(value).parse().ok()
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn id(index: usize) -> usize {
    951 + 50 * index
}

fn id_of(index: usize) -> String {
    id(index).to_string()
}

fn changed(index: usize) -> usize {
    CHANGED + 60_000 * index
}

/// When a record was changed, as text.
fn changed_at(index: usize) -> String {
    format!("2026-01-05T{:02}:{:02}:00.000Z", index / 60, index % 60)
}

/// Contacts have a name of their own for that.
fn changed_name(kind: &str) -> &'static str {
    if kind == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" }
}

fn created_name(kind: &str) -> &'static str {
    if kind == "notes" { "hs_createdate" } else { "createdate" }
}

/// The company that a record belongs to.
fn company(index: usize) -> usize {
    index % 7
}

fn properties_of(asked: &Asked) -> Vec<&str> {
    asked.query("properties").unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect()
}

/// A record with the associations that are asked for.
fn associated(asked: &Asked, kind: &str, index: usize) -> Value {
    let mut record = object(kind, &properties_of(asked), index);
    for to in asked.query("associations").into_iter().flat_map(|names| names.split(',')) {
        let from = kind.trim_end_matches('s');
        let one = if to == "companies" { "company" } else { to.trim_end_matches('s') };
        let types = [format!("{from}_to_{one}"), format!("{from}_to_{one}_unlabeled")];
        let results = types.iter().map(|name| json!({ "id": id_of(company(index)), "type": name }));
        record["associations"][to] = json!({ "results": results.collect::<Vec<_>>() });
    }
    record
}

fn object(kind: &str, names: &[&str], index: usize) -> Value {
    let mut properties = Map::new();
    for name in names {
        properties.insert((*name).to_owned(), property(name, index));
    }
    properties.insert("hs_object_id".to_owned(), json!(id_of(index)));
    properties.insert(created_name(kind).to_owned(), json!("2025-11-03T08:00:00.000Z"));
    properties.insert(changed_name(kind).to_owned(), json!(changed_at(index)));
    json!({
        "id": id_of(index),
        "properties": properties,
        "createdAt": "2025-11-03T08:00:00.000Z",
        "updatedAt": changed_at(index),
        "archived": false,
    })
}

/// Values of properties are texts, or null.
fn property(name: &str, index: usize) -> Value {
    let (is_won, is_lost) = (index % 4 == 1, index % 4 == 2);
    match name {
        "firstname" if !index.is_multiple_of(6) => json!("Ada"),
        "lastname" | "name" | "dealname" | "subject" => json!(format!("Name {index}")),
        "email" => json!(format!("contact{index}@acme.example")),
        "hs_additional_emails" if index.is_multiple_of(3) => {
            json!(format!("c{index}@acme.example;contact{index}@home.example"))
        }
        "phone" if !index.is_multiple_of(4) => json!("+49 30 123456"),
        "mobilephone" => json!("+49 170 123456"),
        "company" => json!("Acme"),
        "associatedcompanyid" | "hs_primary_associated_company" if !index.is_multiple_of(5) => {
            json!(id_of(company(index)))
        }
        "hs_primary_company_id" => json!(id_of(company(index))),
        "hs_primary_company_name" => json!(format!("Name {}", company(index))),
        "jobtitle" => json!("Buyer"),
        "lifecyclestage" => json!("customer"),
        "address" => json!("Main Street 1"),
        "city" => json!("Berlin"),
        "zip" => json!("10115"),
        "country" => json!("Germany"),
        "domain" => json!("acme.example"),
        "website" => json!("https://acme.example"),
        "industry" => json!("COMPUTER_SOFTWARE"),
        "description" => json!("They make anvils."),
        "numberofemployees" if !index.is_multiple_of(3) => json!("250"),
        "annualrevenue" if !index.is_multiple_of(3) => json!("1500000"),
        "amount" => json!("1250.50"),
        "deal_currency_code" => json!("EUR"),
        "pipeline" => json!("default"),
        "dealstage" if is_won => json!("closedwon"),
        "dealstage" if is_lost => json!("closedlost"),
        "dealstage" => json!("appointmentscheduled"),
        "hs_deal_stage_probability" if is_won => json!("1.0"),
        "hs_deal_stage_probability" if is_lost => json!("0.0"),
        "hs_deal_stage_probability" => json!("0.200000000000000011102230246251565404"),
        "hs_is_closed" => json!((is_won || is_lost).to_string()),
        "hs_is_closed_won" => json!(is_won.to_string()),
        "closedate" => json!("2026-01-31T16:00:00Z"),
        "content" => json!("It does not start."),
        "hs_pipeline" if index.is_multiple_of(5) => json!("7031"),
        "hs_pipeline" => json!("0"),
        "hs_pipeline_stage" if index.is_multiple_of(5) => json!("88005"),
        "hs_pipeline_stage" => json!((index % 4 + 1).to_string()),
        "hs_ticket_priority" => json!(["LOW", "MEDIUM", "HIGH"].get(index % 4)),
        "hs_ticket_category" => json!("PRODUCT_ISSUE"),
        "closed_date" if index % 4 == 3 => json!("2026-01-04T16:00:00Z"),
        "hs_note_body" => json!("<p>They asked for an offer.</p>"),
        "hs_timestamp" => json!("2026-01-05T08:00:00.000Z"),
        "hubspot_owner_id" if !index.is_multiple_of(8) => json!("41629779"),
        _ => Value::Null,
    }
}

fn owner(index: usize) -> Value {
    json!({
        "id": id_of(index),
        "email": format!("owner{index}@acme.example"),
        "type": "PERSON",
        "firstName": "Olga",
        "lastName": format!("Owner {index}"),
        "userId": 1_296_619 + index,
        "userIdIncludingInactive": 1_296_619 + index,
        "createdAt": "2025-11-03T08:00:00.000Z",
        "updatedAt": changed_at(index),
        "archived": false,
    })
}

fn association(index: usize) -> Value {
    json!({
        "toObjectId": id(index),
        "associationTypes": [{ "category": "HUBSPOT_DEFINED", "typeId": 3, "label": null }],
    })
}

fn refused(status: u16, category: &str, message: &str) -> Answer {
    let body = json!({
        "status": "error",
        "message": message,
        "correlationId": "a43683b0-5717-4ceb-80b4-104d02915d8c",
        "category": category,
    });
    Answer::json(status, body)
}

fn limited() -> Answer {
    let body = json!({
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
        "policyName": "TEN_SECONDLY_ROLLING",
        "requestId": "3d3e35b7-0dae-4b9f-a6e3-9c230cbcf8dd",
    });
    Answer::json(429, body)
        .with("x-hubspot-ratelimit-max", "100")
        .with("x-hubspot-ratelimit-remaining", "0")
        .with("x-hubspot-ratelimit-interval-milliseconds", "10000")
}
