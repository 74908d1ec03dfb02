//! The first 16 bytes of each direction: frozen for ever, so that any two versions understand
//! each other well enough to say that they do not.
//!
//! ```text
//! Hello    0..4 b"ZIMG"   4..6 lowest major    6..8 highest major   8..16 capability bits
//! Welcome  0..4 b"ZIMG"   4..6 chosen major    6..8 minor           8..16 common capability bits
//! ```
//! Numbers are big endian. A chosen major of 0 means that none fits; the minor is then the
//! daemon's highest major, and an error frame follows whose text is [`speaks`] of the daemon.

use crate::error::{Failure, Kind};

/// The first four bytes of both.
pub const MAGIC: [u8; 4] = *b"ZIMG";
/// Bytes of a Hello, and of a Welcome.
pub const BYTES: usize = 16;
/// The major version of [`crate::messages`]. 1 was that of zimg 0.1, which was not published.
pub const MAJOR: u16 = 2;
/// The minor version: raised when variants are appended.
pub const MINOR: u16 = 4;

/// What the client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest major version it speaks.
    pub min_major: u16,
    /// The highest.
    pub max_major: u16,
    /// What it can do beyond the version; no bit has a meaning yet.
    pub capabilities: u64,
}

/// What the daemon answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version to speak, or 0: there is none.
    pub major: u16,
    /// The daemon's minor version of it; with major 0 the daemon's highest major.
    pub minor: u16,
    /// The capability bits both have.
    pub capabilities: u64,
}

/// The peer does not begin with [`MAGIC`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side does not speak zimg's protocol")]
pub struct NotZimg;

impl From<NotZimg> for Failure {
    fn from(error: NotZimg) -> Self {
        Self::new(Kind::Version, error.to_string())
    }
}

impl Hello {
    /// What this build speaks.
    pub const OURS: Self = Self { min_major: MAJOR, max_major: MAJOR, capabilities: 0 };

    /// On the wire.
    pub fn to_bytes(self) -> [u8; BYTES] {
        layout(self.min_major, self.max_major, self.capabilities)
    }

    /// From the wire.
    ///
    /// # Errors
    ///
    /// [`NotZimg`] when the magic is wrong.
    pub fn from_bytes(bytes: [u8; BYTES]) -> Result<Self, NotZimg> {
        let (min_major, max_major, capabilities) = parse(bytes)?;
        Ok(Self { min_major, max_major, capabilities })
    }

    /// The daemon's answer to `client`, where `self` is what the daemon speaks: the highest
    /// common major version, or 0.
    pub fn negotiate(self, client: Self) -> Welcome {
        let major = self.max_major.min(client.max_major);
        if major < self.min_major.max(client.min_major) || major == 0 {
            return Welcome { major: 0, minor: self.max_major, capabilities: 0 };
        }
        let minor = if major == MAJOR { MINOR } else { 0 };
        Welcome { major, minor, capabilities: self.capabilities & client.capabilities }
    }
}

impl Welcome {
    /// On the wire.
    pub fn to_bytes(self) -> [u8; BYTES] {
        layout(self.major, self.minor, self.capabilities)
    }

    /// From the wire.
    ///
    /// # Errors
    ///
    /// [`NotZimg`] when the magic is wrong.
    pub fn from_bytes(bytes: [u8; BYTES]) -> Result<Self, NotZimg> {
        let (major, minor, capabilities) = parse(bytes)?;
        Ok(Self { major, minor, capabilities })
    }
}

/// Half of the sentence about a skew: `speaks("zimaged 0.1.0", ours)` is
/// "zimaged 0.1.0 speaks protocol 1".
pub fn speaks(program: &str, hello: Hello) -> String {
    let Hello { min_major, max_major, .. } = hello;
    if min_major == max_major {
        format!("{program} speaks protocol {max_major}")
    } else {
        format!("{program} speaks protocols {min_major} to {max_major}")
    }
}

/// The daemon's failure for a client that it has no version in common with; its text is the
/// error frame that follows the Welcome.
pub fn refusal(daemon: &str) -> Failure {
    Failure::new(Kind::Version, speaks(daemon, Hello::OURS))
}

/// The client's failure when the Welcome's major is 0, or not one that it offered: both sides'
/// versions, and which of them to bring up to date. `client` is like "zimg 0.1.0"; `daemon` is
/// the text of the error frame, if one came.
pub fn skew(client: &str, hello: Hello, welcome: Welcome, daemon: Option<&str>) -> Failure {
    let highest = if welcome.major == 0 { welcome.minor } else { welcome.major };
    let daemon = match daemon {
        Some(text) => text.to_owned(),
        None => format!("the daemon speaks protocol {highest}"),
    };
    let failure = Failure::new(Kind::Version, format!("{}, but {daemon}", speaks(client, hello)));
    if highest < hello.min_major {
        failure.hint("the daemon is older: restart it, or install its newer version")
    } else {
        failure.hint("zimg is older: install its newer version")
    }
}

