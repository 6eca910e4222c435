//! The helpdesk's records, made from the seed when they are asked for: a million tickets cost no memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Resource, Settings};
use crate::clock::Millis;

/// 2026-01-01T00:00:00Z: the helpdesk opened.
const OPENED: Millis = Millis(1_767_225_600_000);
/// Comment ids are the ticket's times this, plus a number.
const COMMENTS_A_TICKET_MAX: u64 = 1000;
/// Beyond what a 64-bit float can hold: whoever parses it as one changes it.
const BIG: u64 = 9_007_199_254_740_993;

const WORDS: [&str; 24] = [
    "printer",
    "invoice",
    "login",
    "refund",
    "password",
    "delivery",
    "café",
    "naïve",
    "upgrade",
    "timeout",
    "export",
    "webhook",
    "slow",
    "broken",
    "again",
    "customer",
    "please",
    "urgent",
    "日本語",
    "résumé",
    "account",
    "billing",
    "screen",
    "mobile",
];

#[derive(Debug)]
pub(super) struct Data {
    seed: u64,
    tickets: u64,
    users: u64,
    organizations: u64,
    comments_every: u64,
    comments_max: u64,
    revisions: BTreeMap<u64, u64>,
    removed: BTreeSet<u64>,
}

/// One page: ids and texts, and whether more follows.
pub(super) struct Page {
    pub(super) records: Vec<(u64, String)>,
    pub(super) has_more: bool,
}

impl Data {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            seed: settings.seed,
            tickets: settings.tickets,
            users: settings.users,
            organizations: settings.organizations,
            comments_every: settings.comments_every,
            comments_max: settings.comments_max.clamp(1, COMMENTS_A_TICKET_MAX - 1),
            revisions: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    pub(super) fn mutate_ticket(&mut self, id: u64) {
        *self.revisions.entry(id).or_default() += 1;
    }

    pub(super) fn remove_ticket(&mut self, id: u64) {
        self.removed.insert(id);
    }

    pub(super) fn add_tickets(&mut self, count: u64) {
        self.tickets += count;
    }

    pub(super) fn has_ticket(&self, id: u64) -> bool {
        (1..=self.tickets).contains(&id) && !self.removed.contains(&id)
    }

    pub(super) fn ids(&self, resource: Resource) -> BTreeSet<u64> {
        let tickets = || (1..=self.tickets).filter(|id| self.has_ticket(*id));
        match resource {
            Resource::Tickets => tickets().collect(),
            Resource::Users => (1..=self.users).collect(),
            Resource::Organizations => (1..=self.organizations).collect(),
            Resource::Comments => {
                tickets().flat_map(|id| (1..=self.comments_of(id)).map(move |n| comment_id(id, n))).collect()
            }
        }
    }

    /// Up to `limit` records with ids above `after`, in the order of their ids.
    pub(super) fn page(&self, resource: Resource, ticket: Option<u64>, after: u64, limit: u64) -> Page {
        let first = after.saturating_add(1);
        let mut ids: Vec<u64> = match resource {
            Resource::Tickets => {
                let present = (first..=self.tickets).filter(|id| self.has_ticket(*id));
                present.take(usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1)).collect()
            }
            Resource::Users => (first..=self.users.min(after.saturating_add(limit + 1))).collect(),
            Resource::Organizations => {
                (first..=self.organizations.min(after.saturating_add(limit + 1))).collect()
            }
            Resource::Comments => {
                let ticket = ticket.unwrap_or_default();
                let all = (1..=self.comments_of(ticket)).map(|n| comment_id(ticket, n));
                all.filter(|id| *id > after).collect()
            }
        };
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = ids.len() > wanted;
        ids.truncate(wanted);
        Page { records: ids.into_iter().map(|id| (id, self.record(resource, id))).collect(), has_more }
    }

    pub(super) fn ticket(&self, id: u64) -> Option<String> {
        self.has_ticket(id).then(|| self.record(Resource::Tickets, id))
    }

    fn comments_of(&self, ticket: u64) -> u64 {
        let every = self.comments_every;
        if every == 0 || !ticket.is_multiple_of(every) || !self.has_ticket(ticket) {
            return 0;
        }
        1 + (ticket / every) % self.comments_max
    }

    fn record(&self, resource: Resource, id: u64) -> String {
        match resource {
            Resource::Tickets => self.ticket_text(id),
            Resource::Users => self.user_text(id),
            Resource::Organizations => self.organization_text(id),
            Resource::Comments => self.comment_text(id),
        }
    }

    fn ticket_text(&self, id: u64) -> String {
        let revision = self.revisions.get(&id).copied().unwrap_or(0);
        let mut dice = Dice::new(self.seed, 1, id, revision);
        let status = dice.one_of(&["open", "pending", "solved", "closed"]);
        let subject = dice.words(4);
        let (long, words) = (dice.words(36), 18 + dice.below(30));
        let rest = dice.words(words);
        let (requester, organization) =
            (1 + dice.below(self.users.max(1)), 1 + dice.below(self.organizations.max(1)));
        let (seats, cents) = (dice.below(500), dice.below(10));
        let created = OPENED.plus(Duration::from_secs(id * 60));
        let updated = created.plus(Duration::from_secs(revision * 3600));
        // Keys out of the alphabet's order, a number no float holds, decimals with a closing zero, escapes: what
        // arrives at the receiver must be these very bytes.
        format!(
            concat!(
                r#"{{"id":{id},"subject":"{subject}","external_id":{external},"status":"{status}","#,
                r#""description":"{long}.\n\"{rest}\" \u2713","price":{seats}.{cents}0,"requester_id":{requester},"#,
                r#""organization_id":{organization},"tags":["vip","eu-{cents}"],"custom_fields":{{"plan":{{"name":"pro","#,
                r#""seats":{seats}}},"score":1.10,"ratio":2.50e-3,"empty":null,"list":[1,2.0,"3"]}},"revision":{revision},"#,
                r#""created_at":"{created}","updated_at":"{updated}"}}"#
            ),
            id = id,
            subject = subject,
            external = BIG + id * 2,
            status = status,
            long = long,
            rest = rest,
            seats = seats,
            cents = cents,
            requester = requester,
            organization = organization,
            revision = revision,
            created = created.rfc3339(),
            updated = updated.rfc3339(),
        )
    }

    fn user_text(&self, id: u64) -> String {
        let mut dice = Dice::new(self.seed, 2, id, 0);
        let name = dice.words(2);
        let organization = 1 + dice.below(self.organizations.max(1));
        let role = dice.one_of(&["end-user", "agent", "admin"]);
        let updated = OPENED.plus(Duration::from_secs(id * 30)).rfc3339();
        format!(
            r#"{{"id":{id},"name":"{name}","email":"user-{id}@example.com","role":"{role}","organization_id":{organization},"active":true,"updated_at":"{updated}"}}"#
        )
    }

    fn organization_text(&self, id: u64) -> String {
        let mut dice = Dice::new(self.seed, 3, id, 0);
        let (name, revenue) = (dice.words(2), dice.below(1_000_000));
        let updated = OPENED.plus(Duration::from_secs(id)).rfc3339();
        format!(
            r#"{{"id":{id},"name":"{name} Ltd","domain":"org-{id}.example.com","revenue":{revenue}.10,"updated_at":"{updated}"}}"#
        )
    }

    fn comment_text(&self, id: u64) -> String {
        let mut dice = Dice::new(self.seed, 4, id, 0);
        let ticket = id / COMMENTS_A_TICKET_MAX;
        let (author, words) = (1 + dice.below(self.users.max(1)), 8 + dice.below(24));
        let text = dice.words(words);
        let created = OPENED.plus(Duration::from_secs(ticket * 60 + id % COMMENTS_A_TICKET_MAX)).rfc3339();
        format!(
            r#"{{"id":{id},"ticket_id":{ticket},"author_id":{author},"body":"{text}","public":true,"created_at":"{created}"}}"#
        )
    }
}

