//! W^X check: whether this process may execute memory that it has written, as oneDNN does with its
//! convolutions.

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use zimage::Error;
use zimg_protocol::{Failure, Kind};

/// The failure where it may not; oneDNN's own message is "could not create a primitive".
pub(crate) fn forbidden(error: &Error) -> Failure {
    let message = format!(
        "generating on the CPU needs memory that is written and then executed, which is forbidden here \
         ({error})"
    );
    Failure::new(Kind::Config, message)
        .hint("under systemd MemoryDenyWriteExecute=no allows it: install the drop-in cpu.conf")
}

/// Whether it may: tried with one page.
#[expect(unsafe_code, reason = "pages are made and unmade by address")]
pub(crate) fn is_allowed() -> bool {
    const BYTES: usize = 4096;
    let writable = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the place, nothing else knows the mapping, and it is gone before
    // this returns.
    unsafe {
        let page = mmap_anonymous(std::ptr::null_mut(), BYTES, writable, MapFlags::PRIVATE);
        page.is_ok_and(|page| {
            let allowed = mprotect(page, BYTES, MprotectFlags::READ | MprotectFlags::EXEC).is_ok();
            allowed & munmap(page, BYTES).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_allowed_where_the_tests_run() {
        assert!(is_allowed(), "the tests run without MemoryDenyWriteExecute");
    }
}
