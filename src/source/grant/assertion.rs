//! Signed JSON Web Tokens (RFC 7519), by which a client says who it is without a password (RFC 7523).

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::broken;
use crate::clock::Millis;
use crate::definition::Account;
use crate::definition::integration::{Assertion, Grant};
use crate::engine::seam::FetchError;
use crate::source::{address, scope};
use crate::template::{Scope, Tree};

/// The token of `account` at `now`.
pub(super) fn signed(
    grant: &Grant,
    assertion: &Assertion,
    account: &Account,
    now: Millis,
) -> Result<String, FetchError> {
    let scope = scope::AccountScope(account);
    let algorithm: Algorithm = assertion
        .algorithm
        .parse()
        .map_err(|_| broken(format!("{} is no algorithm that can sign here", assertion.algorithm)))?;
    let key = assertion.key.text(&scope);
    let key = key.map_err(|error| {
        broken(format!("the key to sign with: {error}; add it to the account's credentials"))
    })?;
    // The library's words are not used: they may hold parts of the key.
    let no_key = |_| {
        let what = format!(
            "the key to sign with is none for {}: check the account's credential",
            assertion.algorithm
        );
        broken(what)
    };
    // Variables of an environment often have their line breaks written out.
    let pem = key.replace("\\n", "\n");
    let key = match assertion.algorithm.get(..2) {
        Some("HS") => Ok(EncodingKey::from_secret(key.as_bytes())),
        Some("ES") => EncodingKey::from_ec_pem(pem.as_bytes()),
        Some("Ed") => EncodingKey::from_ed_pem(pem.as_bytes()),
        Some(_) | None => EncodingKey::from_rsa_pem(pem.as_bytes()),
    };
    let key = key.map_err(no_key)?;
    let mut header = members(&assertion.header, &scope)?;
    header.insert("alg".to_owned(), json!(assertion.algorithm));
    header.entry("typ").or_insert_with(|| json!("JWT"));
    let mut header: Header = serde_json::from_value(Value::Object(header))
        .map_err(|error| broken(format!("the assertion's header: {error}")))?;
    header.alg = algorithm;
    let mut claims = members(&assertion.claims, &scope)?;
    let seconds = now.0.div_euclid(1000);
    let lasts = i64::try_from(assertion.lasts.as_secs()).unwrap_or(i64::MAX);
    claims.insert("iat".to_owned(), json!(seconds));
    claims.insert("exp".to_owned(), json!(seconds.saturating_add(lasts)));
    if !assertion.is_token && !claims.contains_key("aud") {
        let url = address::base(&grant.token_url, &scope).map_err(|failure| broken(failure.message))?;
        claims.insert("aud".to_owned(), json!(url.as_str()));
    }
    claims.entry("jti").or_insert_with(|| json!(uuid::Uuid::now_v7().to_string()));
    jsonwebtoken::encode(&header, &claims, &key).map_err(no_key)
}

fn members(tree: &Tree, scope: &dyn Scope) -> Result<Map<String, Value>, FetchError> {
    let rendered = tree.render(scope);
    let rendered = rendered.map_err(|error| broken(format!("the assertion can't be filled in: {error}")))?;
    let value = rendered.and_then(|json| serde_json::from_str(json.as_str()).ok());
    Ok(value.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;
    use crate::definition::integration::{ClientAuth, GrantKind};
    use crate::source::testing::{account, literal, object};
    use crate::template::Template;

    /// Made for this test; opens nothing.
    const EC_KEY: &str = "-----BEGIN PRIVATE KEY-----\\n\
         MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUR+Ao3ypasrdwR3y\\n\
         I67l9cKqYKt1myVunCBVymo65lmhRANCAAQbgtLzB70HnIoSK4425rnriUgshpG6\\n\
         s8qqKx/DuBk5dH2/Zx73DbZ9JZWYYAzGbQCaMJGlTf3E/Qzx3lLwtRud\\n\
         -----END PRIVATE KEY-----";

    fn assertion(algorithm: &'static str, key: &str) -> (Grant, Assertion) {
        let assertion = Assertion {
            algorithm,
            key: Template::parse(key).unwrap(),
            header: object(&[("kid", literal("\"k1\""))]),
            claims: object(&[("iss", literal("\"me\"")), ("scope", literal("\"read\""))]),
            lasts: Duration::from_secs(300),
            is_token: false,
        };
        let grant = Grant {
            kind: GrantKind::Assertion(Box::new(assertion.clone())),
            token_url: Template::literal("https://auth.example/token"),
            scope: None,
            client_auth: ClientAuth::Body,
            params: Vec::new(),
        };
        (grant, assertion)
    }

    #[test]
    fn the_token_says_who_for_whom_and_until_when() {
        let account = account("{}", &[("secret", "s3cret-canary")]);
        let (grant, assertion) = assertion("HS256", "{{credentials.secret}}");
        let token = signed(&grant, &assertion, &account, Millis(4_000_000_000_000)).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::HS256, Some("k1")));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["https://auth.example/token"]);
        let key = DecodingKey::from_secret(b"s3cret-canary");
        let claims = jsonwebtoken::decode::<Map<String, Value>>(&token, &key, &validation).unwrap().claims;
        assert_eq!((&claims["iss"], &claims["exp"]), (&json!("me"), &json!(4_000_000_300_i64)));
        assert!(claims["jti"].is_string());
    }

    #[test]
    fn a_key_with_written_line_breaks_signs_and_a_wrong_one_is_not_shown() {
        let account = account("{}", &[("private_key", EC_KEY), ("bad", "canary-key")]);
        let (grant, assertion_of) = assertion("ES256", "{{credentials.private_key}}");
        let token = signed(&grant, &assertion_of, &account, Millis(0)).unwrap();
        assert_eq!(jsonwebtoken::decode_header(&token).unwrap().alg, Algorithm::ES256);
        for (algorithm, key) in [("ES256", "{{credentials.bad}}"), ("RS256", "{{credentials.private_key}}")] {
            let (grant, assertion) = assertion(algorithm, key);
            let error = signed(&grant, &assertion, &account, Millis(0)).unwrap_err();
            assert!(error.message.contains(algorithm) && !error.message.contains("canary"), "{error:?}");
        }
        let (grant, assertion) = assertion("ES256", "{{credentials.none}}");
        let error = signed(&grant, &assertion, &account, Millis(0)).unwrap_err();
        assert!(error.message.contains("add it to the account's credentials"), "{error:?}");
    }
}
