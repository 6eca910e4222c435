//! Stripe as its documentation describes it: newest first, the next page after an object's id, `has_more`; a
//! parameter that a list doesn't know is refused.

use serde_json::{Value, json};

use super::{Answer, Api, Asked, List};

/// When the newest object of each kind was made; every other is an hour older than the one before it.
const NEWEST: u64 = 1_764_000_000;
const VERSIONS: [&str; 3] = ["2025-12-15.clover", "2026-05-27.dahlia", "2026-09-30.endive"];

pub(super) const API: Api = Api {
    name: "stripe",
    account: r#"{"context": {}, "credentials": {"api_key": "sk_test_canary"}}"#,
    lists: &[
        List { resource: "customers", query: "{}", records: 230 },
        // The newest 210.
        List { resource: "customers", query: r#"{"created": {"gte": 1763247600}}"#, records: 210 },
        List { resource: "charges", query: "{}", records: 230 },
        List { resource: "invoices", query: "{}", records: 230 },
        List { resource: "subscriptions", query: "{}", records: 230 },
        // Stripe's own default would be all but the canceled ones.
        List { resource: "subscriptions", query: r#"{"status": "active"}"#, records: 207 },
        List { resource: "events", query: "{}", records: 230 },
        List { resource: "events", query: r#"{"created": {"gte": 1763247600}}"#, records: 210 },
        List { resource: "products", query: "{}", records: 230 },
        List { resource: "prices", query: "{}", records: 460 },
        List { resource: "prices", query: r#"{"product": "prod_canary"}"#, records: 230 },
    ],
    unified: &[
        // Without the newest five, and without those made at `gt` or before.
        List {
            resource: "crm/contacts",
            query: r#"{"created_at": {"gt": "2025-11-15T23:00:00Z", "lt": "2025-11-24T12:00:00Z"}}"#,
            records: 204,
        },
    ],
    answer,
    limited,
    limited_for: 2, // It doesn't say; this is what the integration declares.
};

struct Kind {
    path: &'static str,
    /// What Stripe calls one of them in an error.
    title: &'static str,
    records: usize,
    /// Parameters that must equal a member of the object.
    filters: &'static [&'static str],
    object: fn(usize) -> Value,
}

const KINDS: [Kind; 7] = [
    Kind { path: "customers", title: "customer", records: 230, filters: &["email"], object: customer },
    Kind { path: "charges", title: "charge", records: 230, filters: &["customer"], object: charge },
    Kind {
        path: "invoices",
        title: "invoice",
        records: 230,
        filters: &["customer", "status"],
        object: invoice,
    },
    Kind {
        path: "subscriptions",
        title: "subscription",
        records: 230,
        filters: &["customer"],
        object: subscription,
    },
    Kind { path: "events", title: "event", records: 230, filters: &["type"], object: event },
    Kind { path: "products", title: "product", records: 230, filters: &["active"], object: product },
    Kind { path: "prices", title: "price", records: 463, filters: &["product", "currency"], object: price },
];

fn answer(asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer sk_test_canary" {
        return refused(401, json!({ "message": "Invalid API Key provided: sk_test_****ary" }));
    }
    let version = asked.header("stripe-version");
    if !VERSIONS.contains(&version) {
        return refused(400, json!({ "message": format!("Invalid Stripe API version: {version}") }));
    }
    let path = asked.path.strip_prefix("/v1/").unwrap_or_default();
    let (collection, id) = path.split_once('/').map_or((path, None), |(path, id)| (path, Some(id)));
    let kind = KINDS.iter().find(|kind| kind.path == collection && asked.method == "GET");
    let answer = match (kind, id) {
        (Some(kind), None) => list(kind, asked),
        (Some(kind), Some(id)) => get(kind, id),
        (None, _) => {
            let message = format!("Unrecognized request URL ({}: {}).", asked.method, asked.path);
            refused(404, json!({ "message": message }))
        }
    };
    answer.with("stripe-version", version).with("request-id", "req_TksOVbiEmZxLox")
}

fn limited() -> Answer {
    let error = json!({ "code": "rate_limit", "message": "Request rate limit exceeded." });
    refused(429, error).with("stripe-rate-limited-reason", "global-rate")
}

/// An error of Stripe's.
fn refused(status: u16, mut error: Value) -> Answer {
    error["type"] = json!("invalid_request_error");
    Answer::json(status, json!({ "error": error }))
}

fn missing(kind: &Kind, status: u16, id: &str, param: &str) -> Answer {
    let message = format!("No such {}: '{id}'", kind.title);
    refused(status, json!({ "code": "resource_missing", "message": message, "param": param }))
}

fn get(kind: &Kind, id: &str) -> Answer {
    let found = (0..kind.records).map(kind.object).find(|object| object["id"] == id);
    found.map_or_else(|| missing(kind, 404, id, "id"), |object| Answer::json(200, object))
}

fn list(kind: &Kind, asked: &Asked) -> Answer {
    let foreign = ["page", "offset", "cursor", "per_page", "page_size", "updated"];
    if let Some(name) = foreign.into_iter().find(|name| asked.query(name).is_some()) {
        let message = format!("Received unknown parameter: {name}");
        return refused(400, json!({ "code": "parameter_unknown", "message": message, "param": name }));
    }
    let limit = match asked.query("limit").unwrap_or("10").parse::<usize>() {
        Ok(limit) if (1..=100).contains(&limit) => limit,
        Ok(_) | Err(_) => {
            let message = "This value must be an integer between 1 and 100.";
            let code = "parameter_invalid_integer";
            return refused(400, json!({ "code": code, "message": message, "param": "limit" }));
        }
    };
    let objects: Vec<Value> = (0..kind.records).map(kind.object).collect();
    let start = match asked.query("starting_after") {
        None => 0,
        Some(id) => match objects.iter().position(|object| object["id"] == id) {
            Some(index) => index + 1,
            None => return missing(kind, 400, id, "starting_after"),
        },
    };
    let rest: Vec<&Value> = objects[start..].iter().filter(|object| matches(kind, asked, object)).collect();
    Answer::json(
        200,
        json!({
            "object": "list",
            "url": format!("/v1/{}", kind.path),
            "has_more": rest.len() > limit,
            "data": rest.iter().take(limit).collect::<Vec<_>>(),
        }),
    )
}

/// Whether the list holds this object.
fn matches(kind: &Kind, asked: &Asked, object: &Value) -> bool {
    let text = |name: &str| object[name].as_str().map_or_else(|| object[name].to_string(), str::to_owned);
    let equals = |name: &str, value: &str| text(name) == value;
    let wanted = |name: &&str| asked.query(name).is_none_or(|value| equals(name, value));
    let by_default = match kind.path {
        "subscriptions" => match asked.query("status") {
            None => object["status"] != "canceled",
            Some("all") => true,
            Some(status) => object["status"] == status,
        },
        "prices" => equals("active", asked.query("active").unwrap_or("true")),
        _ => true,
    };
    by_default && kind.filters.iter().all(wanted) && was_created(asked, object["created"].as_u64().unwrap())
}

fn was_created(asked: &Asked, created: u64) -> bool {
    let bound = |name: &str| asked.query(name).map(|value| value.parse::<u64>().unwrap());
    bound("created").is_none_or(|bound| created == bound)
        && bound("created[gt]").is_none_or(|bound| created > bound)
        && bound("created[gte]").is_none_or(|bound| created >= bound)
        && bound("created[lt]").is_none_or(|bound| created < bound)
        && bound("created[lte]").is_none_or(|bound| created <= bound)
}

/// An id in which no order can be seen.
fn id(prefix: &str, number: usize) -> String {
    let digits: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
    let mut rest = (number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let mut text = format!("{prefix}_");
    for _ in 0..14 {
        text.push(digits[(rest % 62) as usize]);
        rest /= 62;
    }
    text
}

fn created(number: usize) -> u64 {
    NEWEST - number as u64 * 3600
}

/// Every third is a business, and every second has an address.
fn customer(number: usize) -> Value {
    let is_business = number.is_multiple_of(3);
    let address = json!({
        "city": "San Francisco",
        "country": "US",
        "line1": format!("{number} Townsend St"),
        "line2": if number.is_multiple_of(4) { json!("Suite 1") } else { json!(null) },
        "postal_code": "94103",
        "state": "CA",
    });
    json!({
        "id": id("cus", number),
        "object": "customer",
        "address": if number.is_multiple_of(2) { address } else { json!(null) },
        "balance": 0,
        "business_name": is_business.then(|| format!("Rosen {number} Inc.")),
        "created": created(number),
        "currency": if number.is_multiple_of(3) { json!(null) } else { json!("usd") },
        "default_source": null,
        "delinquent": number.is_multiple_of(11),
        "description": null,
        "email": format!("customer{number}@example.com"),
        "individual_name": is_business.then(|| format!("Jenny Rosen {number}")),
        "invoice_prefix": format!("0759376{number:03}"),
        "invoice_settings": { "custom_fields": null, "default_payment_method": null, "footer": null },
        "livemode": false,
        "metadata": { "crm_id": number.to_string() },
        "name": if is_business { format!("Rosen {number} Inc.") } else { format!("Jenny Rosen {number}") },
        "phone": if number.is_multiple_of(5) { json!("+15551234567") } else { json!(null) },
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    })
}

fn charge(number: usize) -> Value {
    let failed = number % 9 == 4;
    json!({
        "id": id("ch", number),
        "object": "charge",
        "amount": 1099 + number,
        "amount_captured": if failed { 0 } else { 1099 + number },
        "amount_refunded": 0,
        "balance_transaction": if failed { json!(null) } else { json!(id("txn", number)) },
        "billing_details": { "address": { "country": "US" }, "email": null, "name": "Jenny" },
        "captured": !failed,
        "created": created(number),
        "currency": "usd",
        "customer": id("cus", number % 230),
        "description": null,
        "disputed": false,
        "failure_code": if failed { json!("card_declined") } else { json!(null) },
        "livemode": false,
        "metadata": {},
        "outcome": { "network_status": "approved_by_network", "risk_level": "normal", "type": "authorized" },
        "paid": !failed,
        "payment_intent": id("pi", number),
        "payment_method_details": { "card": { "brand": "visa", "last4": "4242" }, "type": "card" },
        "refunded": false,
        "status": if failed { "failed" } else { "succeeded" },
    })
}

fn invoice(number: usize) -> Value {
    let status = ["paid", "open", "draft", "void"][number % 4];
    json!({
        "id": id("in", number),
        "object": "invoice",
        "amount_due": 2000,
        "amount_paid": if status == "paid" { 2000 } else { 0 },
        "created": created(number),
        "currency": "usd",
        "customer": id("cus", number % 230),
        "due_date": null,
        "lines": {
            "object": "list",
            "data": [{ "id": id("il", number), "object": "line_item", "amount": 2000, "quantity": 1 }],
            "has_more": false,
            "url": format!("/v1/invoices/{}/lines", id("in", number)),
        },
        "livemode": false,
        "metadata": {},
        "number": if status == "draft" { json!(null) } else { json!(format!("0759376C-{number:04}")) },
        "parent": {
            "type": "subscription_details",
            "subscription_details": { "metadata": {}, "subscription": id("sub", number) },
            "quote_details": null,
        },
        "period_end": created(number),
        "period_start": created(number) - 2_592_000,
        "status": status,
        "subtotal": 2000,
        "total": 2000,
    })
}

fn subscription(number: usize) -> Value {
    let is_canceled = number % 10 == 9;
    json!({
        "id": id("sub", number),
        "object": "subscription",
        "cancel_at": null,
        "cancel_at_period_end": false,
        "canceled_at": if is_canceled { json!(created(number) + 60) } else { json!(null) },
        "collection_method": "charge_automatically",
        "created": created(number),
        "currency": "usd",
        "customer": id("cus", number % 230),
        "discounts": [],
        "ended_at": null,
        "items": {
            "object": "list",
            "data": [{
                "id": id("si", number),
                "object": "subscription_item",
                "current_period_end": created(number) + 2_592_000,
                "current_period_start": created(number),
                "price": price(number),
                "quantity": 1,
            }],
            "has_more": false,
            "url": format!("/v1/subscription_items?subscription={}", id("sub", number)),
        },
        "latest_invoice": id("in", number),
        "livemode": false,
        "metadata": {},
        "status": if is_canceled { "canceled" } else { "active" },
        "trial_end": null,
    })
}

fn event(number: usize) -> Value {
    let (name, object) = match number % 3 {
        0 => ("customer.updated", customer(number)),
        1 => ("charge.succeeded", charge(number)),
        _ => ("customer.subscription.deleted", subscription(number)),
    };
    let mut data = json!({ "object": object });
    if name == "customer.updated" {
        data["previous_attributes"] = json!({ "email": null });
    }
    json!({
        "id": id("evt", number),
        "object": "event",
        "api_version": "2024-06-20",
        "created": created(number),
        "data": data,
        "livemode": false,
        "pending_webhooks": 0,
        "request": { "id": null, "idempotency_key": null },
        "type": name,
    })
}

/// The first one's id is known, since Stripe lets a product's id be chosen.
fn product_id(number: usize) -> String {
    if number == 0 { "prod_canary".to_owned() } else { id("prod", number) }
}

fn product(number: usize) -> Value {
    json!({
        "id": product_id(number),
        "object": "product",
        "active": number % 5 != 1,
        "created": created(number),
        "default_price": null,
        "description": null,
        "images": [],
        "livemode": false,
        "marketing_features": [],
        "metadata": {},
        "name": format!("Gold plan {number}"),
        "package_dimensions": null,
        "shippable": null,
        "statement_descriptor": null,
        "tax_code": null,
        "unit_label": null,
        "updated": created(number),
        "url": null,
    })
}

/// Half of them belong to the first product, and the oldest three are not active.
fn price(number: usize) -> Value {
    let product = if number.is_multiple_of(2) { 0 } else { number % 229 + 1 };
    json!({
        "id": id("price", number),
        "object": "price",
        "active": number < 460,
        "billing_scheme": "per_unit",
        "created": created(number),
        "currency": "usd",
        "custom_unit_amount": null,
        "livemode": false,
        "lookup_key": null,
        "metadata": {},
        "nickname": null,
        "product": product_id(product),
        "recurring": { "interval": "month", "interval_count": 1, "usage_type": "licensed" },
        "tax_behavior": "unspecified",
        "tiers_mode": null,
        "transform_quantity": null,
        "type": "recurring",
        "unit_amount": 1000 + number,
        "unit_amount_decimal": (1000 + number).to_string(),
    })
}
