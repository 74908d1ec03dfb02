//! The session's cookie: a signed name and an end, so that sessions outlive a restart and end with
//! their key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::secret::Secret;

const NAME: &str = "zimg";
/// A page that is used once a month stays signed in.
pub(super) const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
const PURPOSE: &str = "session";

/// The value of a cookie. `of` is what the session depends on: the digest of its key.
pub(super) fn value(secret: &Secret, name: &str, of: &str, now: SystemTime) -> String {
    let end = seconds(now + LIFETIME);
    let signature = secret.sign(PURPOSE, &signed(name, of, end));
    format!("{}.{end}.{signature}", URL_SAFE_NO_PAD.encode(name))
}

/// The name in a cookie that is ours and has not ended. `of` says what a name depends on now; none
/// if there is no such name any more.
pub(super) fn name(
    secret: &Secret,
    value: &str,
    of: impl FnOnce(&str) -> Option<String>,
    now: SystemTime,
) -> Option<String> {
    let mut parts = value.splitn(3, '.');
    let (name, end, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    let end: u64 = end.parse().ok()?;
    let of = of(&name)?;
    let ours = secret.verify(PURPOSE, &signed(&name, &of, end), signature);
    (ours && seconds(now) < end).then_some(name)
}

fn signed(name: &str, of: &str, end: u64) -> String {
    format!("{name}\n{of}\n{end}")
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The values of our cookie in a request; a browser may send one of another path first.
pub(super) fn in_request(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(COOKIE)
        .into_iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
        .take(4)
}

/// The header that sets the cookie; an empty value removes it.
pub(super) fn header(value: &str, secure: bool) -> String {
    let age = if value.is_empty() { 0 } else { LIFETIME.as_secs() };
    let secure = if secure { "; Secure" } else { "" };
    format!("{NAME}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_holds_until_its_end_and_with_its_key() {
        let (secret, now) = (Secret::random().unwrap(), SystemTime::now());
        let cookie = value(&secret, "ann", "digest", now);
        let read = |secret: &Secret, cookie: &str, of: &str, now| {
            name(secret, cookie, |_| Some(of.to_owned()), now)
        };
        assert_eq!(read(&secret, &cookie, "digest", now).as_deref(), Some("ann"));
        assert_eq!(read(&secret, &cookie, "digest of a new key", now), None);
        assert_eq!(read(&secret, &cookie, "digest", now + LIFETIME), None);
        assert_eq!(read(&Secret::random().unwrap(), &cookie, "digest", now), None);
        assert_eq!(name(&secret, &cookie, |_| None, now), None);
        let other = URL_SAFE_NO_PAD.encode("bob");
        let forged = cookie.replace(&URL_SAFE_NO_PAD.encode("ann"), &other);
        let later = cookie.replacen('.', ".9", 1);
        for wrong in ["", ".", "..", &forged, &later, &cookie[1..]] {
            assert_eq!(read(&secret, wrong, "digest", now), None, "{wrong}");
        }
    }

    #[test]
    fn it_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; zimg=1; zimgs=2"));
        headers.append(COOKIE, HeaderValue::from_static("zimg=3"));
        assert_eq!(in_request(&headers).collect::<Vec<_>>(), ["1", "3"]);
    }
}
