//! The secret in the state directory: it signs the cookies of sessions and links to images.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;

const FILE: &str = "secret";

/// 32 random bytes.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A new one, for sessions that end with this process.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 32];
        let filled = getrandom(&mut bytes[..], GetRandomFlags::empty())?;
        if filled == bytes.len() { Ok(Self(bytes)) } else { Err(io::ErrorKind::Interrupted.into()) }
    }

    /// The secret in a directory; a new one is written on first use, for its owner alone.
    ///
    /// # Errors
    ///
    /// The directory or the file cannot be created or read.
    pub fn in_directory(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = directory.join(FILE);
        match fs::File::open(&path) {
            Ok(mut file) => {
                let mut bytes = [0; 32];
                file.read_exact(&mut bytes)?;
                Ok(Self(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = Self::random()?;
                let new = directory.join(format!("{FILE}.{}", std::process::id()));
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&new)?;
                file.write_all(&secret.0)?;
                file.sync_all()?;
                fs::rename(&new, &path)?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
    }

    /// A signature of a text for a purpose.
    pub fn sign(&self, purpose: &str, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(purpose, text).finalize().into_bytes())
    }

    /// Whether a signature is of this text and purpose, in constant time.
    pub fn verify(&self, purpose: &str, text: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.mac(purpose, text).verify_slice(&signature).is_ok()
    }

    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // HMAC takes keys of any length; the block is zero-padded by it.
        let mut mac = <Hmac<Sha256> as Mac>::new(&self.0.into_block());
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac
    }
}

/// A key of HMAC's block length.
trait IntoBlock {
    fn into_block(self) -> hmac::digest::Key<Hmac<Sha256>>;
}

impl IntoBlock for [u8; 32] {
    fn into_block(self) -> hmac::digest::Key<Hmac<Sha256>> {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..self.len()].copy_from_slice(&self);
        block
    }
}

/// Random text for keys and tokens: 256 bits.
pub(crate) fn random_text() -> io::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(Secret::random()?.0))
}

/// Not shown.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_signature_holds_for_its_text_purpose_and_secret() {
        let secret = Secret([7; 32]);
        let signature = secret.sign("a", "text");
        assert!(secret.verify("a", "text", &signature));
        for (purpose, text) in [("b", "text"), ("a", "tex"), ("", "a\0text")] {
            assert!(!secret.verify(purpose, text, &signature), "{purpose} {text}");
        }
        assert!(!Secret([8; 32]).verify("a", "text", &signature));
        for wrong in ["", "x", &signature[1..], "é"] {
            assert!(!secret.verify("a", "text", wrong));
        }
    }

    #[test]
    fn signatures_are_hmac_sha256() {
        // Python: hmac.new(b"\x07" * 32, b"a\0text", hashlib.sha256).
        let expected = "f2heNI-7BT9asRncRD91IyyYlHh194trhQRDK-76360";
        assert_eq!(Secret([7; 32]).sign("a", "text"), expected);
    }

    #[test]
    fn the_secret_stays_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/state");
        let first = Secret::in_directory(&directory).unwrap();
        let second = Secret::in_directory(&directory).unwrap();
        assert_eq!(first.0, second.0);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join(FILE))), (0o700, 0o600));
        fs::write(directory.join(FILE), "short").unwrap();
        assert!(Secret::in_directory(&directory).is_err());
    }
}
