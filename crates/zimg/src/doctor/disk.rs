//! Check of the job store: free space, and the modes of its directory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use zimg_client::Failure;
use zimg_text::shell_word;

use super::finding::Finding;
use super::settings::DaemonSettings;
use crate::daemon_state::DaemonState;
use crate::format;

const TOPIC: &str = "disk";
/// Free space that is warned about: some tens of images.
const LITTLE: u64 = 256 << 20;

/// Checks the state directory of the running daemon, else the configured one.
pub(super) fn look(settings: &DaemonSettings, seen: Option<&DaemonState>) -> Finding {
    let folder = match seen {
        Some(seen) => seen.setup.state_dir.clone(),
        None => settings.text("state_dir").filter(|folder| folder != "off"),
    };
    let Some(folder) = folder else {
        return Finding::ok(TOPIC, "detached jobs are off");
    };
    let trouble = seen.and_then(|seen| seen.overview.store_failure.as_ref());
    room(Path::new(&folder), settings.number("retention_bytes"), trouble)
}

/// Checks a directory in which `most` bytes may be used.
fn room(folder: &Path, most: Option<u64>, trouble: Option<&Failure>) -> Finding {
    let at = folder.display();
    if let Some(failure) = trouble {
        let fix = failure.hint.clone();
        let fix =
            fix.unwrap_or_else(|| format!("check that {at} has free space and belongs to zimaged"));
        return Finding::fail(TOPIC, &*failure.message, fix);
    }
    // Before the first start the directory does not exist: its nearest parent counts.
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let free = match statvfs(there) {
        Ok(found) => found.blocks_available().saturating_mul(found.fragment_size()),
        Err(error) => {
            let text = format!("{}: {}", there.display(), io::Error::from(error));
            return Finding::warn(TOPIC, text, "`sudo zimg doctor` can read more");
        }
    };
    let most = most.map(|most| format!(", of which {} may be used", format::bytes(most)));
    let text = format!("{at}: {} free{}", format::bytes(free), most.unwrap_or_default());
    if free < LITTLE {
        let fix = "make room, or set `state_dir` to another disk; jobs wait while it is full";
        return Finding::warn(TOPIC, text, fix);
    }
    let mode = fs::metadata(folder).map(|found| found.mode() & 0o7777);
    if let Ok(mode) = mode
        && mode & 0o077 != 0
    {
        let fix = format!("`chmod 700 {}`: prompts are stored there", shell_word(folder));
        return Finding::warn(
            TOPIC,
            format!("{text}, but other users can read it ({mode:o})"),
            fix,
        );
    }
    Finding::ok(TOPIC, text)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::finding::Level;
    use zimg_client::Kind;

    #[test]
    fn a_folder_that_will_be_made_has_the_room_of_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let finding = room(&path, Some(4 << 30), None);
        assert!(finding.text.starts_with(&format!("{}: ", path.display())), "{finding:?}");
        assert!(finding.text.contains(" free, of which 4.3 GB may be used"), "{finding:?}");
    }

    #[test]
    fn open_folders_and_the_daemons_own_trouble_are_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let open = room(folder.path(), None, None);
        // A disk that is full comes first.
        if !open.text.contains("make room") && open.level == Level::Warn {
            assert!(open.fix.unwrap().contains("chmod 700"));
        }
        let failure = Failure::new(Kind::Io, "cannot store jobs in /s: it is read-only");
        let told = room(folder.path(), None, Some(&failure));
        assert_eq!((told.level, told.text), (Level::Fail, failure.message));
    }
}
