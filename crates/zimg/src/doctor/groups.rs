//! Check of the group that may use the system's service.

use nix::unistd::{Group, User, geteuid, getgroups};

use super::{DaemonScope, Finding};

const TOPIC: &str = "group";
const NAME: &str = "zimaged";
const JOIN: &str = "`sudo usermod -aG zimaged $USER`, then log in again";

/// Checks that this user is in the group.
pub(super) fn look(scope: DaemonScope) -> Finding {
    if scope != DaemonScope::System {
        return Finding::ok(TOPIC, "not needed: the daemon is not the system's service");
    }
    if geteuid().is_root() {
        return Finding::ok(TOPIC, "not needed: root may use every daemon");
    }
    let Ok(Some(group)) = Group::from_name(NAME) else {
        let fix = "`sudo systemd-sysusers`, once the service is installed";
        return Finding::warn(TOPIC, "the group zimaged does not exist", fix);
    };
    let has_now = getgroups().is_ok_and(|groups| groups.contains(&group.gid));
    let own = User::from_uid(geteuid()).ok().flatten();
    let primary = own.as_ref().is_some_and(|own| own.gid == group.gid);
    let listed = own.is_some_and(|own| group.mem.contains(&own.name)) || primary;
    judged(has_now, listed)
}

/// `has_now`: the groups of this process; `listed`: those of the next login.
fn judged(has_now: bool, listed: bool) -> Finding {
    match (has_now, listed) {
        (true, _) => Finding::ok(TOPIC, "you are in zimaged"),
        (false, true) => {
            let text = "you are in zimaged, but this login began before";
            Finding::warn(TOPIC, text, "log in again, or `newgrp zimaged`")
        }
        (false, false) => Finding::warn(TOPIC, "you are not in zimaged", JOIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_login_from_before_is_told_from_no_membership() {
        assert_eq!(judged(true, false).level, Level::Ok);
        assert!(judged(false, true).fix.unwrap().contains("newgrp"));
        assert!(judged(false, false).fix.unwrap().contains("usermod"));
    }
}
