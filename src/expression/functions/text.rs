//! Texts: how alike they are, what stands around them, what kind of file they name, and numbers in them.

use std::collections::HashMap;

use jsonata_core::value::JValue;

use super::value::text_of;
use super::{Answer, Args, Function};

/// How alike two texts must be by default to be taken for the same.
const ALIKE: f64 = 0.8;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "diceCoefficient", call: dice_coefficient },
    Function { name: "mostSimilar", call: most_similar },
    Function { name: "wrap", call: wrap },
    Function { name: "toNumber", call: to_number },
    Function { name: "getMimeType", call: get_mime_type },
];

/// What is compared: the letters and digits of ASCII, in lower case.
fn plain(text: &str) -> Vec<char> {
    text.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Twice the pairs of neighbouring letters that both have, by all pairs of both.
#[expect(clippy::cast_precision_loss, reason = "texts are shorter than 2^52")]
fn alike(a: &[char], b: &[char]) -> f64 {
    if a == b {
        return 1.0;
    }
    if a.len() < 2 || b.len() < 2 {
        return 0.0;
    }
    let mut pairs: HashMap<&[char], usize> = HashMap::new();
    for pair in a.windows(2) {
        *pairs.entry(pair).or_default() += 1;
    }
    let mut shared = 0usize;
    for pair in b.windows(2) {
        if let Some(left) = pairs.get_mut(pair).filter(|left| **left > 0) {
            *left -= 1;
            shared += 1;
        }
    }
    2.0 * shared as f64 / (a.len() + b.len() - 2) as f64
}

fn dice_coefficient(args: &Args) -> Answer {
    Ok(JValue::Number(alike(&plain(args.text(0)?), &plain(args.text(1)?))))
}

/// The candidate that is most like the text; the text itself when none is alike enough.
fn most_similar(args: &Args) -> Answer {
    let threshold = args.number_or(2, ALIKE)?;
    let Some(text) = args.get(0).as_str() else { return Ok(args.get(0).clone()) };
    let wanted = plain(text);
    let mut best = (0.0, args.get(0));
    for candidate in args.items(1) {
        let likeness = candidate.as_str().map_or(0.0, |candidate| alike(&wanted, &plain(candidate)));
        if likeness > best.0 {
            best = (likeness, candidate);
        }
    }
    Ok(if best.0 >= threshold { best.1.clone() } else { args.get(0).clone() })
}

fn wrap(args: &Args) -> Answer {
    let (value, before) = (text_of(args.get(0)), text_of(args.get(1)));
    let after =
        Some(text_of(args.get(2))).filter(|after| !after.is_empty()).unwrap_or_else(|| before.clone());
    Ok(JValue::string(format!("{before}{value}{after}")))
}

/// As JavaScript's `Number`, save that what is no number has no value.
fn to_number(args: &Args) -> Answer {
    let number = match args.get(0) {
        JValue::Number(number) => Some(*number),
        JValue::Bool(value) => Some(f64::from(u8::from(*value))),
        JValue::Null => Some(0.0),
        JValue::String(text) => number_in(text.trim()),
        _ => None,
    };
    Ok(number.filter(|number| number.is_finite()).map_or(JValue::Undefined, JValue::Number))
}

fn number_in(text: &str) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    for (prefix, base) in [("0x", 16), ("0b", 2), ("0o", 8)] {
        if let Some(digits) = text.to_lowercase().strip_prefix(prefix) {
            return u32::from_str_radix(digits, base).ok().map(f64::from);
        }
    }
    // "inf" and "nan" are words to Rust alone.
    text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c)).then(|| text.parse().ok())?
}

/// Extensions of files, and the types they have.
const TYPES: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eml", "message/rfc822"),
    ("epub", "application/epub+zip"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("heic", "image/heic"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("m4a", "audio/mp4"),
    ("md", "text/markdown"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("msg", "application/vnd.ms-outlook"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ogg", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("rar", "application/vnd.rar"),
    ("rtf", "application/rtf"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("txt", "text/plain"),
    ("vcf", "text/vcard"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "text/xml"),
    ("yaml", "text/yaml"),
    ("yml", "text/yaml"),
    ("zip", "application/zip"),
];

/// By the extension of a file's name, or an extension alone; `null` when it is none of the known ones.
fn get_mime_type(args: &Args) -> Answer {
    let name = args.text(0)?.to_lowercase();
    let extension = name.rsplit(['.', '/', '\\']).next().unwrap_or_default();
    let found = TYPES.iter().find(|(known, _)| *known == extension);
    Ok(found.map_or(JValue::Null, |(_, kind)| JValue::string(*kind)))
}
