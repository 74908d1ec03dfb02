//! Compilation of the kernels with NVRTC, and loading into the GPU's context.

#![expect(unsafe_code, reason = "calls of NVRTC and of the driver")]

use std::borrow::Cow;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;
use std::thread;

use cudarc::driver::result::module;
use cudarc::nvrtc::{result as nvrtc, sys};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use super::Kernel;
use crate::driver::Gpu;
use crate::error::Error;
use crate::{context, libtorch};

/// The sources by file name.
const SOURCES: [(&str, &str); 8] = [
    ("expand.cu", include_str!("expand.cu")),
    ("gate.cu", include_str!("gate.cu")),
    ("group_norm.cu", include_str!("group_norm.cu")),
    ("int8.cu", include_str!("int8.cu")),
    ("norm.cu", include_str!("norm.cu")),
    ("image.cu", include_str!("image.cu")),
    ("rope.cu", include_str!("rope.cu")),
    ("softmax.cu", include_str!("softmax.cu")),
];
/// Those that are compiled only where weights need them, also for GPUs without bfloat16.
const FOR_WEIGHTS: [&str; 2] = ["expand.cu", "int8.cu"];
/// The compiled sources, once a process.
static COMPILED: [OnceLock<Compiled>; SOURCES.len()] = [const { OnceLock::new() }; SOURCES.len()];

/// A source compiled for one compute capability, or the compiler's message.
struct Compiled {
    capability: (i32, i32),
    cubin: Result<Vec<c_char>, String>,
}

/// The text before every source.
const COMMON: &str = include_str!("common.cuh");

/// Loads NVRTC from libtorch's wheel, or from where the dynamic loader looks.
///
/// NVRTC opens its built-in functions by name, which finds the library that is loaded here.
pub(super) fn load_nvrtc() -> Result<(), Error> {
    for name in ["libnvrtc-builtins.so.13.0", "libnvrtc.so.13"] {
        let path = libtorch::nvidia_library(name).unwrap_or_else(|| name.into());
        // SAFETY: NVRTC's initialisers only prepare its own state.
        match unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) } {
            // It stays loaded: cudarc finds it by its name.
            Ok(library) => std::mem::forget(library),
            Err(e) => return Err(Error::NoCompiler(e.to_string())),
        }
    }
    // SAFETY: as above.
    if unsafe { sys::is_culib_present() } {
        Ok(())
    } else {
        Err(Error::NoCompiler("its version is not supported".into()))
    }
}

/// Compiles the sources of the fused kernels in parallel, so that [`load`] finds them; [`load`]
/// reports errors.
pub(super) fn compile_all(gpu: &Gpu) {
    if load_nvrtc().is_ok() {
        thread::scope(|scope| {
            for number in
                (0..SOURCES.len()).filter(|&number| !FOR_WEIGHTS.contains(&SOURCES[number].0))
            {
                scope.spawn(move || compiled(gpu, number));
            }
        });
    }
}

/// Compiles one source, so that [`load`] finds it.
pub(super) fn compile_ahead(gpu: &Gpu, file: &str) {
    let number = SOURCES.iter().position(|(name, _)| *name == file);
    if let Some(number) = number.filter(|_| load_nvrtc().is_ok()) {
        let _ = compiled(gpu, number);
    }
}

/// The compiled source `number` of [`SOURCES`].
fn compiled(gpu: &Gpu, number: usize) -> Result<Cow<'static, [c_char]>, Error> {
    let compile = || compile(gpu, SOURCES[number].0, SOURCES[number].1);
    let capability = gpu.capability;
    let found = COMPILED[number].get_or_init(|| Compiled { capability, cubin: compile() });
    if found.capability == capability {
        found.cubin.as_deref().map(Cow::Borrowed).map_err(|e| Error::Compile(e.clone()))
    } else {
        compile().map(Cow::Owned).map_err(Error::Compile)
    }
}

