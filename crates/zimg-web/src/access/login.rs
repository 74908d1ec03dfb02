//! Ways to sign in: none, the one-time token of `zimg web`, or a key.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::digest::Digest;
use super::keys::{Key, Keys};
use super::secret::random_text;
use super::{Access, User, cookie};
use crate::problem::{Problem, Reason};

/// How users sign in.
#[derive(Debug)]
pub enum Login {
    /// Every program on this machine may ask.
    None,
    /// The page has a session that begins with a token.
    Token(OneTimeToken),
    /// Each key is a user.
    Keys(Keys),
}

/// A token that begins one session.
#[derive(Debug)]
pub struct OneTimeToken(Mutex<Option<Digest>>);

/// A session that has begun: the value of the `Set-Cookie` header.
#[derive(Debug)]
pub(crate) struct Signed(pub String);

impl OneTimeToken {
    /// A new token, and its text for the link.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn new() -> io::Result<(Self, String)> {
        let text = random_text()?;
        Ok((Self(Mutex::new(Some(Digest::of(text.as_bytes())))), text))
    }

    /// Whether it is this one, which is then used up.
    fn take(&self, text: &str) -> bool {
        let mut unused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = unused.is_some_and(|digest| digest.matches(&Digest::of(text.as_bytes())));
        if is_it {
            *unused = None;
        }
        is_it
    }
}

impl Access {
    /// The user of a request, by its key or its cookie.
    ///
    /// # Errors
    ///
    /// There is neither, or it is not valid.
    pub(crate) fn user(&self, headers: &HeaderMap) -> Result<User, Problem> {
        let login = self.login();
        match login {
            Login::None => return Ok(User::OWN),
            Login::Token(_) => {
                if self.session(headers, |name| name.is_empty().then(String::new)).is_some() {
                    return Ok(User::OWN);
                }
            }
            Login::Keys(keys) => {
                if let Some(text) = key_text(headers) {
                    let key = keys.find(&text);
                    return key.map(|key| User::named(&key.name)).ok_or_else(|| {
                        Problem::new(Reason::NoKey, "the key is not known, or has expired")
                            .code("invalid_api_key")
                    });
                }
                let digest = |name: &str| keys.named(name).map(|key| key.digest.to_hex());
                if let Some(name) = self.session(headers, digest) {
                    return Ok(User::named(&name));
                }
            }
        }
        let problem = match login {
            Login::Token(_) => Problem::new(Reason::NoKey, "this page is not signed in")
                .hint("open the link that `zimg web` prints; each link opens one browser"),
            _ => Problem::new(Reason::NoKey, "the request has no key")
                .hint("send the header `Authorization: Bearer KEY`"),
        };
        Err(problem.code("invalid_api_key"))
    }

    /// Whether a user that was signed in still may ask: the key may have been removed.
    pub(crate) fn is_valid(&self, user: &User) -> bool {
        match (self.login(), user.name()) {
            (Login::Keys(keys), Some(name)) => keys.named(name).is_some(),
            (Login::Keys(_), None) => false,
            _ => true,
        }
    }

    fn session(&self, headers: &HeaderMap, of: impl Fn(&str) -> Option<String>) -> Option<String> {
        let now = SystemTime::now();
        cookie::in_request(headers).find_map(|value| cookie::name(&self.0.secret, value, &of, now))
    }

    /// Begins a session with a token.
    pub(crate) fn sign_in_with_token(&self, text: &str, secure: bool) -> Result<Signed, Problem> {
        match self.login() {
            Login::None => Ok(self.signed("", "", secure)),
            Login::Token(token) if token.take(text) => Ok(self.signed("", "", secure)),
            Login::Token(_) => Err(Problem::new(Reason::NoKey, "the link was used already")
                .hint("run `zimg web` again for a new one")),
            Login::Keys(_) => Err(Problem::new(Reason::NoKey, "keys sign in here, not tokens")),
        }
    }

    /// Begins a session with a key.
    pub(crate) fn sign_in_with_key(&self, text: &str, secure: bool) -> Result<Signed, Problem> {
        let Login::Keys(keys) = self.login() else {
            return Err(Problem::new(Reason::NoKey, "there are no keys here"));
        };
        let Some(Key { name, digest, .. }) = keys.find(text) else {
            return Err(Problem::new(Reason::NoKey, "the key is not known, or has expired"));
        };
        Ok(self.signed(&name, &digest.to_hex(), secure))
    }

    /// Ends the session of a browser.
    pub(crate) fn sign_out(&self, secure: bool) -> Signed {
        Signed(cookie::header("", secure))
    }

    fn signed(&self, name: &str, of: &str, secure: bool) -> Signed {
        let value = cookie::value(&self.0.secret, name, of, SystemTime::now());
        Signed(cookie::header(&value, secure))
    }
}

/// The key of a request: `Bearer KEY`, or `Basic` with any name and the key as the password.
pub(crate) fn key_text(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, password) = pair.split_once(':')?;
    // A1111 clients that have one field for both put the key first.
    Some(if password.is_empty() { name } else { password }.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_comes_as_bearer_or_as_a_password() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            key_text(&headers)
        };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for value in ["Bearer k", "bearer  k", &basic("ann:k"), &basic(":k"), &basic("k:")] {
            assert_eq!(read(value).as_deref(), Some("k"), "{value}");
        }
        for value in ["k", "Digest k", "Basic k", "Basic !", &basic("k")] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn a_token_is_taken_once() {
        let (token, text) = OneTimeToken::new().unwrap();
        assert!(!token.take("") && !token.take(&text[1..]));
        assert!(token.take(&text));
        assert!(!token.take(&text));
    }
}
