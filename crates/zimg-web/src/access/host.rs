//! Hosts: the names under which this server is asked. A page of another site that has its name
//! resolve to this machine (DNS rebinding) sends its own name.

use std::net::{IpAddr, SocketAddr};

/// The names that requests may have.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Lower case, without a port.
    names: Vec<String>,
    /// Whether an address in place of a name may be one that is not of the loopback interface.
    any_address: bool,
}

impl Hosts {
    /// Those for a server at `listen` (none for a Unix socket), and further ones by name.
    pub fn new(listen: Option<SocketAddr>, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { names, any_address: listen.is_none_or(|at| !at.ip().is_loopback()) }
    }

    /// Whether a `Host` header's value, or an authority of a URL, is allowed. An address cannot be
    /// rebound; `0.0.0.0` is no address of a host.
    pub fn allow(&self, authority: &str) -> bool {
        let Some(name) = name_of(authority) else { return false };
        if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            return address.is_loopback()
                || (self.any_address && !address.is_unspecified())
                || self.names.contains(&name);
        }
        name == "localhost" || self.names.contains(&name)
    }
}

/// The name in an authority, in lower case; none if it is malformed.
fn name_of(authority: &str) -> Option<String> {
    let (name, port) = match authority.rfind(':') {
        // The colons of an IPv6 address are in brackets.
        Some(at) if !authority[at..].contains(']') => authority.split_at(at),
        _ => (authority, ":"),
    };
    let digits = port.strip_prefix(':')?;
    let port_fits = digits.is_empty() || digits.parse::<u16>().is_ok();
    let brackets = name.starts_with('[') == name.ends_with(']');
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    (port_fits && brackets && plain && !name.is_empty()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_are_allowed() {
        let names = ["Zimg.example".to_owned()];
        let local = Hosts::new("127.0.0.1:7860".parse().ok(), &names);
        let open = Hosts::new("0.0.0.0:7860".parse().ok(), &names);
        for both in [
            "localhost",
            "LOCALHOST:7860",
            "127.0.0.1:7860",
            "[::1]:1",
            "[::1]",
            "zimg.example",
            "zimg.EXAMPLE:443",
            "127.0.0.1:",
        ] {
            assert!(local.allow(both) && open.allow(both), "{both}");
        }
        for never in [
            "",
            ":7860",
            "evil.example",
            "localhost.evil.example",
            "0.0.0.0:7860",
            "[::]",
            "127.0.0.1:x",
            "127.0.0.1:99999",
            "localhost@evil.example",
            "zimg.example.",
            "127.0.0.1.evil.example",
            "local host",
            "[::1",
            "é",
        ] {
            assert!(!local.allow(never) && !open.allow(never), "{never}");
        }
        assert!(!local.allow("192.0.2.1:7860") && open.allow("192.0.2.1:7860"));
    }
}
