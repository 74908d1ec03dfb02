//! CUDA graph capture and replay through libtorch's `at::cuda::CUDAGraph`.
//!
//! Encoding a prompt launches 340 kernels, at 10 to 30 µs each and with far shorter run times; a
//! replay is one launch. The class is libtorch's so that its allocator knows the memory of a graph.

#![expect(unsafe_code, reason = "calls into libtorch's C++ and into the driver")]

use std::ffi::{CStr, c_char, c_int, c_ulonglong, c_void};
use std::fmt;
use std::sync::OnceLock;

use cudarc::driver::{result, sys};

use crate::context::{self, refused};
use crate::error::Error;
use crate::libtorch;

/// More than `sizeof(at::cuda::CUDAGraph)`, which is some hundreds of bytes in libtorch 2.11.
const STORAGE_BYTES: usize = 4096;
/// `cudaStreamCaptureModeThreadLocal`: capture does not restrict other threads.
const THREAD_LOCAL: c_int = 1;

/// A memory pool. Graphs that share one must not run at the same time, and a replay may overwrite the
/// results of another graph, except for tensors that are still alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool([c_ulonglong; 2]);

/// A captured CUDA graph.
pub struct Graph {
    storage: Box<GraphStorage>,
    functions: &'static Functions,
}

#[repr(C, align(64))]
struct GraphStorage([u8; STORAGE_BYTES]);

/// Members of `at::cuda::CUDAGraph`, and the two functions of libtorch's C interface that change
/// its current stream.
struct Functions {
    new: unsafe extern "C" fn(*mut c_void, bool),
    begin: *const c_void,
    end: unsafe extern "C" fn(*mut c_void),
    replay: unsafe extern "C" fn(*mut c_void),
    pool: *const c_void,
    delete: unsafe extern "C" fn(*mut c_void),
    enter: unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_void) -> c_int,
    leave: unsafe extern "C" fn(*mut c_void) -> c_int,
}

// SAFETY: addresses of code.
unsafe impl Send for Functions {}
// SAFETY: addresses of code.
unsafe impl Sync for Functions {}

type Member = unsafe extern "C" fn(*mut c_void);

// `src/shim.cpp`
unsafe extern "C" {
    fn zimg_graph_new(
        constructor: unsafe extern "C" fn(*mut c_void, bool),
        graph: *mut c_void,
        why: *mut c_char,
        room: usize,
    ) -> bool;
    fn zimg_graph_begin(
        begin: *const c_void,
        graph: *mut c_void,
        first: c_ulonglong,
        second: c_ulonglong,
        mode: c_int,
        why: *mut c_char,
        room: usize,
    ) -> bool;
    fn zimg_graph_pool(
        pool: *const c_void,
        graph: *mut c_void,
        to: *mut c_ulonglong,
        why: *mut c_char,
        room: usize,
    ) -> bool;
    fn zimg_graph_call(member: Member, graph: *mut c_void, why: *mut c_char, room: usize) -> bool;
}

impl Graph {
    /// Captures the launches of `work` without running them: the tensors that it returns have their
    /// values after the first [`Graph::replay`]. The memory that it reads and writes must stay in
    /// place as long as the graph.
    ///
    /// `work` must have run before, so that its kernels are loaded, and must not wait for the GPU.
    ///
    /// # Errors
    /// Those of `work`, or libtorch's; capture has ended then.
    pub fn capture<T, E: From<Error>>(
        ordinal: usize,
        pool: Option<Pool>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let functions = functions()?;
        context::make_current(ordinal)?;
        result::ctx::synchronize().map_err(refused("cuCtxSynchronize")).map_err(E::from)?;
        let _stream = CaptureStream::enter(functions, ordinal)?;
        let mut graph = Self::new(functions)?;
        let Pool([first, second]) = pool.unwrap_or(Pool([0, 0]));
        let at = graph.at();
        // SAFETY: the function is `capture_begin` and the graph was constructed.
        checked(|why, room| unsafe {
            zimg_graph_begin(functions.begin, at, first, second, THREAD_LOCAL, why, room)
        })?;
        let done = work();
        // Also after an error: the stream must leave capture mode.
        let ended = graph.call(functions.end);
        let done = done?;
        ended?;
        Ok((graph, done))
    }

