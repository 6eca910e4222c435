//! A plain client against the helpdesk: what it gives, refuses and counts.

use axum::body::Bytes;

use super::*;
use crate::json;
use crate::playground::hostile;

const SOON: Duration = Duration::from_secs(10);

struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

struct Got {
    status: u16,
    retry_after: Option<String>,
    body: String,
}

impl Client {
    fn new(helpdesk: &Helpdesk) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, url: helpdesk.url(), token: helpdesk.settings().token.clone() }
    }

    async fn get(&self, path: &str) -> Got {
        self.try_get(path).await.unwrap()
    }

    async fn try_get(&self, path: &str) -> Result<Got, reqwest::Error> {
        let mut response =
            self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await?;
        let retry_after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        while let Some(chunk) = response.chunk().await? {
            body.extend(chunk);
        }
        Ok(Got { status, retry_after, body: String::from_utf8(body).unwrap() })
    }

    /// All ids of a list, page by page.
    async fn list(&self, path: &str, name: &str, limit: u64) -> Vec<u64> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let got = self.get(&format!("{path}?limit={limit}&cursor={cursor}")).await;
            assert_eq!(got.status, 200, "{}", got.body);
            let records = json::get(&got.body, &[name]).unwrap();
            for range in json::elements(records).unwrap() {
                ids.push(json::get(&records[range], &["id"]).unwrap().parse().unwrap());
            }
            let next = json::get(&got.body, &["meta", "next_cursor"]).unwrap();
            let has_more = json::get(&got.body, &["meta", "has_more"]).unwrap() == "true";
            assert_eq!(has_more, next != "null");
            if !has_more {
                return ids;
            }
            cursor = json::text_of(next).into_owned();
        }
    }
}

async fn pair(settings: Settings) -> (Helpdesk, Client) {
    let helpdesk = Helpdesk::start(settings).await.unwrap();
    let client = Client::new(&helpdesk);
    (helpdesk, client)
}

#[tokio::test]
async fn every_record_is_given_once_and_booked() {
    let (helpdesk, client) = pair(Settings { tickets: 205, ..Settings::default() }).await;
    for resource in [Resource::Tickets, Resource::Users, Resource::Organizations] {
        let ids = client.list(&format!("/api/v1/{resource}"), resource.as_str(), 100).await;
        assert_eq!(ids, helpdesk.ids(resource).into_iter().collect::<Vec<_>>(), "{resource}");
        assert_eq!(helpdesk.read(|ledger| ledger.served(resource)), ids.len(), "{resource}");
    }
    let mut comments = Vec::new();
    for ticket in helpdesk.ids(Resource::Tickets) {
        comments.extend(client.list(&format!("/api/v1/tickets/{ticket}/comments"), "comments", 1).await);
    }
    assert_eq!(comments, helpdesk.ids(Resource::Comments).into_iter().collect::<Vec<_>>());
    helpdesk.read(|ledger| {
        assert_eq!(ledger.served(Resource::Comments), comments.len());
        assert_eq!(ledger.asked("/api/v1/tickets", ""), 1);
        assert_eq!(ledger.asked.keys().filter(|(path, _)| path == "/api/v1/tickets").count(), 3);
        assert_eq!(ledger.status(200), ledger.requests);
    });
}

#[tokio::test]
async fn single_tickets_limits_and_refusals() {
    let (helpdesk, mut client) = pair(Settings::default()).await;
    assert_eq!(client.get("/api/v1/tickets/7").await.body, helpdesk.ticket(7).unwrap());
    let page = client.get("/api/v1/tickets?limit=5000").await.body;
    assert_eq!(json::elements(json::get(&page, &["tickets"]).unwrap()).unwrap().len(), 100);
    for (path, status) in [
        ("/api/v1/tickets/251", 404),
        ("/api/v1/tickets/251/comments", 404),
        ("/api/v1/unknown", 404),
        ("/api/v1/tickets?cursor=nonsense", 400),
        ("/api/v1/tickets?limit=0", 400),
        ("/api/v1/tickets?limit=x", 400),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
    helpdesk.mutate_ticket(7);
    assert_eq!(client.get("/api/v1/tickets/7").await.body, helpdesk.ticket(7).unwrap());
    helpdesk.remove_ticket(7);
    assert_eq!(client.get("/api/v1/tickets/7").await.status, 404);
    client.token = "wrong".to_owned();
    assert_eq!(client.get("/api/v1/tickets").await.status, 401);
    assert_eq!(
        helpdesk.read(|ledger| (ledger.status(401), ledger.status(400), ledger.status(404))),
        (1, 3, 4)
    );
}

#[tokio::test]
async fn rate_limits_errors_and_impatience_are_booked() {
    let rate_limit = RateLimit::Every { requests: 3, retry_after_seconds: 60 };
    let (helpdesk, client) = pair(Settings { rate_limit, error_every: 2, ..Settings::default() }).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(client.get("/api/v1/users").await.status);
    }
    assert_eq!(statuses, [200, 500, 200, 429, 429]);
    assert_eq!(client.get("/api/v1/users").await.retry_after.as_deref(), Some("60"));
    helpdesk.read(|ledger| {
        assert_eq!((ledger.limits, ledger.limit_violations, ledger.status(429)), (1, 2, 3));
        assert_eq!(ledger.status(500), 1);
    });
}

#[tokio::test]
async fn it_can_be_held_scripted_and_taken_down() {
    let (helpdesk, client) = pair(Settings::default()).await;
    helpdesk.hold();
    let (got, ()) = tokio::join!(client.get("/api/v1/users"), async {
        helpdesk.wait_for_requests(1, SOON).await.unwrap();
        assert_eq!(helpdesk.read(|ledger| ledger.status(200)), 0);
        helpdesk.release();
    });
    assert_eq!(got.status, 200);
    helpdesk.fail_next(1, 503);
    assert_eq!(client.get("/api/v1/users").await.status, 503);
    helpdesk.down();
    assert!(client.try_get("/api/v1/users").await.is_err());
    helpdesk.up();
    helpdesk.limit_now(9);
    assert_eq!(client.get("/api/v1/users").await.retry_after.as_deref(), Some("9"));
    helpdesk.script(|info| match info.resource {
        Some(Resource::Users) => Some(Answer::ok().json(hostile::broken("{\"users\":["))),
        Some(Resource::Tickets) => Some(Answer::ok().json(hostile::endless("{\"tickets\":[", "1,"))),
        _ => None,
    });
    assert!(client.try_get("/api/v1/users").await.is_err(), "the body breaks");
    let mut response = client.http.get(format!("{}/api/v1/tickets", client.url)).send().await.unwrap();
    let mut seen = 0;
    while seen < 1 << 20 {
        seen += response.chunk().await.unwrap().map_or(0, |chunk: Bytes| chunk.len());
    }
    helpdesk.unscript();
    assert_eq!(helpdesk.read(|ledger| ledger.hung_up), 1);
}
