//! What the source answers: a function of the request alone. A record's id tells where it stands: `r2.0/r3.1` is the second
//! record of `r3` below the first one of `r2`.

use std::fmt::Write as _;

/// Records of a page.
pub(crate) const PAGE: usize = 6;
/// How deep records have more below them.
const DEPTH_MAX: usize = 3;
/// Records that a changing list may have.
const CHANGING: u64 = 20;
/// A list below a record is long, several pages, once in so many.
const LONG_EVERY: u64 = 12;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct List<'q> {
    pub(crate) account: &'q str,
    /// Those that begin with `v` change from run to run.
    pub(crate) resource: &'q str,
    /// Below which record; empty for none.
    pub(crate) parent: &'q str,
    pub(crate) run: &'q str,
}

/// A record of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) n: u64,
    /// Whether the same resource has records below it.
    pub(crate) more: bool,
}

impl List<'_> {
    /// All its records, in order.
    pub(crate) fn records(self) -> Vec<Record> {
        let Self { account, resource, parent, run } = self;
        if is_changing(resource) {
            // One in five is not there in this run, one in five has another content.
            let state = |number: u64| hash(&[account, resource, run, &number.to_string()]) % 5;
            return (0..CHANGING)
                .filter(|number| state(*number) != 0)
                .map(|number| Record {
                    id: format!("{resource}.{number}"),
                    n: number * 2 + u64::from(state(number) == 1),
                    more: false,
                })
                .collect();
        }
        let drawn = hash(&[account, resource, parent]);
        let length = match (parent.is_empty(), drawn % LONG_EVERY) {
            (true, _) => 4 + drawn % 11,
            (false, 0) => 8,
            (false, _) => (drawn >> 8) % 4,
        };
        let under = if parent.is_empty() { String::new() } else { format!("{parent}/") };
        (0..length)
            .map(|number| {
                let id = format!("{under}{resource}.{number}");
                let n = hash(&[account, &id]) % 100;
                let more = n.is_multiple_of(3) && id.split('/').count() < DEPTH_MAX;
                Record { id, n, more }
            })
            .collect()
    }

    /// The page at a cursor, as the source answers it. `None` when the cursor was given for another list.
    pub(crate) fn page(self, cursor: &str) -> Option<String> {
        let own = hash(&[self.account, self.resource, self.parent]);
        let offset = match cursor.split_once('-') {
            None if cursor.is_empty() => 0,
            Some((offset, list)) if list == format!("{own:x}") => offset.parse::<usize>().ok()?,
            None | Some(_) => return None,
        };
        let records = self.records();
        let mut page = String::from("{\"records\":[");
        for (index, record) in records.iter().skip(offset).take(PAGE).enumerate() {
            let Record { id, n, more } = record;
            let comma = if index > 0 { "," } else { "" };
            // Writing into a text can't fail.
            let _ =
                write!(page, "{comma}{{\"id\":\"{id}\",\"n\":{n},\"more\":{more},\"note\":\"as it came\"}}");
        }
        let next = offset + PAGE;
        let has_more = next < records.len();
        let next = if has_more { format!("\"{next}-{own:x}\"") } else { "null".to_owned() };
        let _ = write!(page, "],\"meta\":{{\"has_more\":{has_more},\"next_cursor\":{next}}}}}");
        Some(page)
    }
}

/// Whether a resource's lists change from run to run.
pub(crate) fn is_changing(resource: &str) -> bool {
    resource.starts_with('v')
}

/// FNV-1a, mixed once more so that its low bits are as good as its high ones.
pub(crate) fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}
