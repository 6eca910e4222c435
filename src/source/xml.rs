//! XML, in and out, as the JSON that everything else speaks. An element becomes a member of the one around it, and an array
//! where it comes several times; an attribute becomes the member `@name`, text beside other things `#text`. An element of
//! text alone is that text, whatever it looks like: XML doesn't say what is a number.

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::errors::SyntaxError;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use crate::json::{self, Json};
use crate::source::failure::Failure;

/// How deep elements may nest, as JSON may.
const DEPTH_MAX: usize = 128;
/// How many elements and attributes an answer may have: each becomes a value of its own in memory.
const NODES_MAX: usize = 500_000;

/// What is not closed where the text ends.
const UNCLOSED: [SyntaxError; 8] = [
    SyntaxError::UnclosedTag,
    SyntaxError::UnclosedSingleQuotedAttributeValue,
    SyntaxError::UnclosedDoubleQuotedAttributeValue,
    SyntaxError::UnclosedComment,
    SyntaxError::UnclosedCData,
    SyntaxError::UnclosedPI,
    SyntaxError::UnclosedXmlDecl,
    SyntaxError::UnclosedDoctype,
];

/// An element that is not closed yet.
struct Open {
    name: String,
    members: Map<String, Value>,
    text: String,
}

impl Open {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), members: Map::new(), text: String::new() }
    }

    /// Puts a value beside those of the same name.
    fn add(&mut self, name: String, value: Value) {
        match self.members.get_mut(&name) {
            None => drop(self.members.insert(name, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }

    fn value(mut self) -> (String, Value) {
        if self.members.is_empty() {
            return (self.name, Value::String(self.text));
        }
        let text = self.text.trim().to_owned();
        if !text.is_empty() {
            self.add("#text".to_owned(), Value::String(text));
        }
        (self.name, Value::Object(self.members))
    }
}

/// `body` as JSON: an object with the outermost element.
pub(super) fn to_json(body: &[u8]) -> Result<Bytes, Failure> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let what =
            format!("the body is no UTF-8 at byte {}; the source must send UTF-8", error.valid_up_to());
        Failure { ends_early: error.error_len().is_none(), ..Failure::broken("invalid_utf8", what) }
    })?;
    let mut reader = Reader::from_str(text);
    let (mut open, mut nodes) = (vec![Open::new("")], 0);
    loop {
        let at = reader.buffer_position();
        let invalid = |why: &str| {
            Failure::broken("invalid_xml", format!("the body is no valid XML at byte {at}: {why}"))
        };
        let event = reader.read_event().map_err(|error| Failure {
            // Something begins and does not end.
            ends_early: matches!(&error, quick_xml::Error::Syntax(mistake) if UNCLOSED.contains(mistake)),
            ..invalid(&error.to_string())
        })?;
        if nodes > NODES_MAX {
            let what =
                format!("the body has more than {NODES_MAX} elements and attributes; ask for smaller pages");
            return Err(Failure::permanent("too_many_elements", what));
        }
        match event {
            Event::Start(start) => {
                if open.len() > DEPTH_MAX {
                    let what = format!("the body is nested deeper than {DEPTH_MAX} levels");
                    return Err(Failure::permanent("too_deep", what));
                }
                open.push(begun(&start, &mut nodes).map_err(|error| invalid(&error))?);
            }
            Event::Empty(start) => {
                let (name, value) = begun(&start, &mut nodes).map_err(|error| invalid(&error))?.value();
                innermost(&mut open).add(name, value);
            }
            Event::End(_) => {
                let Some(done) = open.pop().filter(|_| !open.is_empty()) else {
                    return Err(invalid("an element ends that did not begin"));
                };
                let (name, value) = done.value();
                innermost(&mut open).add(name, value);
            }
            Event::Text(text) => innermost(&mut open).text.push_str(&text),
            Event::CData(text) => innermost(&mut open).text.push_str(&text),
            Event::GeneralRef(reference) => {
                let known = match &*reference {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().map_err(|error| invalid(&error.to_string()))?,
                };
                let known =
                    known.ok_or_else(|| invalid(&format!("&{}; stands for nothing here", &*reference)))?;
                innermost(&mut open).text.push(known);
            }
            // What it defines could make much of little.
            Event::DocType(_) => return Err(invalid("it has a DOCTYPE, which is not read")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    let missing = open.len() > 1;
    let whole = open.swap_remove(0);
    let is_several = whole.members.len() > 1 || whole.members.values().any(Value::is_array);
    if is_several || (!whole.members.is_empty() && !whole.text.trim().is_empty()) {
        let what = "the body has something beside its outermost element";
        return Err(Failure::broken("invalid_xml", what));
    }
    let (_, value) = whole.value();
    if missing || !value.is_object() {
        let what = "the body's outermost element is missing or not closed, as if the answer was cut off";
        return Err(Failure { ends_early: true, ..Failure::broken("invalid_xml", what) });
    }
    Ok(Bytes::from(value.to_string()))
}

/// The element that is open; there always is the one around all.
fn innermost(open: &mut [Open]) -> &mut Open {
    let last = open.len() - 1;
    &mut open[last]
}

fn begun(start: &BytesStart<'_>, nodes: &mut usize) -> Result<Open, String> {
    let mut element = Open::new(start.name().as_ref());
    *nodes += 1;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        *nodes += 1;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
        element.add(format!("@{}", attribute.key.as_ref()), Value::String(value.into_owned()));
    }
    Ok(element)
}

/// A body as XML. It must have one member, the outermost element.
pub(super) fn from_json(body: &Json) -> Result<String, Failure> {
    let wrong = |what: String| {
        Failure::permanent("template_error", format!("the body can't be written as XML: {what}"))
    };
    let members = json::members(body.as_str()).unwrap_or_default();
    let [(name, value)] = members.as_slice() else {
        return Err(wrong("it needs exactly one member, the outermost element".to_owned()));
    };
    if value.starts_with('[') {
        return Err(wrong("the outermost element can't be a list".to_owned()));
    }
    let mut text = r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned();
    element(name, value, &mut text).map_err(wrong)?;
    Ok(text)
}

/// `value` is JSON as it was written, so that numbers stay what they are.
fn element(name: &str, value: &str, text: &mut String) -> Result<(), String> {
    check_name(name)?;
    match value.as_bytes().first() {
        Some(b'[') => {
            let elements = json::elements(value).map_err(|error| error.to_string())?;
            return elements.into_iter().try_for_each(|range| element(name, &value[range], text));
        }
        Some(b'{') => {
            let members = json::members(value).map_err(|error| error.to_string())?;
            text.push_str(&format!("<{name}"));
            for (name, value) in
                members.iter().filter_map(|(name, value)| Some((name.strip_prefix('@')?, value)))
            {
                check_name(name)?;
                text.push_str(&format!(" {name}=\"{}\"", escape(plain(value)?)));
            }
            text.push('>');
            for (name, value) in members.iter().filter(|(name, _)| !name.starts_with('@')) {
                if name == "#text" {
                    text.push_str(&escape(plain(value)?));
                } else {
                    element(name, value, text)?;
                }
            }
            text.push_str(&format!("</{name}>"));
        }
        _ if value == "null" => text.push_str(&format!("<{name}/>")),
        _ => text.push_str(&format!("<{name}>{}</{name}>", escape(plain(value)?))),
    }
    Ok(())
}

fn plain(value: &str) -> Result<String, String> {
    if value.starts_with(['[', '{']) {
        return Err("an attribute or text is a list or an object".to_owned());
    }
    let text = if value == "null" { String::new() } else { json::text_of(value).into_owned() };
    // XML 1.0 has no place for these, written in any way.
    match text.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        Some(c) => Err(format!("it holds the character U+{:04X}, which XML does not have", u32::from(c))),
        None => Ok(text),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if starts && name.chars().all(plain) { Ok(()) } else { Err(format!("{name:?} is no name of an element")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(xml: &str) -> String {
        match to_json(xml.as_bytes()) {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Err(failure) => format!("{}{}", failure.error, if failure.ends_early { " early" } else { "" }),
        }
    }

    #[test]
    fn elements_become_members() {
        let xml = "<?xml version=\"1.0\"?>\n<!-- c --><r a=\"1 &amp; 2\">\n <t id=\"7\">x &lt;&#65;</t>\n <t>010</t><e/><n><m> y </m></n>\n <![CDATA[<z>]]>\n</r>";
        assert_eq!(
            json(xml),
            r##"{"r":{"@a":"1 & 2","t":[{"@id":"7","#text":"x <A"},"010"],"e":"","n":{"m":" y "},"#text":"<z>"}}"##
        );
        assert_eq!(json("<a>1</a>"), r#"{"a":"1"}"#);
    }

    #[test]
    fn what_is_no_xml_is_told() {
        for (xml, error) in [
            ("", "invalid_xml early"),
            ("text", "invalid_xml early"),
            ("<a><b></b>", "invalid_xml early"),
            ("<a><b>x</b><c", "invalid_xml early"),
            ("<a><!-- x", "invalid_xml early"),
            ("<a/><b/>", "invalid_xml"),
            ("<a/><a/>", "invalid_xml"),
            ("<a/>x", "invalid_xml"),
            ("<a></b>", "invalid_xml"),
            ("<a>&nbsp;</a>", "invalid_xml"),
            ("<a x=1/>", "invalid_xml"),
            ("<!DOCTYPE a [<!ENTITY b \"x\">]><a>&b;</a>", "invalid_xml"),
        ] {
            assert_eq!(json(xml), error, "{xml}");
        }
        assert_eq!(json(&"<a>".repeat(200)), "too_deep");
        assert_eq!(json(&format!("<a>{}</a>", "<b/>".repeat(NODES_MAX))), "too_many_elements");
    }

    #[test]
    fn a_body_is_written_as_xml() {
        let xml = |text: &str| from_json(&Json::parse(text).unwrap()).map_err(|failure| failure.message);
        assert_eq!(
            xml(r##"{"q":{"@v":1.10,"a":["x<y",12345678901234567890123],"n":null,"o":{"#text":"t&"},"b":true}}"##).unwrap(),
            r#"<?xml version="1.0" encoding="UTF-8"?><q v="1.10"><a>x&lt;y</a><a>12345678901234567890123</a><n/><o>t&amp;</o><b>true</b></q>"#
        );
        for wrong in [
            r#"{"a":1,"b":2}"#,
            "[]",
            r#"{"a b":1}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{"@x":{}}}"#,
            r#"{"a":"\u0001"}"#,
        ] {
            assert!(xml(wrong).is_err(), "{wrong}");
        }
    }
}
