//! Owner of a job: the peer's user id, and the user on whose behalf a trusted front end asks.

use std::sync::Arc;

use nix::unistd::{Group, User};

/// The process at the other end of a connection, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

/// The owner of a job: fair sharing, limits and quotas are by this key. Permissions are by the user
/// id alone, so that a front end can manage the jobs of its users.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    /// The peer's user id.
    pub uid: u32,
    /// The user behind a trusted front end; `None` for the peer itself.
    pub user: Option<Arc<str>>,
}

impl Owner {
    /// A peer, or the user for whom it asks.
    pub(crate) fn new(uid: u32, on_behalf_of: Option<&str>) -> Self {
        Self { uid, user: on_behalf_of.map(Arc::from) }
    }
}

impl From<u32> for Owner {
    fn from(uid: u32) -> Self {
        Self { uid, user: None }
    }
}

/// The group whose processes may ask on behalf of others, as it was at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustedGroup {
    gid: u32,
    members: Vec<u32>,
}

impl TrustedGroup {
    /// The group with this name; `None` if there is none.
    pub(crate) fn find(name: &str) -> nix::Result<Option<Self>> {
        let Some(group) = Group::from_name(name)? else { return Ok(None) };
        let users = group.mem.iter().filter_map(|member| User::from_name(member).ok().flatten());
        let members = users.map(|user| user.uid.as_raw()).collect();
        Ok(Some(Self { gid: group.gid.as_raw(), members }))
    }

    /// A group without members.
    #[cfg(test)]
    pub(crate) fn running_as(gid: u32) -> Self {
        Self { gid, members: Vec::new() }
    }

    /// Whether a process runs as this group, or as a user who is a member.
    pub(crate) fn contains(&self, peer: Peer) -> bool {
        self.gid == peer.gid || self.members.contains(&peer.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_members_and_those_that_run_as_it() {
        let group = TrustedGroup { gid: 7, members: vec![100] };
        let has = |uid, gid| group.contains(Peer { uid, gid });
        assert!(has(100, 1) && has(1, 7));
        assert!(!has(1, 1) && !has(7, 100));
        let root = TrustedGroup::find("root").unwrap().unwrap();
        assert!(root.contains(Peer { uid: 12_345, gid: 0 }));
        assert_eq!(TrustedGroup::find("no-such-group-of-zimg"), Ok(None));
    }
}
