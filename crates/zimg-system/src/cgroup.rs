//! The control groups of this process: the folders of each controller, from its own group to the
//! outermost that is visible.
//!
//! Source: proc_pid_cgroup(5), proc_pid_mountinfo(5), cgroups(7).

use std::fs;
use std::path::{Path, PathBuf};

/// The version of the interface, which names the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// A group's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The version.
    pub version: Version,
    /// Its files are here.
    pub folder: PathBuf,
}

impl Group {
    /// The text of one of its files, trimmed.
    pub fn read(&self, file: &str) -> Option<String> {
        Some(fs::read_to_string(self.folder.join(file)).ok()?.trim().to_owned())
    }
}

/// The groups of a process.
#[derive(Clone, Debug, Default)]
pub struct Cgroups {
    /// Lines `id:controllers:path`.
    membership: String,
    mounts: String,
    /// What the mount points are relative to.
    root: PathBuf,
}

impl Cgroups {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        Self::under(Path::new("/"))
    }

    /// Those of another process, as far as this one sees them.
    pub fn of_process(pid: u32) -> Self {
        Self::read(Path::new("/"), &pid.to_string())
    }

    /// Those that a tree of files describes as `proc` and `sys` do.
    pub fn under(root: &Path) -> Self {
        Self::read(root, "self")
    }

    fn read(root: &Path, process: &str) -> Self {
        let proc = root.join("proc");
        let read = |file: String| fs::read_to_string(proc.join(file)).unwrap_or_default();
        Self {
            membership: read(format!("{process}/cgroup")),
            mounts: read("self/mountinfo".to_owned()),
            root: root.to_owned(),
        }
    }

    /// The groups of a controller, such as `memory`: the process's own first, then those around it.
    /// A controller has one version; with both mounted, that which has it in version 1.
    pub fn groups(&self, controller: &str) -> Vec<Group> {
        let v1 = self.mounts.lines().find_map(|line| mount_point(line, Some(controller)));
        let (version, mount) = match (v1, self.mounts.lines().find_map(|l| mount_point(l, None))) {
            (Some(mount), _) => (Version::V1, mount),
            (None, Some(mount)) => (Version::V2, mount),
            (None, None) => return Vec::new(),
        };
        let own = self.membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let is_of = match version {
                Version::V1 => controllers.split(',').any(|name| name == controller),
                Version::V2 => controllers.is_empty(),
            };
            is_of.then_some(path)
        });
        // A container sees its own group as the mount's root, whatever its path is called.
        let below = own.and_then(|own| Path::new(own).strip_prefix(mount.root).ok());
        let top = self.root.join(mount.point.trim_start_matches('/'));
        let mut folder = top.join(below.unwrap_or(Path::new("")));
        let mut groups = vec![Group { version, folder: folder.clone() }];
        while folder != top && folder.pop() {
            groups.push(Group { version, folder: folder.clone() });
        }
        groups
    }
}

/// Where a hierarchy is mounted.
struct Mount<'a> {
    /// The group that is its topmost folder.
    root: &'a str,
    point: &'a str,
}

/// The mount of a line of mountinfo, if it is that of a version 1 controller, or with `None` of
/// version 2.
fn mount_point<'a>(line: &'a str, controller: Option<&str>) -> Option<Mount<'a>> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = filesystem.split(' ');
    let kind = fields.next()?;
    let is_it = match controller {
        None => kind == "cgroup2",
        Some(name) => kind == "cgroup" && fields.nth(1)?.split(',').any(|option| option == name),
    };
    let mut mount = mount.split(' ').skip(3);
    is_it.then_some(Mount { root: mount.next()?, point: mount.next()? })
}

/// A tree of files for tests: contents by path.
#[cfg(test)]
pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// A version 2 system with this process in `/system.slice/zimaged.service`.
#[cfg(test)]
pub(crate) const V2: [(&str, &str); 2] = [
    ("proc/self/cgroup", "0::/system.slice/zimaged.service\n"),
    (
        "proc/self/mountinfo",
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    ),
];

/// A version 1 system in a container without a namespace of its own: the path is the host's, and
/// the mount shows the group itself.
#[cfg(test)]
pub(crate) const V1: [(&str, &str); 2] = [
    ("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:pids:/docker/abc\n"),
    (
        "proc/self/mountinfo",
        "30 23 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
         31 23 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
         32 23 0:28 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(files: &[(&str, &str)], controller: &str) -> Vec<String> {
        let root = tree(files);
        let groups = Cgroups::under(root.path()).groups(controller);
        let shown = |group: Group| {
            let folder = group.folder.strip_prefix(root.path()).unwrap().to_owned();
            format!("{:?} {}", group.version, folder.display())
        };
        groups.into_iter().map(shown).collect()
    }

    #[test]
    fn groups_are_found_from_the_inside_to_the_outside() {
        let v2 = [
            "V2 sys/fs/cgroup/system.slice/zimaged.service",
            "V2 sys/fs/cgroup/system.slice",
            "V2 sys/fs/cgroup",
        ];
        assert_eq!(folders(&V2, "memory"), v2);
        assert_eq!(folders(&V1, "memory"), ["V1 sys/fs/cgroup/memory"]);
        assert_eq!(folders(&V1, "cpu"), ["V1 sys/fs/cgroup/cpu,cpuacct"]);
    }

    #[test]
    fn a_hybrid_system_has_each_controller_in_one_version() {
        let files = [
            ("proc/self/cgroup", "4:memory:/user/a\n0::/user.slice/a\n"),
            (
                "proc/self/mountinfo",
                "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                 41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            ),
        ];
        let memory = folders(&files, "memory");
        assert_eq!(memory[0], "V1 sys/fs/cgroup/memory/user/a");
        assert_eq!(memory.len(), 3);
        assert_eq!(folders(&files, "pids")[0], "V2 sys/fs/cgroup/unified/user.slice/a");
    }

    #[test]
    fn without_control_groups_there_are_none() {
        assert!(folders(&[], "memory").is_empty());
        let damaged = [("proc/self/cgroup", "x\n::\n"), ("proc/self/mountinfo", "1 2\n - \n")];
        assert!(folders(&damaged, "memory").is_empty());
    }
}
