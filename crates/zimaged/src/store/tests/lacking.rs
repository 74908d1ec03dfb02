//! The store on a file system that lacks `fsync`, modes, hard links and flags of `rename`.

use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;
use nix::libc;

use super::{SIDE, record, started};
use crate::store::job_store::JobStore;
use zimg_protocol::messages::ImageInfo;

/// Lets system calls fail in this thread as such a file system does (seccomp(2)).
#[expect(unsafe_code, reason = "nix has no seccomp")]
fn lack(calls: &[(i64, Errno)]) {
    let line = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut filter = vec![line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (call, error) in calls {
        filter.push(line(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, *call as u32));
        let fail = libc::SECCOMP_RET_ERRNO | *error as u32;
        filter.push(line(libc::BPF_RET | libc::BPF_K, 0, fail));
    }
    filter.push(line(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the filter outlives the call, which copies it.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

#[test]
fn jobs_are_stored_without_fsync_and_modes() {
    for error in [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let store = move || {
            lack(&[
                (libc::SYS_fsync, error),
                (libc::SYS_fdatasync, error),
                (libc::SYS_fchmod, Errno::EPERM),
                (libc::SYS_fchmodat, Errno::EPERM),
                #[cfg(target_arch = "x86_64")]
                (libc::SYS_chmod, Errno::EPERM),
                (libc::SYS_renameat2, error),
                (libc::SYS_linkat, Errno::EPERM),
            ]);
            let pixels = vec![7; 3 * (SIDE * SIDE) as usize];
            let bytes = pixels.len() as u64;
            let info = ImageInfo { index: 0, seed: 0, width: SIDE, height: SIDE, bytes };
            let (mut store, _) = JobStore::open(&path, 1).unwrap();
            store.accept(1, record(7, "a fox", 1), &[]).unwrap();
            let stored = store.store_image(1, &started(), &info, &pixels).unwrap();
            drop(store);
            let (store, contents) = JobStore::open(&path, 1).unwrap();
            assert_eq!(contents.jobs.len(), 1);
            assert!(contents.aside.is_none());
            assert_eq!(store.read(1, &stored, 0, pixels.len()).unwrap(), pixels);
        };
        std::thread::spawn(store).join().unwrap();
    }
}
