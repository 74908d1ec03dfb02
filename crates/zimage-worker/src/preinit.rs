//! What begins before libtorch's initialisers: they take 0.2 s on one core before `main`, and on
//! others the driver's context, our kernels and NVIDIA's libraries take as long.

use std::ffi::{CStr, c_char, c_int};
use std::thread;
use std::time::Duration;

use nix::libc::environ;

use crate::args::Place;

/// What std gives a thread.
const STACK: usize = 2 << 20;

/// Begins to bring up the GPU that the command line names.
///
/// The dynamic loader calls it as it would call `main`, before all initialisers (System V ABI,
/// `DT_PREINIT_ARRAY`): nothing of libtorch may be used here, and of std a thread alone, which it
/// does not promise to start before `main`; `tests/tests/functional/preinit.rs` holds it to that.
///
/// No library is loaded before libc's own initialiser has run. Whoever loads one first runs the
/// initialisers of what it needs, and libc's would be run without an environment. Of the others
/// that NVIDIA's libraries share with libtorch, libm's and libgcc's do next to nothing, and
/// libstdc++'s, which NVRTC needs, is done long before the driver has answered (0.1 s), as NVRTC
/// waits for that.
pub extern "C" fn begin(count: c_int, words: *const *const c_char) {
    let words = (0..usize::try_from(count).unwrap_or(0)).map(|at| word(words, at));
    if let Some(Control { ordinal, kernels }) = wish(words) {
        // With a size std does not look for one in the environment, which is not there yet.
        let thread = thread::Builder::new().name("early".to_owned()).stack_size(STACK);
        let _ = thread.spawn(move || {
            while !libc_is_initialised() {
                thread::sleep(Duration::from_micros(50));
            }
            zimage_cuda::begin(ordinal, kernels);
        });
    }
}

/// Whether libc's initialiser has run, which sets the environment.
#[expect(unsafe_code, reason = "a variable of libc's that another thread writes")]
fn libc_is_initialised() -> bool {
    // SAFETY: it is as aligned and as long as any pointer, and only read.
    !unsafe { (&raw const environ).read_volatile() }.is_null()
}

#[expect(unsafe_code, reason = "arguments of a C function")]
fn word(words: *const *const c_char, at: usize) -> &'static [u8] {
    // SAFETY: the loader passes so many pointers to strings as it says, which live as long as the
    // process.
    unsafe { CStr::from_ptr(*words.add(at)) }.to_bytes()
}

/// What a worker will bring up.
#[derive(Debug, PartialEq, Eq)]
struct Control {
    /// The GPU's number.
    ordinal: usize,
    /// Whether it wants our kernels.
    kernels: bool,
}

/// What a worker with these words will bring up, if it is to be a worker and has a GPU.
fn wish<'a>(words: impl Iterator<Item = &'a [u8]>) -> Option<Control> {
    let (mut device, mut is_worker, mut kernels) = (None, false, true);
    let mut words = words.skip(1);
    while let Some(word) = words.next() {
        match word {
            b"--parent-pid" => is_worker = true,
            b"--plain" => kernels = false,
            b"--device" => device = str::from_utf8(words.next()?).ok()?.parse().ok(),
            _ => {}
        }
    }
    let ordinal = match device? {
        Place::Cuda(ordinal) => ordinal,
        Place::Auto => 0,
        Place::Cpu => return None,
    };
    is_worker.then_some(Control { ordinal, kernels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_with_a_gpu_begins_early() {
        let wish = |line: &str| wish(line.split(' ').map(str::as_bytes));
        let some = |ordinal, kernels| Some(Control { ordinal, kernels });
        assert_eq!(wish("worker --parent-pid 7 --model tiny --device cuda:1"), some(1, true));
        assert_eq!(wish("worker --device auto --parent-pid 7"), some(0, true));
        assert_eq!(wish("worker --device cuda:0 --plain --parent-pid 7"), some(0, false));
        for line in ["worker --parent-pid 7 --device cpu", "worker --device cuda:0 --help", "w"] {
            assert_eq!(wish(line), None, "{line}");
        }
    }
}
