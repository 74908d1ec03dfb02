//! Owner of a job: the peer's user id, and the user on whose behalf a trusted front end asks.

use serde::{Deserialize, Serialize};

/// The owner of a job: fair sharing, quotas and permissions are by this key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The peer's user id.
    pub uid: u32,
    /// The user behind a trusted front end; none for the peer itself.
    pub user: Option<String>,
}

impl Owner {
    /// The peer itself.
    pub(crate) fn peer(uid: u32) -> Self {
        Self { uid, user: None }
    }

    /// Whether this peer may see and cancel a job of `other`: its own, those it asked for on
    /// behalf of others, and for root every job.
    pub(crate) fn may_manage(&self, other: &Self) -> bool {
        self.uid == 0 || (self.uid == other.uid && (self.user.is_none() || self.user == other.user))
    }
}

impl From<u32> for Owner {
    fn from(uid: u32) -> Self {
        Self::peer(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_manages_its_own_jobs_and_root_all() {
        let behind = |uid, user: &str| Owner { uid, user: Some(user.to_owned()) };
        let (root, front, other) = (Owner::peer(0), Owner::peer(7), Owner::peer(8));
        assert!(root.may_manage(&behind(7, "ann")) && front.may_manage(&front));
        assert!(front.may_manage(&behind(7, "ann")), "the front end manages its users' jobs");
        assert!(!other.may_manage(&front) && !other.may_manage(&behind(7, "ann")));
        assert!(behind(7, "ann").may_manage(&behind(7, "ann")));
        assert!(!behind(7, "ann").may_manage(&behind(7, "bob")));
        assert!(!behind(7, "ann").may_manage(&front));
    }
}
