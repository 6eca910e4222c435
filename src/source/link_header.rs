//! The `Link` header (RFC 8288, section 3): the target of `rel="next"`.
//!
//! Written here because `parse_link_header` 0.4.1 splits at every comma and semicolon, also inside `<…>`: of
//! `<https://x/?ids=1,2>; rel="next"` it makes a link to `2`, and one flag parameter in any target fails them
//! all.

use reqwest::header::{HeaderMap, LINK};

/// The first link whose relation types contain `next`, as it is written between the angle brackets.
pub(super) fn next(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(LINK).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    values.flat_map(links).find(|link| link.is_next).map(|link| link.target)
}

struct Link {
    target: String,
    is_next: bool,
}

fn links(header: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((target, after)) = rest.split_once('<').and_then(|(_, inside)| inside.split_once('>')) {
        let (params, tail) = params(after);
        // Of several `rel` parameters only the first counts.
        let rel = params.iter().find(|(name, _)| name.eq_ignore_ascii_case("rel"));
        let is_next =
            rel.is_some_and(|(_, types)| types.split_whitespace().any(|t| t.eq_ignore_ascii_case("next")));
        links.push(Link { target: target.trim().to_owned(), is_next });
        rest = tail;
    }
    links
}

/// The parameters up to the comma that ends this link, and what follows it.
fn params(text: &str) -> (Vec<(String, String)>, &str) {
    let mut params = Vec::new();
    let (mut name, mut value, mut is_value) = (String::new(), String::new(), false);
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = "";
    for (at, c) in text.char_indices() {
        match c {
            '\\' if quoted && !escaped => escaped = true,
            '"' if !escaped => quoted = !quoted,
            '=' if !quoted && !is_value => is_value = true,
            ';' if !quoted => {
                params.push((std::mem::take(&mut name), std::mem::take(&mut value)));
                is_value = false;
            }
            ',' if !quoted => {
                rest = &text[at..];
                break;
            }
            _ => {
                escaped = false;
                if is_value { &mut value } else { &mut name }.push(c);
            }
        }
    }
    params.push((name, value));
    (params.into_iter().map(|(name, value)| (name.trim().to_owned(), value)).collect(), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_link_is_found_in_any_legal_form() {
        for (header, expected) in [
            (r#"<https://x/?p=2>; rel="next", <https://x/?p=9>; rel="last""#, Some("https://x/?p=2")),
            (r#"<https://x/?p=1>; rel="prev",<https://x/?p=3>;rel=next"#, Some("https://x/?p=3")),
            (r#"<https://x/?ids=1,2;3&flag>; rel="next""#, Some("https://x/?ids=1,2;3&flag")),
            (r#"</a>; title="a, b; \"c\" rel=next"; rel="last", </b>; rel="next""#, Some("/b")),
            (r#"</a>; REL="prev Next archive""#, Some("/a")),
            (r#"</a>; rel="last"; rel="next""#, None),
            (r#"</a>; rel = "next" ; foo"#, Some("/a")),
            (r#"<>; rel="next""#, Some("")),
            (r#"</a>; rel="next-archive""#, None),
            ("</a", None),
            ("garbage", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, header.parse().unwrap());
            assert_eq!(next(&headers).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn several_headers_are_read_together() {
        let mut headers = HeaderMap::new();
        headers.append(LINK, r#"</a>; rel="prev""#.parse().unwrap());
        headers.append(LINK, r#"</b>; rel="next""#.parse().unwrap());
        assert_eq!(next(&headers).as_deref(), Some("/b"));
    }

    proptest! {
        #[test]
        fn any_target_and_title_come_through(target in "[!-;=?-~]{0,40}", title in "[ -~]{0,20}") {
            let title = title.replace('\\', r"\\").replace('"', r#"\""#);
            let header = format!(r#"</first>; rel=prev; title="{title}", <{target}>; title="{title}"; rel="x next""#);
            let mut headers = HeaderMap::new();
            headers.insert(LINK, header.parse().unwrap());
            prop_assert_eq!(next(&headers), Some(target));
        }

        #[test]
        fn garbage_is_survived(text in "[<>;,=\" a-z\\\\]{0,60}") {
            links(&text);
        }
    }
}
