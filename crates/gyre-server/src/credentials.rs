//! Credentials as HTTP carries them: `Authorization` (Bearer, Basic) and the cookie of a session. Pure.
//!
//! MLflow's clients send a token as Bearer (`MLFLOW_TRACKING_TOKEN`) or a user with a password as Basic
//! (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`); a token may stand in the place of the password.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gyre_access::token::{PREFIX, Secret, Token};
use gyre_access::{Credentials, Password};

/// What a request offers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// Nothing.
    Nothing,
    /// In the header `Authorization`, which a page of another origin cannot make a browser send.
    Header(Credentials),
    /// In a cookie, which a browser sends by itself.
    Cookie(Credentials),
}

/// What `headers` offer; `cookie` is the name of the session's cookie.
pub(crate) fn offered(headers: &HeaderMap, cookie: &str) -> Offered {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => match session(headers, cookie) {
            Some(id) => Offered::Cookie(Credentials::Session(id)),
            None => Offered::Nothing,
        },
        (Some(one), None) => {
            let text = one.to_str().ok();
            Offered::Header(text.and_then(authorization).unwrap_or(Credentials::Malformed))
        }
        (Some(_), Some(_)) => Offered::Header(Credentials::Malformed),
    }
}

/// The id of the session that the cookie `name` bears.
pub(crate) fn session(headers: &HeaderMap, name: &str) -> Option<Secret> {
    cookie(headers, name).and_then(Secret::read)
}

/// The value of the cookie `name`.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn authorization(text: &str) -> Option<Credentials> {
    let (scheme, rest) = text.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Token::read(rest).map(Credentials::Token);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    if password.starts_with(PREFIX) {
        let token = Token::read(password)?;
        return Some(Credentials::TokenOf { user: user.to_owned(), token });
    }
    let (user, password) = (user.to_owned(), Password(password.to_owned()));
    Some(Credentials::Password { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &str)]) -> Offered {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        offered(&headers, "gyre-session")
    }

    #[test]
    fn the_ways_of_mlflows_clients_are_understood() {
        let token = Token::random().unwrap();
        let bearer = format!("bearer {}", token.reveal());
        assert_eq!(of(&[("authorization", &bearer)]), Offered::Header(Credentials::Token(token.clone())));
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let as_password = basic(&format!("ada:{}", token.reveal()));
        assert_eq!(
            of(&[("authorization", &as_password)]),
            Offered::Header(Credentials::TokenOf { user: "ada".to_owned(), token })
        );
        let password =
            Credentials::Password { user: "ada".to_owned(), password: Password("a:b ü".to_owned()) };
        assert_eq!(of(&[("authorization", &basic("ada:a:b ü"))]), Offered::Header(password));
    }

    #[test]
    fn what_is_none_of_these_is_malformed_and_never_nothing() {
        for text in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Bearer gyre_12_34",
            "Basic ???",
            "Basic YQ==",
            "Digest a",
            "gyre_1_2",
        ] {
            assert_eq!(of(&[("authorization", text)]), Offered::Header(Credentials::Malformed), "{text}");
        }
        let twice = [("authorization", "Bearer x"), ("authorization", "Bearer y")];
        assert_eq!(of(&twice), Offered::Header(Credentials::Malformed));
    }

    #[test]
    fn a_cookie_counts_when_nothing_else_is_said() {
        let id = Secret::random().unwrap();
        let line = format!("other=1; gyre-session={}; x=y", id.reveal());
        assert_eq!(of(&[("cookie", &line)]), Offered::Cookie(Credentials::Session(id)));
        assert_eq!(
            of(&[("cookie", &line), ("authorization", "x y")]),
            Offered::Header(Credentials::Malformed)
        );
        assert_eq!(of(&[("cookie", "gyre-session=1; gyre-sessionx=2")]), Offered::Nothing);
        assert_eq!(of(&[]), Offered::Nothing);
    }
}
