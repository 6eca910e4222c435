//! Answers of lines: a record in each line, as JSON or as CSV. Both become the JSON array that they stand for, so that
//! everything behind this sees one kind of page.

use bytes::Bytes;

use crate::definition::integration::AnswerFormat;
use crate::json::{self, Json};
use crate::source::failure::Failure;
use crate::source::xml;

/// The most columns that a line may have.
const COLUMNS_MAX: usize = 10_000;

/// How much longer than the CSV its JSON may be: long names of columns come again with each line.
const GROWTH_MAX: usize = 16;
/// How long it may always be.
const GROWTH_ALWAYS: usize = 1 << 20;

/// `body` as JSON.
pub(super) fn as_json(format: AnswerFormat, body: Bytes) -> Result<Bytes, Failure> {
    match format {
        AnswerFormat::Json => Ok(body),
        AnswerFormat::NdJson => from_ndjson(&body),
        AnswerFormat::Csv => from_csv(&body),
        AnswerFormat::Xml => xml::to_json(&body),
    }
}

/// Empty lines are no records. A last line that is cut off is no JSON, and so is told.
fn from_ndjson(body: &[u8]) -> Result<Bytes, Failure> {
    let mut array = Vec::with_capacity(body.len() + 2);
    array.push(b'[');
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(line) {
            let what = format!("line {} is no valid JSON: {}", number + 1, json::explain(&error));
            return Err(Failure { ends_early: error.is_eof(), ..Failure::broken("invalid_json", what) });
        }
        if array.len() > 1 {
            array.push(b',');
        }
        array.extend_from_slice(line);
    }
    array.push(b']');
    Ok(array.into())
}

/// The first line names the members; every value is text, as nothing says what else it could be.
fn from_csv(body: &[u8]) -> Result<Bytes, Failure> {
    let invalid = |error: &csv::Error| {
        let line = error.position().map(|position| format!(" at line {}", position.line()));
        let what = format!("the body is no CSV{}: {}", line.unwrap_or_default(), reason(error));
        Failure::broken("invalid_csv", what)
    };
    // Quotes within quotes are doubled, so their number is even. The reader takes an open one for the rest of the text.
    if body.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        let what = "a quote in the CSV is not closed, as if the answer was cut off";
        return Err(Failure { ends_early: true, ..Failure::broken("invalid_csv", what) });
    }
    let bytes_max = body.len().saturating_mul(GROWTH_MAX).saturating_add(GROWTH_ALWAYS);
    let mut reader = csv::ReaderBuilder::new().from_reader(body);
    let headers = reader.headers().map_err(|error| invalid(&error))?.clone();
    if headers.len() > COLUMNS_MAX {
        let what = format!("the first line names {} columns; at most {COLUMNS_MAX} are read", headers.len());
        return Err(Failure::permanent("too_many_columns", what));
    }
    let names: Vec<String> = headers.iter().map(|name| Json::string(name).to_string()).collect();
    let mut array = String::with_capacity(body.len() * 2);
    array.push('[');
    for line in reader.records() {
        let line = line.map_err(|error| invalid(&error))?;
        if array.len() > 1 {
            array.push(',');
        }
        let members = names.iter().zip(&line).map(|(name, value)| format!("{name}:{}", Json::string(value)));
        if array.len() > bytes_max {
            let what = format!("the CSV is {GROWTH_MAX} times as long as JSON; ask for smaller pages");
            return Err(Failure::permanent("page_too_large", what));
        }
        array.push('{');
        array.push_str(&members.collect::<Vec<_>>().join(","));
        array.push('}');
    }
    array.push(']');
    Ok(array.into())
}

/// The library's words without the record's content.
fn reason(error: &csv::Error) -> &'static str {
    let kind = error.kind();
    if matches!(kind, csv::ErrorKind::Utf8 { .. }) {
        "it is no UTF-8"
    } else if matches!(kind, csv::ErrorKind::UnequalLengths { .. }) {
        "the line has more or fewer values than the first one"
    } else {
        "it can't be read"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: AnswerFormat, body: &str) -> Result<String, &'static str> {
        let body =
            as_json(format, Bytes::copy_from_slice(body.as_bytes())).map_err(|failure| failure.error)?;
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn lines_of_json_are_records() {
        let read = |body| read(AnswerFormat::NdJson, body);
        assert_eq!(read("{\"n\":1.10}\n\n {\"n\":2}\r\n").unwrap(), r#"[{"n":1.10},{"n":2}]"#);
        assert_eq!(read("").unwrap(), "[]");
        assert_eq!(read("{\"n\":1}\n{\"n\":"), Err("invalid_json"));
    }

    #[test]
    fn lines_of_csv_are_records_of_text() {
        let read = |body| read(AnswerFormat::Csv, body);
        let text = "id,name\r\n1,\"a \"\"b\"\", c\"\r\n2,\"two\nlines\"\n";
        assert_eq!(read(text).unwrap(), r#"[{"id":"1","name":"a \"b\", c"},{"id":"2","name":"two\nlines"}]"#);
        assert_eq!(read("id,name\n").unwrap(), "[]");
        assert_eq!(read("id,name\n1\n"), Err("invalid_csv"));
        assert_eq!(read("id,name\n2,\"bob\n3,carol\n"), Err("invalid_csv"), "an open quote");
        let bomb = format!("{}\n{}", "n".repeat(10_000), "1\n".repeat(30_000));
        assert_eq!(read(&bomb), Err("page_too_large"));
        assert_eq!(read("").unwrap(), "[]");
    }
}
