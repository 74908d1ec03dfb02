//! Dynamic loading of libtorch_cuda.so, from the folder of the libtorch_cpu.so in use, and of
//! NVIDIA's libraries in the wheels next to it.

#![expect(unsafe_code, reason = "dlopen runs the library's initialisers")]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

use crate::error::Error;

/// libtorch_cuda. It is never unloaded: registered kernels point into it.
static CUDA: OnceLock<Library> = OnceLock::new();
/// The dependencies of libtorch_cuda with the longest initialisers: 0.05 s and 0.005 s. They need no
/// libtorch.
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
    // beside it; its initialisers register CUDA with libtorch and touch no memory of this crate.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    match library {
        Ok(library) => {
            CUDA.get_or_init(|| library);
            Ok(())
        }
        Err(e) => Err(Error::Load { path: path.display().to_string(), reason: e.to_string() }),
    }
}

/// Loads the slow dependencies of libtorch_cuda before it does.
///
/// Calls no libtorch, so libtorch's initialisers need not have run.
pub(crate) fn preload_dependencies() {
    for path in SLOW.iter().filter_map(|name| nvidia_library(name)) {
        // SAFETY: the library is of libtorch's own build; its initialisers only prepare its own
        // state.
        if let Ok(library) = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) } {
            // It stays loaded, as libtorch_cuda does.
            std::mem::forget(library);
        }
    }
}

/// A library of NVIDIA's in the folder where libtorch's wheel looks for it.
pub(crate) fn nvidia_library(name: &str) -> Option<PathBuf> {
    let path = folder()?.join("../../nvidia/cu13/lib").join(name);
    path.exists().then_some(path)
}

/// The folder of the libtorch_cpu that this process has loaded. Calls no libtorch.
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
    // SAFETY: as required of the caller.
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
