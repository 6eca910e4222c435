//! Shopify as its documentation describes it: REST by `Link` with a `page_info` that tolerates no filter
//! beside it, and orders over GraphQL, which counts points and tells errors in a 200.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

const ORDERS: usize = 620;

pub(super) const API: Api = Api {
    name: "shopify",
    account: r#"{"context": {"shop": "acme"}, "credentials": {"access_token": "shpat_canary"}}"#,
    lists: &[
        List { resource: "orders", query: "{}", records: ORDERS },
        List { resource: "orders", query: r#"{"updated_at_min": "2026-10-10T12:59:00Z"}"#, records: 520 },
        // Shopify's own default: the declaration asks for any.
        List { resource: "orders", query: r#"{"status": "open"}"#, records: 532 },
        List { resource: "customers", query: "{}", records: 600 },
        List { resource: "customers", query: r#"{"updated_at_min": "2026-10-10T12:59:00Z"}"#, records: 520 },
        List { resource: "products", query: "{}", records: 600 },
        List {
            resource: "products",
            query: r#"{"updated_at_min": "2026-10-10T08:59:00-04:00"}"#,
            records: 520,
        },
        List { resource: "orders_graphql", query: "{}", records: ORDERS },
    ],
    unified: &[
        List {
            resource: "crm/contacts",
            query: r#"{"updated_at": {"gt": "2026-10-10T12:59:00Z"}}"#,
            records: 520,
        },
        // Without the newest 28.
        List {
            resource: "crm/deals",
            query: r#"{
                "created_at": {"lt": "2026-10-31T00:00:00Z"},
                "updated_at": {"gt": "2026-10-10T12:59:00Z"}
            }"#,
            records: 492,
        },
    ],
    answer,
    limited,
    limited_for: 4,
};

fn answer(asked: &Asked) -> Answer {
    if asked.header("x-shopify-access-token") != "shpat_canary" {
        let words = "[API] Invalid API key or access token (unrecognized login or wrong password)";
        return Answer::json(401, json!({ "errors": words }));
    }
    let not_found = || Answer::json(404, json!({ "errors": "Not Found" }));
    let path = asked.path.strip_prefix("/admin/api/2026-07/").and_then(|path| path.strip_suffix(".json"));
    let Some(path) = path else { return not_found() };
    if path == "graphql" && asked.method == "POST" {
        return graphql(asked);
    }
    let (collection, id) = path.split_once('/').map_or((path, None), |(path, id)| (path, Some(id)));
    let records: Vec<Value> = match collection {
        "orders" => (0..ORDERS).map(order).collect(),
        "customers" => (0..600).map(customer).collect(),
        "products" => (0..600).map(product).collect(),
        _ => return not_found(),
    };
    let answer = match id {
        None => list(asked, collection, &records),
        Some(id) => {
            let Some(record) = records.iter().find(|record| record["id"].as_u64() == id.parse().ok()) else {
                return not_found();
            };
            let mut body = json!({});
            body[collection.trim_end_matches('s')] = record.clone();
            Answer::json(200, body)
        }
    };
    answer.with("x-shopify-shop-api-call-limit", "1/40").with("x-shopify-api-version", "2026-07")
}

/// GraphQL's; REST would say 429 with `Retry-After: 2.0`. 360 points are missing, and 100 come back a second.
fn limited() -> Answer {
    let documentation = "https://shopify.dev/api/usage/rate-limits";
    let error = json!({
        "message": "Throttled",
        "extensions": { "code": "THROTTLED", "documentation": documentation },
    });
    Answer::json(200, json!({ "errors": [error], "extensions": cost(402, json!(null), 42) }))
}

fn cost(requested: usize, actual: Value, available: usize) -> Value {
    json!({
        "cost": {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": 2000.0,
                "currentlyAvailable": available,
                "restoreRate": 100.0,
            },
        },
    })
}

/// Filters by time, and what they are when they are not given.
const BOUNDS: [(&str, &str); 4] = [
    ("created_at_min", "1970-01-01T00:00:00Z"),
    ("created_at_max", "9999-12-31T00:00:00Z"),
    ("updated_at_min", "1970-01-01T00:00:00Z"),
    ("updated_at_max", "9999-12-31T00:00:00Z"),
];

/// What a list over REST is asked for: by parameters first, by `page_info` then.
#[derive(Clone)]
struct Wanted {
    start: usize,
    status: String,
    /// As in [`BOUNDS`].
    bounds: [String; 4],
}

fn list(asked: &Asked, collection: &str, records: &[Value]) -> Answer {
    let bad = |name: &str, words: &str| {
        let mut errors = json!({});
        errors[name] = json!(words);
        Answer::json(400, json!({ "errors": errors }))
    };
    if asked.query("page").is_some() {
        return bad("page", "page cannot be passed. See https://shopify.dev/api/usage/pagination-rest");
    }
    let mut filters = BOUNDS.into_iter().map(|(name, _)| name).chain(["status", "since_id", "ids", "order"]);
    let filter = filters.find(|name| asked.query(name).is_some());
    let wanted = match (asked.query("page_info"), filter) {
        (Some(_), Some(name)) => {
            return bad(name, &format!("{name} cannot be passed when page_info is present."));
        }
        (Some(page_info), None) => match opened(page_info) {
            Some(wanted) => wanted,
            None => return bad("page_info", "Invalid value."),
        },
        (None, _) => Wanted {
            start: 0,
            status: asked.query("status").unwrap_or("open").to_owned(),
            bounds: BOUNDS.map(|(name, default)| asked.query(name).unwrap_or(default).to_owned()),
        },
    };
    let mut bounds = [0; 4];
    for (bound, (text, (name, _))) in bounds.iter_mut().zip(wanted.bounds.iter().zip(BOUNDS)) {
        let Some(time) = seconds(text) else { return bad(name, "Invalid value.") };
        *bound = time;
    }
    let [created_min, created_max, updated_min, updated_max] = bounds;
    let matches = |record: &&Value| {
        let is_of_status = match wanted.status.as_str() {
            "any" => true,
            status => collection != "orders" || status_of(record) == status,
        };
        let time = |name: &str| seconds(record[name].as_str().unwrap()).unwrap();
        is_of_status
            && (created_min..=created_max).contains(&time("created_at"))
            && (updated_min..=updated_max).contains(&time("updated_at"))
    };
    let found: Vec<&Value> = records.iter().filter(matches).collect();
    let limit = asked.number("limit", 50).clamp(1, 250);
    let end = found.len().min(wanted.start + limit);
    let mut body = json!({});
    body[collection] = json!(found.get(wanted.start..end).unwrap_or_default());
    let mut links = Vec::new();
    let mut link = |start: usize, rel: &str| {
        let page_info = sealed(&Wanted { start, ..wanted.clone() });
        let address = format!("{}{}?limit={limit}&page_info={page_info}", asked.base, asked.path);
        links.push(format!("<{address}>; rel=\"{rel}\""));
    };
    if wanted.start > 0 {
        link(wanted.start.saturating_sub(limit), "previous");
    }
    if end < found.len() {
        link(end, "next");
    }
    match links.is_empty() {
        true => Answer::json(200, body),
        false => Answer::json(200, body).with("link", links.join(", ")),
    }
}

fn status_of(order: &Value) -> &'static str {
    if !order["cancelled_at"].is_null() {
        "cancelled"
    } else if !order["closed_at"].is_null() {
        "closed"
    } else {
        "open"
    }
}

