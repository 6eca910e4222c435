//! Records on their way: a page as it came, or what was made of one.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::seam::Page;
use crate::json;

/// Some records, as slices of one text. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    body: Bytes,
    records: Arc<[Range<usize>]>,
}

impl Batch {
    /// The records of a page.
    pub fn of_page(page: &Page) -> Self {
        Self { body: page.body.clone(), records: page.records.clone().into() }
    }

    /// The elements of a JSON array; any other value is one record, `null` is none.
    pub fn of_json(text: String) -> Self {
        if text == "null" {
            return Self::default();
        }
        let whole = || std::iter::once(0..text.len()).collect();
        let records: Arc<[Range<usize>]> = json::elements(&text).map_or_else(|_| whole(), Into::into);
        Self { body: Bytes::from(text), records }
    }

    /// One after the other.
    pub fn joined<'b>(batches: impl Iterator<Item = &'b str>) -> Self {
        Self::of_json(format!("[{}]", batches.collect::<Vec<_>>().join(",")))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(ExactSizeIterator::len).sum()
    }

    /// How many bytes are kept in memory for them.
    pub fn kept(&self) -> usize {
        self.body.len()
    }

    /// The record at `index`, as it was written.
    pub fn record(&self, index: usize) -> &str {
        let bytes = self.records.get(index).and_then(|range| self.body.get(range.clone()));
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("null")
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// These of them.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        Self { body: self.body.clone(), records: self.records.get(range).unwrap_or_default().into() }
    }

    /// Those for which `keep`, given the index, holds.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let records = self.records.iter().enumerate().filter(|(index, _)| keep(*index));
        Self { body: self.body.clone(), records: records.map(|(_, range)| range.clone()).collect() }
    }

    /// Each record replaced by a part of it, where it has that.
    #[must_use]
    pub fn narrowed(&self, member: &str) -> Self {
        let narrow = |(index, range): (usize, &Range<usize>)| {
            let record = self.record(index);
            match json::get(record, &[member]) {
                Some(inner) if inner != "null" => {
                    let within = json::range_within(record, inner);
                    range.start + within.start..range.start + within.end
                }
                Some(_) | None => range.clone(),
            }
        };
        Self { body: self.body.clone(), records: self.records.iter().enumerate().map(narrow).collect() }
    }

    /// They, as a JSON array.
    pub fn array(&self) -> String {
        let mut text = String::with_capacity(self.bytes() + self.len() + 2);
        text.push('[');
        for (index, record) in self.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(record);
        }
        text.push(']');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_slices_of_what_came() {
        let batch = Batch::of_json(r#"[{"id":1, "remote_data":{"x":1.10}},{"id":2},3]"#.to_owned());
        assert_eq!((batch.len(), batch.record(1), batch.record(2)), (3, r#"{"id":2}"#, "3"));
        assert_eq!(batch.part(1..3).array(), r#"[{"id":2},3]"#);
        assert_eq!(batch.filtered(|index| index != 1).array(), r#"[{"id":1, "remote_data":{"x":1.10}},3]"#);
        assert_eq!(batch.narrowed("remote_data").array(), r#"[{"x":1.10},{"id":2},3]"#);
        assert_eq!(Batch::of_json(r#"{"id":1}"#.to_owned()).len(), 1);
        assert!(Batch::of_json("null".to_owned()).is_empty());
        assert_eq!(Batch::joined(["{\"a\":1},2", "3"].into_iter()).array(), r#"[{"a":1},2,3]"#);
    }
}
