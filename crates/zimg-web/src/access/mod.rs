//! Access: which hosts, origins and keys may ask, and for which user.

mod cookie;
mod digest;
mod host;
mod keys;
mod layer;
mod login;
mod origin;
mod secret;
mod user;

use std::sync::Arc;

pub use digest::Digest;
pub use host::Hosts;
#[cfg(feature = "fuzzing")]
pub(crate) use keys::parse as parse_keys;
pub use keys::{Key, Keys, new_key};
pub(crate) use layer::{checked, signed_in};
pub(crate) use login::Signed;
#[cfg(feature = "fuzzing")]
pub(crate) use login::key_text as request_key;
pub use login::{Login, OneTimeToken};
pub use secret::Secret;
pub(crate) use secret::random_text;
pub use user::User;

/// Who may ask.
#[derive(Clone, Debug)]
pub struct Access(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    hosts: Hosts,
    login: Login,
    secret: Secret,
}

impl Access {
    /// The rules of a server.
    pub fn new(hosts: Hosts, login: Login, secret: Secret) -> Self {
        Self(Arc::new(Rules { hosts, login, secret }))
    }

    /// How users sign in.
    pub fn login(&self) -> &Login {
        &self.0.login
    }

    /// A signature for a purpose, such as a link to an image.
    pub fn sign(&self, purpose: &str, text: &str) -> String {
        self.0.secret.sign(purpose, text)
    }

    /// Whether a signature is ours, in constant time.
    pub fn verify(&self, purpose: &str, text: &str, signature: &str) -> bool {
        self.0.secret.verify(purpose, text, signature)
    }
}