fn comment_id(ticket: u64, number: u64) -> u64 {
    ticket * COMMENTS_A_TICKET_MAX + number
}

/// SplitMix64: a stream of numbers that follows from where it starts.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, kind: u64, id: u64, revision: u64) -> Self {
        let mut dice = Self(seed ^ kind.rotate_left(56) ^ id.rotate_left(20) ^ revision.rotate_left(8));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        let index = usize::try_from(self.next() % 4096).unwrap_or(0) % texts.len().max(1);
        texts.get(index).copied().unwrap_or_default()
    }

    fn words(&mut self, count: u64) -> String {
        let mut text = String::with_capacity(usize::try_from(count * 8).unwrap_or(0));
        for index in 0..count {
            if index > 0 {
                text.push(' ');
            }
            text.push_str(self.one_of(&WORDS));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let data = |seed| Data::new(&Settings { seed, ..Settings::default() });
        assert_eq!(data(7).ticket(42), data(7).ticket(42));
        assert_ne!(data(7).ticket(42), data(8).ticket(42));
        assert_ne!(data(7).ticket(42), data(7).ticket(43));
    }

    #[test]
    fn a_ticket_is_json_of_a_real_size_with_numbers_no_float_holds() {
        let data = Data::new(&Settings { tickets: 1000, ..Settings::default() });
        for id in 1..=1000 {
            let text = data.ticket(id).unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
            assert!((550..1300).contains(&text.len()), "{}", text.len());
            let external: u64 = crate::json::get(&text, &["external_id"]).unwrap().parse().unwrap();
            assert!(external > 1 << 53 && external % 2 == 1, "an even one may survive a float");
            assert_eq!(crate::json::get(&text, &["custom_fields", "score"]), Some("1.10"));
        }
        for (resource, id) in
            [(Resource::Users, 1), (Resource::Organizations, 1), (Resource::Comments, 25_001)]
        {
            serde_json::from_str::<serde_json::Value>(&data.record(resource, id)).unwrap();
        }
    }

    #[test]
    fn pages_cover_every_id_once_also_when_tickets_come_and_go() {
        let mut data = Data::new(&Settings { tickets: 95, ..Settings::default() });
        data.remove_ticket(10);
        data.remove_ticket(11);
        data.add_tickets(3);
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = data.page(Resource::Tickets, None, after, 10);
            seen.extend(page.records.iter().map(|(id, _)| *id));
            if !page.has_more {
                break;
            }
            after = *seen.last().unwrap();
        }
        assert_eq!(seen, data.ids(Resource::Tickets).into_iter().collect::<Vec<_>>());
        assert_eq!(seen.len(), 96);
    }

    #[test]
    fn some_tickets_have_comments_and_a_changed_one_has_new_bytes() {
        let mut data = Data::new(&Settings { comments_every: 10, comments_max: 3, ..Settings::default() });
        assert_eq!(data.page(Resource::Comments, Some(9), 0, 10).records.len(), 0);
        assert_eq!(data.page(Resource::Comments, Some(10), 0, 10).records.len(), 2);
        let first = data.page(Resource::Comments, Some(10), 0, 1);
        assert!(first.has_more);
        assert_eq!(data.page(Resource::Comments, Some(10), first.records[0].0, 1).records[0].0, 10_002);
        let before = data.ticket(10);
        data.mutate_ticket(10);
        assert_ne!(data.ticket(10), before);
    }
}
