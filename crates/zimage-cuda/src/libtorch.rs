//! Loading libtorch_cuda.so from beside the libtorch_cpu.so in use.

#![expect(unsafe_code, reason = "dlopen runs the library's initialisers")]

use std::fs;
use std::path::PathBuf;

use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::Error;

/// libtorch_cuda; registered kernels point into it, so it is never unloaded.
static CUDA: OnceLock<Library> = OnceLock::new();

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

/// The folder of the libtorch_cpu that this process runs on.
pub(crate) fn folder() -> Option<PathBuf> {
    // libtorch_cpu is dropped by the linker if nothing uses it, so it is asked for by use.
    tch::Cuda::user_enabled_cudnn();
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
        let folder = folder().unwrap();
        assert!(folder.join("libtorch_cpu.so").is_file(), "{}", folder.display());
    }
}