    /// Launches the graph on libtorch's stream; does not wait for it.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn replay(&mut self) -> Result<(), Error> {
        self.call(self.functions.replay)
    }

    /// Its memory pool.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn pool(&mut self) -> Result<Pool, Error> {
        let mut pool = [0; 2];
        let (at, function) = (self.at(), self.functions.pool);
        // SAFETY: the function is `pool`, the graph was constructed, and the array holds two numbers.
        checked(|why, room| unsafe {
            zimg_graph_pool(function, at, pool.as_mut_ptr(), why, room)
        })?;
        Ok(Pool(pool))
    }

    fn new(functions: &'static Functions) -> Result<Self, Error> {
        let mut storage = Box::new(GraphStorage([0; STORAGE_BYTES]));
        let at = (&raw mut *storage).cast();
        // SAFETY: the function is the constructor, the storage is large enough and does not move.
        checked(|why, room| unsafe { zimg_graph_new(functions.new, at, why, room) })?;
        Ok(Self { storage, functions })
    }

    fn at(&mut self) -> *mut c_void {
        (&raw mut *self.storage).cast()
    }

    fn call(&mut self, member: Member) -> Result<(), Error> {
        let at = self.at();
        // SAFETY: the function is a member of the class without arguments, the graph constructed.
        checked(|why, room| unsafe { zimg_graph_call(member, at, why, room) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // A graph that cannot be destroyed ends with the process.
        let _ = self.call(self.functions.delete);
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Graph")
    }
}

/// A guard: while it exists, libtorch uses a stream of this crate. Its own, the default stream, cannot
/// be captured.
struct CaptureStream {
    guard: *mut c_void,
    functions: &'static Functions,
}

impl CaptureStream {
    fn enter(functions: &'static Functions, ordinal: usize) -> Result<Self, Error> {
        let stream = stream()?;
        let ordinal = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        let mut guard = std::ptr::null_mut();
        // SAFETY: the function has the type that `Functions` declares; the stream lives as long as
        // the process.
        let code = unsafe { (functions.enter)(stream, ordinal, &raw mut guard) };
        if code != 0 {
            return Err(Error::InvalidArguments("libtorch rejects the stream"));
        }
        Ok(Self { guard, functions })
    }
}

impl Drop for CaptureStream {
    fn drop(&mut self) {
        // SAFETY: `enter` created the guard, and it is deleted once.
        unsafe { (self.functions.leave)(self.guard) };
    }
}

/// The stream for capture, created once in the current context: one GPU a process.
fn stream() -> Result<*mut c_void, Error> {
    static STREAM: OnceLock<usize> = OnceLock::new();
    if let Some(&stream) = STREAM.get() {
        return Ok(stream as *mut c_void);
    }
    let kind = result::stream::StreamKind::NonBlocking;
    let stream: sys::CUstream = result::stream::create(kind).map_err(refused("cuStreamCreate"))?;
    Ok(*STREAM.get_or_init(|| stream as usize) as *mut c_void)
}

/// libtorch's functions, resolved once.
fn functions() -> Result<&'static Functions, Error> {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    if let Some(functions) = FUNCTIONS.get() {
        return Ok(functions);
    }
    // SAFETY: the names are those of libtorch 2.11 (ATen/cuda/CUDAGraph.h,
    // torch/csrc/inductor/aoti_torch/c/shim.h), with the types that `Functions` and `shim.cpp` declare;
    // a member function takes its object as its first argument.
    let found = unsafe {
        Functions {
            new: libtorch::symbol("_ZN2at4cuda9CUDAGraphC1Eb")?,
            begin: libtorch::symbol(
                "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode",
            )?,
            end: libtorch::symbol("_ZN2at4cuda9CUDAGraph11capture_endEv")?,
            replay: libtorch::symbol("_ZN2at4cuda9CUDAGraph6replayEv")?,
            pool: libtorch::symbol("_ZN2at4cuda9CUDAGraph4poolEv")?,
            delete: libtorch::symbol("_ZN2at4cuda9CUDAGraphD1Ev")?,
            enter: libtorch::symbol("aoti_torch_create_cuda_stream_guard")?,
            leave: libtorch::symbol("aoti_torch_delete_cuda_stream_guard")?,
        }
    };
    Ok(FUNCTIONS.get_or_init(|| found))
}

/// The result of a call of the shim.
fn checked(call: impl FnOnce(*mut c_char, usize) -> bool) -> Result<(), Error> {
    let mut why = [0; 512];
    if call(why.as_mut_ptr(), why.len()) {
        return Ok(());
    }
    // SAFETY: the shim writes a zero-terminated message whenever it fails.
    let why = unsafe { CStr::from_ptr(why.as_ptr()) }.to_string_lossy();
    Err(Error::Graph(why.lines().next().unwrap_or_default().to_owned()))
}