fn sealed(wanted: &Wanted) -> String {
    veiled(&format!("{}|{}|{}", wanted.start, wanted.status, wanted.bounds.join("|")))
}

fn opened(page_info: &str) -> Option<Wanted> {
    let text = unveiled(page_info)?;
    let mut parts = text.split('|').map(str::to_owned);
    let start = parts.next()?.parse().ok()?;
    Some(Wanted { start, status: parts.next()?, bounds: parts.collect::<Vec<_>>().try_into().ok()? })
}

/// Text that nobody can read or guess.
fn veiled(text: &str) -> String {
    text.bytes().enumerate().map(|(at, byte)| format!("{:02x}", byte ^ mask(at))).collect()
}

fn unveiled(text: &str) -> Option<String> {
    let pairs = (0..text.len()).step_by(2);
    let bytes = pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    let bytes = bytes.enumerate().map(|(at, byte)| Some(byte? ^ mask(at))).collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

fn mask(at: usize) -> u8 {
    (at * 73 % 251) as u8 ^ 0x5A
}

fn graphql(asked: &Asked) -> Answer {
    let query = asked.body["query"].as_str().unwrap_or_default();
    let variables = &asked.body["variables"];
    if query.contains("order(id: $id)") {
        let found = (0..ORDERS).map(order_node).find(|order| order["id"] == variables["id"]);
        return Answer::json(
            200,
            json!({ "data": { "order": found }, "extensions": cost(4, json!(4), 1996) }),
        );
    }
    if !query.contains("orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT)") {
        return refused("Field doesn't exist on type 'QueryRoot'", "undefinedField");
    }
    let Some(first) = variables["first"].as_u64().filter(|first| (1..=250).contains(first)) else {
        return refused("Variable $first of type Int! was provided invalid value", "INVALID_VARIABLE");
    };
    let first = first as usize;
    let requested = 2 + first * 4;
    if requested > 1000 {
        let words = "Query cost is over the single query max cost limit (1000).";
        return refused(words, "MAX_COST_EXCEEDED");
    }
    let start = match variables["after"].as_str() {
        None => Some(0),
        Some(after) => unveiled(after).and_then(|text| text.strip_prefix("after:")?.parse::<usize>().ok()),
    };
    let Some(start) = start else {
        return refused("Invalid cursor for current pagination sort.", "BAD_REQUEST");
    };
    // `updated_at:>='2026-01-31T00:00:00Z'`
    let filter = variables["query"].as_str().and_then(|query| query.strip_prefix("updated_at:>="));
    let since = filter.map_or(0, |since| seconds(since.trim_matches('\'')).unwrap());
    let is_wanted = |node: &Value| seconds(node["updatedAt"].as_str().unwrap()).unwrap() >= since;
    let found: Vec<Value> = (0..ORDERS).rev().map(order_node).filter(is_wanted).collect();
    let end = found.len().min(start + first);
    let nodes = found.get(start..end).unwrap_or_default();
    let orders = json!({
        "nodes": nodes,
        "pageInfo": {
            "hasNextPage": end < found.len(),
            "endCursor": if nodes.is_empty() { json!(null) } else { json!(veiled(&format!("after:{end}"))) },
        },
    });
    let extensions = cost(requested, json!(2 + nodes.len() * 4), 2000 - requested);
    Answer::json(200, json!({ "data": { "orders": orders }, "extensions": extensions }))
}

/// An error of GraphQL's.
fn refused(words: &str, code: &str) -> Answer {
    let error = json!({ "message": words, "extensions": { "code": code } });
    Answer::json(200, json!({ "errors": [error] }))
}

/// Seconds since 1970 of a time as ISO 8601 writes it, with `Z` or an offset.
fn seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone {
        "Z" => 0,
        zone => {
            let (hours, minutes) = zone.split_once(':')?;
            let hours = hours.parse::<i64>().ok()?;
            hours * 3600 + hours.signum() * minutes.parse::<i64>().ok()? * 60
        }
    };
    // Days of the calendar that begins its years in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// An hour earlier for each record, back from the end of October 2026.
fn time(number: usize) -> String {
    let minute = 44_639 - number * 60;
    format!("2026-10-{:02}T{:02}:{:02}:00-04:00", minute / 1440 + 1, minute / 60 % 24, minute % 60)
}

fn order_id(number: usize) -> u64 {
    6_100_000_000_000 - number as u64 * 32_768
}

fn order(number: usize) -> Value {
    let is_cancelled = number % 7 == 6;
    json!({
        "id": order_id(number),
        "admin_graphql_api_id": format!("gid://shopify/Order/{}", order_id(number)),
        "billing_address": address(number),
        "cancel_reason": if is_cancelled { json!("customer") } else { json!(null) },
        "cancelled_at": if is_cancelled { json!(time(number)) } else { json!(null) },
        "closed_at": null,
        "created_at": time(number),
        "currency": "USD",
        "current_total_price": format!("{}.50", number + 10),
        "customer": {
            "id": customer_id(number % 600),
            "email": format!("bob{number}@example.com"),
            "first_name": "Bob",
            "last_name": format!("Norman {}", number % 600),
        },
        "email": format!("bob{number}@example.com"),
        "financial_status": "paid",
        "fulfillment_status": null,
        "line_items": [{
            "id": order_id(number) + 7,
            "price": format!("{}.50", number + 10),
            "product_id": product_id(number % 600),
            "quantity": 1,
            "sku": "IPOD2008GREEN",
            "taxable": true,
            "title": "IPod Nano - 8gb",
        }],
        "name": format!("#{}", 2000 - number),
        "note": if number.is_multiple_of(8) { json!("Leave it at the door") } else { json!(null) },
        "order_number": 2000 - number,
        "processed_at": time(number),
        "shipping_address": null,
        "tags": "",
        "test": false,
        "total_price": format!("{}.50", number + 10),
        "total_price_set": {
            "shop_money": { "amount": format!("{}.50", number + 10), "currency_code": "USD" },
        },
        "updated_at": time(number),
    })
}

/// The same order, as GraphQL names its fields.
fn order_node(number: usize) -> Value {
    let order = order(number);
    json!({
        "id": order["admin_graphql_api_id"],
        "legacyResourceId": order_id(number).to_string(),
        "name": order["name"],
        "email": order["email"],
        "createdAt": order["created_at"],
        "updatedAt": order["updated_at"],
        "processedAt": order["processed_at"],
        "cancelledAt": order["cancelled_at"],
        "closedAt": null,
        "tags": [],
        "test": false,
        "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "UNFULFILLED",
        "currencyCode": "USD",
        "totalPriceSet": { "shopMoney": { "amount": format!("{}.5", number + 10), "currencyCode": "USD" } },
        "customer": { "id": format!("gid://shopify/Customer/{}", customer_id(number % 600)) },
    })
}

/// Where somebody lives; every second has none, and few a company.
fn address(number: usize) -> Value {
    if number.is_multiple_of(2) {
        return json!(null);
    }
    json!({
        "address1": format!("Chestnut Street {number}"),
        "address2": if number % 3 == 1 { "Apartment 2" } else { "" },
        "city": "Louisville",
        "company": if number.is_multiple_of(5) { json!("Acme") } else { json!(null) },
        "country": "United States",
        "country_code": "US",
        "first_name": "Bob",
        "last_name": format!("Norman {number}"),
        "phone": "555-625-1199",
        "province": "Kentucky",
        "province_code": "KY",
        "zip": "40202",
    })
}

fn customer_id(number: usize) -> u64 {
    7_200_000_000_000 - number as u64 * 32_768
}

fn customer(number: usize) -> Value {
    json!({
        "id": customer_id(number),
        "admin_graphql_api_id": format!("gid://shopify/Customer/{}", customer_id(number)),
        "addresses": if number.is_multiple_of(2) { json!([]) } else { json!([address(number)]) },
        "created_at": time(number),
        "currency": "USD",
        "default_address": address(number),
        "email": if number % 9 == 4 { json!(null) } else { json!(format!("bob{number}@example.com")) },
        "first_name": "Bob",
        "last_name": format!("Norman {number}"),
        "last_order_id": null,
        "note": null,
        "orders_count": 1,
        "phone": if number.is_multiple_of(4) { json!("+16136120707") } else { json!(null) },
        "state": "disabled",
        "tags": if number.is_multiple_of(6) { "loyal, vip" } else { "" },
        "tax_exempt": false,
        "total_spent": "199.65",
        "updated_at": time(number),
        "verified_email": true,
    })
}

fn product_id(number: usize) -> u64 {
    8_300_000_000_000 - number as u64 * 32_768
}

fn product(number: usize) -> Value {
    json!({
        "id": product_id(number),
        "admin_graphql_api_id": format!("gid://shopify/Product/{}", product_id(number)),
        "body_html": null,
        "created_at": time(number),
        "handle": format!("ipod-nano-{number}"),
        "image": null,
        "images": [],
        "options": [{ "id": product_id(number) + 3, "name": "Color", "position": 1, "values": ["Pink"] }],
        "product_type": "Cult Products",
        "published_at": if number % 4 == 3 { json!(null) } else { json!(time(number)) },
        "status": if number % 4 == 3 { "draft" } else { "active" },
        "tags": "Emotive, MP3",
        "template_suffix": null,
        "title": format!("IPod Nano {number}"),
        "updated_at": time(number),
        "variants": [{
            "id": product_id(number) + 9,
            "inventory_quantity": 10,
            "option1": "Pink",
            "price": "199.00",
            "product_id": product_id(number),
            "sku": "IPOD2008PINK",
            "title": "Pink",
        }],
        "vendor": "Apple",
    })
}
