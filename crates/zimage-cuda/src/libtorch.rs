//! Loading libtorch_cuda.so from beside the libtorch_cpu.so in use, and what NVIDIA has in wheels
//! beside both.

#![expect(unsafe_code, reason = "dlopen runs the library's initialisers")]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

use crate::Error;

/// libtorch_cuda; registered kernels point into it, so it is never unloaded.
static CUDA: OnceLock<Library> = OnceLock::new();
/// Those of NVIDIA's libraries that libtorch_cuda needs whose initialisers take longest, 0.05 s and
/// 0.005 s. They need nothing of libtorch.
const SLOW: [&str; 2] = ["libcublasLt.so.13", "libnvJitLink.so.13"];

/// Loads libtorch_cuda for the rest of the process.
pub(crate) fn load_cuda() -> Result<(), Error> {
    if CUDA.get().is_some() {
        return Ok(());
    }
    let path = folder().unwrap_or_default().join("libtorch_cuda.so");
    if !path.exists() {
        return Err(Error::NoLibtorchCuda(path.display().to_string()));
    }
    // SAFETY: the library is libtorch's own part and of the same build as the libtorch_cpu
    // beside it; its initialisers register CUDA with libtorch and touch nothing of ours.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    match library {
        Ok(library) => {
            CUDA.get_or_init(|| library);
            Ok(())
        }
        Err(e) => Err(Error::Load { path: path.display().to_string(), reason: e.to_string() }),
    }
}

/// Loads of NVIDIA's libraries what libtorch_cuda would wait for; it finds them loaded.
///
/// Nothing of libtorch is called, so its initialisers need not have run.
pub(crate) fn load_what_cuda_needs() {
    for path in SLOW.iter().filter_map(|name| of_nvidia(name)) {
        // SAFETY: the library is of libtorch's own build; its initialisers only prepare its own
        // state.
        if let Ok(library) = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) } {
            // It stays for the process, as libtorch_cuda does.
            std::mem::forget(library);
        }
    }
}

/// A library of NVIDIA's where libtorch's wheel looks for it.
pub(crate) fn of_nvidia(name: &str) -> Option<PathBuf> {
    let path = folder()?.join("../../nvidia/cu13/lib").join(name);
    path.exists().then_some(path)
}

/// The folder of the libtorch_cpu that this process runs on. Nothing of libtorch is called.
fn folder() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().find_map(|line| {
        let path = line.get(line.find('/')?..)?;
        path.ends_with("/libtorch_cpu.so").then(|| PathBuf::from(path))
    })?;
    path.parent().map(PathBuf::from)
}

/// A function of libtorch_cuda's C interface.
///
/// # Safety
/// `F` must be the type of the function of this name.
pub(crate) unsafe fn symbol<F: Copy>(name: &str) -> Result<F, Error> {
    let missing = || Error::NoLibtorchCuda(name.to_owned());
    let library = CUDA.get().ok_or_else(missing)?;
    // SAFETY: the caller's promise.
    unsafe { library.get::<F>(name.as_bytes()) }.map(|f| *f).map_err(|_| missing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_cpu_is_found_where_it_was_loaded_from() {
        // The linker drops a library that nothing uses.
        tch::Cuda::user_enabled_cudnn();
        let folder = folder().unwrap();
        assert!(folder.join("libtorch_cpu.so").is_file(), "{}", folder.display());
    }
}
