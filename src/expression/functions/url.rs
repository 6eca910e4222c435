//! URLs and their queries.

use jsonata_core::value::JValue;
use url::Url;
use url::form_urlencoded;

use super::value::{object, text_of};
use super::{Answer, Args, Function};

/// How deep the brackets of a query's names may nest.
const BRACKETS_MAX: usize = 5;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "parseUrl", call: parse_url },
    Function { name: "parseQuery", call: parse_query },
    Function { name: "stringifyQuery", call: stringify_query },
    Function { name: " encodeUrl", call: encode_url },
];

/// The parts of a URL, with the names that JavaScript gives them; `searchParams` is an object.
fn parse_url(args: &Args) -> Answer {
    let url = Url::parse(args.text(0)?)
        .map_err(|error| args.refuse(format_args!("the text is no URL: {error}")))?;
    let prefixed = |sign: char, part: Option<&str>| {
        part.filter(|part| !part.is_empty()).map_or(String::new(), |part| format!("{sign}{part}"))
    };
    let port = url.port().map_or(String::new(), |port| port.to_string());
    let hostname = url.host_str().unwrap_or_default();
    let host = if port.is_empty() { hostname.to_owned() } else { format!("{hostname}:{port}") };
    let parts = [
        ("href", url.as_str().to_owned()),
        ("origin", url.origin().ascii_serialization()),
        ("protocol", format!("{}:", url.scheme())),
        ("username", url.username().to_owned()),
        ("password", url.password().unwrap_or_default().to_owned()),
        ("host", host),
        ("hostname", hostname.to_owned()),
        ("port", port),
        ("pathname", url.path().to_owned()),
        ("search", prefixed('?', url.query())),
        ("hash", prefixed('#', url.fragment())),
    ];
    let parts = parts.into_iter().map(|(name, text)| (name.to_owned(), JValue::from(text)));
    Ok(object(parts.chain([("searchParams".to_owned(), query(url.query().unwrap_or_default()))])))
}

fn parse_query(args: &Args) -> Answer {
    let text = args.text(0)?;
    Ok(query(text.strip_prefix('?').unwrap_or(text)))
}

/// A name that comes again makes an array, and so does `name[]`; `a[b]` makes an object.
fn query(text: &str) -> JValue {
    let mut members = object([]);
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let path = path_of(&name);
        put(&mut members, &path, JValue::from(value.as_ref()));
    }
    members
}

/// `a[b][]` → `a`, `b`, ``
fn path_of(name: &str) -> Vec<&str> {
    let (first, rest) = name.split_at(name.find('[').filter(|at| *at > 0).unwrap_or(name.len()));
    let mut path = vec![first];
    let mut rest = rest;
    while let Some((part, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if path.len() > BRACKETS_MAX {
            break;
        }
        path.push(part);
        rest = after;
    }
    if rest.is_empty() { path } else { vec![name] }
}

fn put(target: &mut JValue, path: &[&str], value: JValue) {
    let Some((name, rest)) = path.split_first() else { return };
    let Some(members) = target.as_object_mut() else { return };
    match rest {
        [] => match members.get_mut(*name) {
            None => drop(members.insert((*name).to_owned(), value)),
            Some(before) => append(before, value),
        },
        [""] => append(members.entry((*name).to_owned()).or_insert_with(|| JValue::array(vec![])), value),
        _ => put(members.entry((*name).to_owned()).or_insert_with(|| object([])), rest, value),
    }
}

fn append(before: &mut JValue, value: JValue) {
    match before.as_array_mut() {
        Some(items) => items.push(value),
        None => *before = JValue::array(vec![before.clone(), value]),
    }
}

/// `{"a": 1, "b": ["x", "y"], "c": {"d": true}}` → `a=1&b[0]=x&b[1]=y&c[d]=true`, encoded. The option `arrayFormat` may
/// be `indices`, `brackets`, `repeat` or `comma`.
fn stringify_query(args: &Args) -> Answer {
    let Some(members) = args.get(0).as_object() else { return Err(args.wants(0, "an object")) };
    let format = args.get(1).get("arrayFormat").and_then(JValue::as_str).unwrap_or("indices");
    let mut pairs = vec![];
    for (name, value) in members {
        collect(name.clone(), value, format, &mut pairs);
    }
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
    Ok(JValue::string(pairs.join("&")))
}

fn collect(name: String, value: &JValue, format: &str, pairs: &mut Vec<(String, String)>) {
    match value {
        JValue::Undefined => {}
        JValue::Array(items) if format == "comma" => {
            let texts: Vec<String> = items.iter().map(text_of).collect();
            pairs.push((name, texts.join(",")));
        }
        JValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let inner = match format {
                    "repeat" => name.clone(),
                    "brackets" => format!("{name}[]"),
                    _ => format!("{name}[{index}]"),
                };
                collect(inner, item, format, pairs);
            }
        }
        JValue::Object(members) => {
            for (inner, value) in members.iter() {
                collect(format!("{name}[{inner}]"), value, format, pairs);
            }
        }
        other => pairs.push((name, text_of(other))),
    }
}

/// As `encodeURI` does. (The library's own leaves blanks as they are.)
fn encode_url(args: &Args) -> Answer {
    Ok(JValue::string(escaped(args.text(0)?, b";,/?:@&=+$-_.!~*'()#")))
}

/// As `encodeURIComponent` does, so that a blank is `%20`.
fn percent(text: &str) -> String {
    escaped(text, b"-_.~")
}

/// `text` with all but ASCII's letters and digits and `plain` percent-encoded.
fn escaped(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
