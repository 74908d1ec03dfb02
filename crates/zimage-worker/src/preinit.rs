//! Pre-main initialization: what of the GPU can be initialized before libtorch's initializers run.
//! Those take 0.2 s on one core before `main`; on others the driver's context, our kernels and
//! NVIDIA's libraries take as long.

use std::ffi::{CStr, c_char, c_int};
use std::thread;
use std::time::Duration;

use nix::libc::environ;

use crate::args::{DeviceChoice, flag};

/// The stack that std gives a thread.
const STACK: usize = 2 << 20;

/// Defines `main`, and names [`run`] to the dynamic loader. For the programs of this package: a
/// library's own section would be dropped by the linker.
#[macro_export]
macro_rules! worker_program {
    () => {
        /// Runs before libtorch's initializers.
        // SAFETY: the section holds pointers to functions of this signature.
        #[used]
        #[unsafe(link_section = ".preinit_array")]
        static PREINIT: extern "C" fn(::std::ffi::c_int, *const *const ::std::ffi::c_char) =
            $crate::preinit::run;

        fn main() -> ::std::process::ExitCode {
            $crate::main()
        }
    };
}

/// Starts to initialize the GPU that the command line names.
///
/// The dynamic loader calls it as it would call `main`, before all initializers (System V ABI,
/// `DT_PREINIT_ARRAY`): nothing of libtorch may be used here, and of std a thread alone, which it
/// does not promise to start before `main`; `tests/tests/functional/preinit.rs` tests that it does.
///
/// No library is loaded before libc's own initializer has run. The first to load one runs the
/// initializers of what that needs, and libc's would run without an environment. Of the others
/// that NVIDIA's libraries share with libtorch, libm's and libgcc's do next to nothing, and
/// libstdc++'s, which NVRTC needs, is done long before the driver has answered (0.1 s), as NVRTC
/// waits for that.
pub extern "C" fn run(count: c_int, words: *const *const c_char) {
    let words = (0..usize::try_from(count).unwrap_or(0)).map(|at| word(words, at));
    if let Some(Target { ordinal, kernels }) = target(words) {
        // With a size std does not look for one in the environment, which is not there yet.
        let thread = thread::Builder::new().name("preinit".to_owned()).stack_size(STACK);
        let _ = thread.spawn(move || {
            while !libc_is_initialized() {
                thread::sleep(Duration::from_micros(50));
            }
            zimage_cuda::preinit(ordinal, kernels);
        });
    }
}

/// Whether libc's initializer has run, which sets the environment.
#[expect(unsafe_code, reason = "a variable of libc's that another thread writes")]
fn libc_is_initialized() -> bool {
    // SAFETY: it is as aligned and as long as any pointer, and only read.
    !unsafe { (&raw const environ).read_volatile() }.is_null()
}

#[expect(unsafe_code, reason = "arguments of a C function")]
fn word(words: *const *const c_char, at: usize) -> &'static [u8] {
    // SAFETY: the loader passes as many pointers to strings as it counts, which live as long as
    // the process.
    unsafe { CStr::from_ptr(*words.add(at)) }.to_bytes()
}

/// What is initialized.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// The GPU's number.
    ordinal: usize,
    /// Whether our kernels are compiled.
    kernels: bool,
}

/// What a command line asks for, if it is a worker's and names a GPU.
///
/// The names of the options and the device's syntax are those of [`crate::args`]. The parser is
/// not: clap builds its commands at run time and reads the environment, and neither is safe
/// before libc's initializer. An option that is misread here costs time and nothing else, as
/// `main` initializes what is missing.
fn target<'a>(words: impl Iterator<Item = &'a [u8]>) -> Option<Target> {
    let (mut device, mut is_worker, mut kernels) = (None, false, true);
    let mut words = words.skip(1);
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix(b"--") else { continue };
        if name == flag::PARENT_PID.as_bytes() {
            is_worker = true;
        } else if name == flag::EAGER.as_bytes() {
            kernels = false;
        } else if name == flag::DEVICE.as_bytes() {
            device = str::from_utf8(words.next()?).ok()?.parse().ok();
        }
    }
    let ordinal = match device? {
        DeviceChoice::Cuda(ordinal) => ordinal,
        DeviceChoice::Auto => 0,
        DeviceChoice::Cpu => return None,
    };
    is_worker.then_some(Target { ordinal, kernels })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    #[test]
    fn only_a_worker_with_a_gpu_is_initialized_before_main() {
        let target = |line: &str| target(line.split(' ').map(str::as_bytes));
        let some = |ordinal, kernels| Some(Target { ordinal, kernels });
        assert_eq!(target("worker --parent-pid 7 --model tiny --device cuda:1"), some(1, true));
        assert_eq!(target("worker --device auto --parent-pid 7"), some(0, true));
        assert_eq!(target("worker --device cuda:0 --eager --parent-pid 7"), some(0, false));
        for line in ["worker --parent-pid 7 --device cpu", "worker --device cuda:0 --help", "w"] {
            assert_eq!(target(line), None, "{line}");
        }
    }

    #[test]
    fn it_reads_a_command_line_as_clap_does() {
        let line = "worker --eager --parent-pid 7 --device cuda:3";
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let target = target(line.split(' ').map(str::as_bytes)).unwrap();
        assert_eq!(args.device, DeviceChoice::Cuda(target.ordinal));
        assert_eq!(args.eager, !target.kernels);
    }
}