/// Loads a source, compiled if necessary; returns the kernels in the order of `names`.
pub(super) fn load<const N: usize>(
    gpu: &Gpu,
    file: &str,
    names: [&str; N],
) -> Result<[Kernel; N], Error> {
    let number = SOURCES.iter().position(|(name, _)| *name == file);
    let cubin = compiled(gpu, number.ok_or(Error::InvalidArguments("no such kernel source"))?)?;
    context::make_current(gpu.ordinal)?;
    // SAFETY: the image is a cubin from NVRTC, and the driver copies it.
    let module = unsafe { module::load_data(cubin.as_ptr().cast()) }
        .map_err(|e| Error::driver("cuModuleLoadData", e))?;
    let mut kernels = [Kernel(std::ptr::null_mut()); N];
    for (kernel, name) in kernels.iter_mut().zip(names) {
        let c_name = CString::new(name).map_err(|_| Error::Compile(name.to_owned()))?;
        // SAFETY: the module was just loaded and is never unloaded.
        let function = unsafe { module::get_function(module, c_name) };
        *kernel = Kernel(function.map_err(|_| Error::Compile(format!("{file} lacks {name}")))?);
    }
    Ok(kernels)
}

fn compile(gpu: &Gpu, file: &str, source: &str) -> Result<Vec<c_char>, String> {
    let refused = |e: nvrtc::NvrtcError| format!("{file}: {e}");
    let text = CString::new(format!("{COMMON}\n#line 1 \"{file}\"\n{source}"))
        .map_err(|_| format!("{file} holds a zero byte"))?;
    let program = nvrtc::create_program(&text, None).map_err(refused)?;
    let (major, minor) = gpu.capability;
    let options = [format!("--gpu-architecture=sm_{major}{minor}"), "--std=c++17".to_owned()];
    // SAFETY: the program was just created; it is destroyed below, once.
    let cubin = match unsafe { nvrtc::compile_program(program, &options) } {
        // SAFETY: it was compiled.
        Ok(()) => unsafe { cubin(program) }.map_err(refused),
        Err(e) => {
            // SAFETY: it was created and is not yet destroyed.
            let log = unsafe { nvrtc::get_program_log(program) }.unwrap_or_default();
            let log: Vec<u8> = log.iter().map(|&c| c.cast_unsigned()).collect();
            let log = String::from_utf8_lossy(&log);
            Err(format!("{file}: {e}: {}", log.trim_end_matches(['\0', '\n'])))
        }
    };
    // SAFETY: it was created and is not yet destroyed. A failure leaks some memory.
    let _ = unsafe { nvrtc::destroy_program(program) };
    cubin
}

/// # Safety
/// The program must have been compiled for a real architecture.
unsafe fn cubin(program: sys::nvrtcProgram) -> Result<Vec<c_char>, nvrtc::NvrtcError> {
    let mut size = 0;
    // SAFETY: as required of the caller; `size` is written.
    unsafe { sys::nvrtcGetCUBINSize(program, &raw mut size) }.result()?;
    let mut cubin = vec![0; size];
    // SAFETY: the buffer has the size that NVRTC returned.
    unsafe { sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr()) }.result()?;
    Ok(cubin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turing, Ampere, Ada, Hopper and Blackwell, in data centres and in desktops.
    const CAPABILITIES: [(i32, i32); 7] =
        [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)];

    /// Runs where NVRTC is installed; needs no GPU. `make nvrtc-test` installs it, and sets
    /// `ZIMG_NVRTC_TEST`, so that its lack is a failure.
    #[test]
    fn sources_compile_for_every_capability() {
        if let Err(error) = load_nvrtc() {
            assert!(std::env::var_os("ZIMG_NVRTC_TEST").is_none(), "{error}");
            return;
        }
        for capability in CAPABILITIES {
            let gpu = Gpu { ordinal: 0, name: "GPU".into(), capability, uuid: String::new() };
            for (file, source) in SOURCES {
                // The others are for GPUs with bfloat16.
                if gpu.has_bfloat16() || FOR_WEIGHTS.contains(&file) {
                    let compiled = compile(&gpu, file, source);
                    assert!(compiled.is_ok(), "{file} for {capability:?}: {:?}", compiled.err());
                }
            }
        }
    }

    /// Every source in the folder is compiled by the test above.
    #[test]
    fn every_source_is_listed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".cu"))
            .collect();
        let mut listed: Vec<&str> = SOURCES.iter().map(|(file, _)| *file).collect();
        found.sort_unstable();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }
}
