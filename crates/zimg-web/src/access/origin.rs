//! Origins: which page a browser's request comes from. Pages of other sites may neither change nor
//! read anything.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

use crate::problem::{Problem, Reason};

/// Whether a request may come from the page that it says it comes from.
pub(super) fn check(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |what: &str| Err(Problem::new(Reason::Forbidden, what));
    let mut sites = headers.get_all("sec-fetch-site").into_iter();
    if let Some(site) = sites.next()
        && (sites.next().is_some() || (site != "same-origin" && site != "none"))
    {
        return refused("a page of another site asks (Sec-Fetch-Site)");
    }
    let mut origins = headers.get_all(ORIGIN).into_iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    // A GET with an origin is one that a page of another site reads.
    let own = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = own.is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && host.is_some_and(|h| same(scheme, authority, h))
    });
    if origins.next().is_some() || !is_own {
        return refused(match *method {
            Method::GET | Method::HEAD => "a page of another origin may not read this (Origin)",
            _ => "a page of another origin may not change anything (Origin)",
        });
    }
    Ok(())
}

/// Whether an origin's authority is the host that was asked; a default port may be left out.
fn same(scheme: &str, origin: &str, host: &str) -> bool {
    let port = if scheme == "https" { ":443" } else { ":80" };
    let plain = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    plain(origin) == plain(host)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn allows(method: &Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("zimg.example:7860"));
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(method, &headers).is_ok()
    }

    #[test]
    fn programs_and_the_own_page_are_allowed() {
        for pairs in [
            &[][..],
            &[("origin", "http://zimg.example:7860")],
            &[("origin", "https://ZIMG.example:7860"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(allows(&Method::POST, pairs) && allows(&Method::GET, pairs), "{pairs:?}");
        }
    }

    #[test]
    fn pages_of_others_are_not() {
        for pairs in [
            &[("origin", "null")][..],
            &[("origin", "http://evil.example")],
            &[("origin", "http://zimg.example")],
            &[("origin", "http://zimg.example:7860"), ("origin", "http://evil.example")],
            &[("origin", "file://zimg.example:7860")],
            &[("origin", "http://zimg.example:7860"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
        ] {
            for method in [Method::POST, Method::DELETE, Method::GET] {
                assert!(!allows(&method, pairs), "{method} {pairs:?}");
            }
        }
    }
}
