//! From CUDA C++ to kernels in the GPU's context, through NVRTC.

#![expect(unsafe_code, reason = "calls of NVRTC and of the driver")]

use std::borrow::Cow;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;
use std::thread;

use cudarc::driver::result::module;
use cudarc::nvrtc::{result as nvrtc, sys};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use super::Kernel;
use crate::{Error, Gpu, context, libtorch};

/// The files by their names.
const SOURCES: [(&str, &str); 6] = [
    ("gate.cu", include_str!("gate.cu")),
    ("group_norm.cu", include_str!("group_norm.cu")),
    ("norm.cu", include_str!("norm.cu")),
    ("image.cu", include_str!("image.cu")),
    ("rope.cu", include_str!("rope.cu")),
    ("softmax.cu", include_str!("softmax.cu")),
];
/// What they were compiled to, once a process.
static COMPILED: [OnceLock<Compiled>; SOURCES.len()] = [const { OnceLock::new() }; SOURCES.len()];

/// A file for one kind of GPU, or why it does not compile.
struct Compiled {
    capability: (i32, i32),
    cubin: Result<Vec<c_char>, String>,
}

/// What stands before every file.
const COMMON: &str = include_str!("common.cuh");

/// Finds NVRTC where libtorch's wheel has it, and where the dynamic loader looks.
///
/// Its second half, the built-in functions, it opens itself by name, which finds what is loaded.
pub(super) fn bring_compiler() -> Result<(), Error> {
    for name in ["libnvrtc-builtins.so.13.0", "libnvrtc.so.13"] {
        let path = libtorch::of_nvidia(name).unwrap_or_else(|| name.into());
        // SAFETY: NVRTC's initialisers only prepare its own state.
        match unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) } {
            // It stays for the process: cudarc finds it by its name.
            Ok(library) => std::mem::forget(library),
            Err(e) => return Err(Error::NoCompiler(e.to_string())),
        }
    }
    // SAFETY: as above.
    if unsafe { sys::is_culib_present() } {
        Ok(())
    } else {
        Err(Error::NoCompiler("it is too new or too old".into()))
    }
}

/// Compiles all files, all at once, so that [`load`] finds them; what is wrong it will say.
pub(super) fn compile_all(gpu: &Gpu) {
    if bring_compiler().is_ok() {
        thread::scope(|scope| {
            for number in 0..SOURCES.len() {
                scope.spawn(move || compiled(gpu, number));
            }
        });
    }
}

/// The file of this number in [`SOURCES`], compiled.
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

/// Compiles one file, if it is not, and loads it; the kernels come back in the order of their names.
pub(super) fn load<const N: usize>(
    gpu: &Gpu,
    file: &str,
    names: [&str; N],
) -> Result<[Kernel; N], Error> {
    let number = SOURCES.iter().position(|(name, _)| *name == file);
    let cubin = compiled(gpu, number.ok_or(Error::Misuse("there is no such file"))?)?;
    context::make_current(gpu.ordinal)?;
    // SAFETY: the image is a cubin that NVRTC just made, and the driver copies what it needs.
    let module = unsafe { module::load_data(cubin.as_ptr().cast()) }
        .map_err(|e| Error::driver("cuModuleLoadData", e))?;
    let mut kernels = [Kernel(std::ptr::null_mut()); N];
    for (kernel, name) in kernels.iter_mut().zip(names) {
        let c_name = CString::new(name).map_err(|_| Error::Compile(name.to_owned()))?;
        // SAFETY: the module was just loaded and stays.
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
    // SAFETY: it was created and is not yet destroyed. Failing to destroy it leaks some memory.
    let _ = unsafe { nvrtc::destroy_program(program) };
    cubin
}

/// # Safety
/// The program must have been compiled for a real architecture.
unsafe fn cubin(program: sys::nvrtcProgram) -> Result<Vec<c_char>, nvrtc::NvrtcError> {
    let mut size = 0;
    // SAFETY: the caller's promise; `size` is written.
    unsafe { sys::nvrtcGetCUBINSize(program, &raw mut size) }.result()?;
    let mut cubin = vec![0; size];
    // SAFETY: the buffer has the size that was just asked for.
    unsafe { sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr()) }.result()?;
    Ok(cubin)
}