fn layout(first: u16, second: u16, capabilities: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&first.to_be_bytes());
    bytes[6..8].copy_from_slice(&second.to_be_bytes());
    bytes[8..].copy_from_slice(&capabilities.to_be_bytes());
    bytes
}

fn parse(bytes: [u8; BYTES]) -> Result<(u16, u16, u64), NotZimg> {
    let [a, b, c, d, e, f, g, h, capabilities @ ..] = bytes;
    if [a, b, c, d] != MAGIC {
        return Err(NotZimg);
    }
    let capabilities = u64::from_be_bytes(capabilities);
    Ok((u16::from_be_bytes([e, f]), u16::from_be_bytes([g, h]), capabilities))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaking(min_major: u16, max_major: u16) -> Hello {
        Hello { min_major, max_major, capabilities: 0 }
    }

    #[test]
    fn the_sixteen_bytes_are_frozen() {
        let hello = Hello { min_major: 1, max_major: 0x0203, capabilities: 0x0405_0607_0809_0A0B };
        let bytes = *b"ZIMG\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b";
        assert_eq!(hello.to_bytes(), bytes);
        assert_eq!(Hello::from_bytes(bytes), Ok(hello));
        let welcome = Welcome { major: 1, minor: 0x0203, capabilities: 0x0405_0607_0809_0A0B };
        assert_eq!(welcome.to_bytes(), bytes);
        assert_eq!(Welcome::from_bytes(bytes), Ok(welcome));
        assert_eq!(Hello::from_bytes(*b"GET / HTTP/1.1\r\n"), Err(NotZimg));
    }

    #[test]
    fn the_highest_common_major_is_chosen_or_none() {
        let chosen = |daemon: Hello, client| daemon.negotiate(client).major;
        assert_eq!(chosen(speaking(1, 1), speaking(1, 1)), 1);
        assert_eq!(chosen(speaking(1, 3), speaking(2, 9)), 3);
        assert_eq!(chosen(speaking(2, 9), speaking(1, 3)), 3);
        assert_eq!(chosen(speaking(2, 3), speaking(1, 1)), 0);
        assert_eq!(chosen(speaking(1, 1), speaking(2, 3)), 0);
        assert_eq!(chosen(speaking(1, 1), speaking(0, 0)), 0);
        assert_eq!(chosen(speaking(1, 1), speaking(3, 1)), 0, "an empty range");
        assert_eq!(speaking(2, 3).negotiate(speaking(1, 1)).minor, 3);
    }

    #[test]
    fn only_common_capabilities_remain() {
        let daemon = Hello { capabilities: 0b0110, ..Hello::OURS };
        let client = Hello { capabilities: 0b1100, ..Hello::OURS };
        assert_eq!(daemon.negotiate(client).capabilities, 0b0100);
    }

    #[test]
    fn a_skew_names_both_versions_and_the_older_side() {
        let refused = refusal("zimaged 0.1.0");
        let (ours, welcome) = (speaking(3, 4), Welcome { major: 0, minor: 2, capabilities: 0 });
        let failure = skew("zimg 0.9.0", ours, welcome, Some(&refused.message));
        assert_eq!(failure.kind.exit_code(), 76);
        assert_eq!(
            failure.message,
            "zimg 0.9.0 speaks protocols 3 to 4, but zimaged 0.1.0 speaks protocol 2"
        );
        assert!(failure.hint.unwrap().starts_with("the daemon is older"));
        let welcome = Welcome { minor: 7, ..welcome };
        let failure = skew("zimg 0.9.0", ours, welcome, None);
        assert!(failure.message.ends_with("but the daemon speaks protocol 7"));
        assert!(failure.hint.unwrap().starts_with("zimg is older"));
    }

    #[test]
    fn peers_of_zimg_0_1_are_told_their_version() {
        let old = speaking(1, 1);
        // Its client reads the error frame after this Welcome, and says the rest.
        assert_eq!(Hello::OURS.negotiate(old), Welcome { major: 0, minor: 2, capabilities: 0 });
        assert_eq!(refusal("zimaged 0.2.0").message, "zimaged 0.2.0 speaks protocol 2");
        let welcome = old.negotiate(Hello::OURS);
        assert_eq!(welcome.major, 0);
        let failure =
            skew("zimg 0.2.0", Hello::OURS, welcome, Some("zimaged 0.1.0 speaks protocol 1"));
        assert_eq!(
            failure.message,
            "zimg 0.2.0 speaks protocol 2, but zimaged 0.1.0 speaks protocol 1"
        );
    }
}
