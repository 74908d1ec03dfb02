//! Addresses: which server they lead to, and where a redirect leads.

use std::fmt;

use ureq::http::Uri;

/// A server: scheme, host and port. A token is for one server only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The server of an absolute address.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().unwrap_or(usual) })
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.scheme == "https"
    }
}

impl fmt::Display for Origin {
    /// The host, and the port unless it is the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        let usual = if self.is_secure() { 443 } else { 80 };
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The address that all requests begin with.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Without `/` at its end.
    text: String,
    pub(crate) origin: Origin,
}

impl Endpoint {
    /// From the text of a setting.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('/');
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let plain = uri.query().is_none() && !authority.contains('@');
        let origin = Origin::of(&uri).filter(|_| plain)?;
        Some(Self { text: text.to_owned(), origin })
    }

    /// An address below it.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}/{path}", self.text)
    }
}

/// Where `location` leads from `base` (RFC 3986, 5.2, without `..`).
pub(crate) fn redirected(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let lower = location.get(..8).unwrap_or(location).to_ascii_lowercase();
    let text = if lower.starts_with("http://") || lower.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.is_empty() || location.contains("://") {
        return None;
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_differ_in_scheme_host_and_port() {
        let of = |text: &str| Origin::of(&text.parse().unwrap()).unwrap();
        assert_eq!(of("https://HuggingFace.co/a"), of("https://huggingface.co:443/b?c"));
        for other in [
            "http://huggingface.co",
            "https://hf.co",
            "https://huggingface.co:8443",
            "https://huggingface.co.evil.example",
            "https://cdn.huggingface.co",
        ] {
            assert_ne!(of(other), of("https://huggingface.co"), "{other}");
        }
        assert_eq!(of("http://127.0.0.1:8080/x").to_string(), "127.0.0.1:8080");
    }

    #[test]
    fn an_endpoint_is_a_plain_address() {
        let at = |text: &str| Endpoint::parse(text).map(|endpoint| endpoint.join("a/b"));
        assert_eq!(
            at("https://hf-mirror.example/").as_deref(),
            Some("https://hf-mirror.example/a/b")
        );
        assert_eq!(at("http://h:1/sub").as_deref(), Some("http://h:1/sub/a/b"));
        for text in ["", "huggingface.co", "ftp://h", "https://", "https://u:p@h", "https://h?x=1"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn redirects_are_relative_or_absolute() {
        let base: Uri = "https://h:1/a/b?c".parse().unwrap();
        let to = |location: &str| redirected(&base, location).map(|uri| uri.to_string());
        for (location, there) in [
            ("https://o/x?y", "https://o/x?y"),
            ("HTTP://o/x", "http://o/x"),
            ("//o/x", "https://o/x"),
            ("/x?y#z", "https://h:1/x?y"),
            ("x", "https://h:1/a/x"),
        ] {
            assert_eq!(to(location).as_deref(), Some(there), "{location}");
        }
        for location in ["", "#a", "file:///etc/passwd", "gopher://x/"] {
            assert_eq!(to(location), None, "{location}");
        }
    }
}
