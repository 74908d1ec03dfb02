//! The processes that use a GPU's memory, from NVIDIA's management library (NVML), which comes with
//! the driver.

#![expect(unsafe_code, reason = "calls into a C library")]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fs;

use cudarc::driver::sys;
use libloading::Library;

use crate::context;

/// `NVML_SUCCESS`
const SUCCESS: c_int = 0;
/// The most processes that are listed for one GPU.
const PROCESSES: usize = 64;
/// The length of the driver's buffer for "0000:00:00.0" and its zero.
const BUS_ID: usize = 32;

/// A process that uses memory of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuProcess {
    /// Its id in this process's namespace; inside a container, in the host's.
    pub pid: u32,
    /// Its name, if /proc shows it.
    pub name: Option<String>,
    /// Bytes that it uses.
    pub bytes: u64,
}

/// `nvmlProcessInfo_t` of `nvmlDeviceGetComputeRunningProcesses_v3`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Process {
    pid: c_uint,
    bytes: u64,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

type Init = unsafe extern "C" fn() -> c_int;
type ByBusId = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
type Processes = unsafe extern "C" fn(*mut c_void, *mut c_uint, *mut Process) -> c_int;

/// The processes that use a GPU's memory, the largest first, without this one. Empty where NVML
/// reports none: in a container the processes outside are often hidden.
pub fn gpu_processes(ordinal: usize) -> Vec<GpuProcess> {
    let mut found = processes(ordinal).unwrap_or_default();
    // All bits set means "not available".
    found.retain(|p| p.pid != std::process::id() && p.bytes != u64::MAX);
    found.sort_by_key(|p| std::cmp::Reverse(p.bytes));
    found.iter().map(|p| GpuProcess { pid: p.pid, name: name(p.pid), bytes: p.bytes }).collect()
}

fn processes(ordinal: usize) -> Option<Vec<Process>> {
    let bus_id = bus_id(ordinal)?;
    // SAFETY: the library's initialisers only prepare its own state.
    let library = unsafe { Library::new("libnvidia-ml.so.1") }.ok()?;
    // SAFETY: the types are those of nvml.h; the functions are called before the library closes.
    unsafe {
        let init = library.get::<Init>(b"nvmlInit_v2").ok()?;
        let by_bus_id = library.get::<ByBusId>(b"nvmlDeviceGetHandleByPciBusId_v2").ok()?;
        let running = library.get::<Processes>(b"nvmlDeviceGetComputeRunningProcesses_v3").ok()?;
        let shutdown = library.get::<Init>(b"nvmlShutdown").ok()?;
        if init() != SUCCESS {
            return None;
        }
        let mut device = std::ptr::null_mut();
        let mut count = PROCESSES as c_uint;
        let mut processes = vec![Process::default(); PROCESSES];
        let found = by_bus_id(bus_id.as_ptr(), &raw mut device) == SUCCESS
            && running(device, &raw mut count, processes.as_mut_ptr()) == SUCCESS;
        shutdown();
        processes.truncate(if found { count as usize } else { 0 });
        Some(processes)
    }
}

/// A GPU's PCI bus id, which both libraries share; their ordinals can differ.
fn bus_id(ordinal: usize) -> Option<[c_char; BUS_ID]> {
    let device = context::device(ordinal).ok()?;
    let mut text = [0; BUS_ID];
    // SAFETY: the driver writes at most `BUS_ID` bytes, including the zero.
    let result = unsafe { sys::cuDeviceGetPCIBusId(text.as_mut_ptr(), BUS_ID as c_int, device) };
    result.result().ok().map(|()| text)
}

fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_no_process_is_listed() {
        assert_eq!(gpu_processes(4711), []);
        assert!(name(std::process::id()).is_some() && name(u32::MAX).is_none());
    }
}
