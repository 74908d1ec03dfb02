//! `int8.cu`: rows of 8-bit integers made of plain numbers, the twin of `zimage_checkpoint::make_int8`.

#![expect(unsafe_code, reason = "launches kernels")]

use std::thread;

use cudarc::driver::sys::CUstream;
use tch::{Kind, Tensor};
use zimage_checkpoint::{Number, Rotation};

use super::launch::{self, Argument, Stream};
use super::shared::Shared;
use super::{Kernel, compile};
use crate::driver::Gpu;
use crate::error::Error;
use crate::memory::Memory;

/// The source.
const FILE: &str = "int8.cu";
/// Threads of a block, which has a row.
const THREADS: i64 = 256;
static SHARED: Shared<Int8Maker> = Shared::new();

/// The kernel of a GPU that makes 8-bit integers; a copy is another handle to it.
#[derive(Clone, Copy, Debug)]
pub struct Int8Maker {
    kernel: Kernel,
    stream: Stream,
}

/// Rows of plain numbers that become integers.
#[derive(Clone, Copy, Debug)]
pub struct PlainRows {
    /// Their type.
    pub number: Number,
    /// How many.
    pub rows: usize,
    /// Numbers of a row.
    pub width: usize,
    /// The rotation of a row's groups.
    pub rotation: Option<Rotation>,
}

impl Int8Maker {
    /// Compiles the kernel for `gpu` and loads it into its context.
    ///
    /// # Errors
    /// When NVRTC is missing or fails.
    pub fn compile(gpu: &Gpu) -> Result<Self, Error> {
        compile::load_nvrtc()?;
        let [kernel] = compile::load(gpu, FILE, ["make_int8"])?;
        Ok(Self { kernel, stream: Stream::of(gpu.ordinal)? })
    }

    /// The kernel of the GPU `ordinal`, which all threads share; none if the GPU cannot have it.
    pub fn shared(ordinal: usize) -> Option<Self> {
        SHARED.get(ordinal, Self::compile)
    }

    /// Why the GPU `ordinal` has no kernel, if it was needed and could not be had.
    pub fn failure(ordinal: usize) -> Option<String> {
        SHARED.failure(ordinal)
    }

    /// Starts to compile the kernel on a thread, if there is such a GPU; without a context.
    pub fn start_compiling(ordinal: usize) {
        if let Ok(gpu) = Gpu::find(ordinal) {
            // If the thread cannot be started, `compile` compiles.
            let _ = thread::Builder::new()
                .name("int8".into())
                .spawn(move || compile::compile_ahead(&gpu, FILE));
        }
    }

    /// Makes integers `[rows, width]` in Int8 and scales `[rows]` in Float of `from` on libtorch's
    /// stream.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn make(
        &self,
        rows: PlainRows,
        from: &Tensor,
        values: &Tensor,
        scales: &Tensor,
    ) -> Result<(), Error> {
        let numbers = rows.rows * rows.width;
        let kind = match rows.number {
            Number::Bf16 => Kind::BFloat16,
            Number::F16 => Kind::Half,
            _ => Kind::Float,
        };
        let fits = |tensor: &Tensor, kind: Kind, numbers: usize| {
            tensor.device().is_cuda()
                && tensor.device() == from.device()
                && tensor.f_kind().is_ok_and(|found| found == kind)
                && tensor.is_contiguous()
                && tensor.numel() == numbers
        };
        if !fits(from, kind, numbers)
            || !fits(values, Kind::Int8, numbers)
            || !fits(scales, Kind::Float, rows.rows)
        {
            return Err(Error::InvalidArguments("a tensor does not fit rows of integers"));
        }
        let [from, values, scales] = [from, values, scales].map(|t| t.data_ptr() as u64);
        // SAFETY: all three have the numbers that the kernel reads and writes, as was checked.
        unsafe { self.launch(self.stream.now()?, rows, from, (values, scales)) }
    }

    /// The same on `stream`, from the begin of a GPU's memory to two places in another.
    ///
    /// # Safety
    /// The memory lives until the stream has passed the launch.
    pub(crate) unsafe fn make_on(
        &self,
        stream: CUstream,
        rows: PlainRows,
        from: &Memory,
        (to, values, scales): (&Memory, usize, usize),
    ) -> Result<(), Error> {
        let numbers = rows.rows * rows.width;
        let holds = |memory: &Memory, offset: usize, bytes: usize| {
            memory.bytes().checked_sub(offset).is_some_and(|room| bytes <= room)
        };
        if !holds(from, 0, numbers * rows.number.bytes() as usize)
            || !holds(to, values, numbers)
            || !holds(to, scales, rows.rows * 4)
        {
            return Err(Error::InvalidArguments("rows of integers exceed their memory"));
        }
        let address = |offset: usize| to.address() + offset as u64;
        let addresses = (address(values), address(scales));
        // SAFETY: the ranges are within their memory, which lives long enough as the caller ensures.
        unsafe { self.launch(stream, rows, from.address(), addresses) }
    }

    /// # Safety
    /// `from` has the rows, and the other addresses room for their integers and scales, until the
    /// stream has passed the launch.
    unsafe fn launch(
        &self,
        stream: CUstream,
        PlainRows { number, rows, width, rotation }: PlainRows,
        from: u64,
        (values, scales): (u64, u64),
    ) -> Result<(), Error> {
        let number = match number {
            Number::Bf16 => 0,
            Number::F16 => 1,
            Number::F32 => 2,
            _ => return Err(Error::InvalidArguments("integers are made of plain numbers alone")),
        };
        let size = rotation.map_or(1, Rotation::size);
        // The kernel has four numbers a thread in the order of a group.
        if size > 4 * THREADS as usize || !width.is_multiple_of(size) {
            return Err(Error::InvalidArguments("a rotation does not divide its rows"));
        }
        let arguments = [
            Argument::address(from),
            (width as i64).into(),
            number.into(),
            (size as i64).into(),
            (1.0 / (size as f64).sqrt()).into(),
            Argument::address(values),
            Argument::address(scales),
        ];
        // SAFETY: the arguments have the types of the kernel; the caller ensures their memory.
        unsafe { launch::launch_on(stream, self.kernel, (rows as i64, 1), THREADS, &arguments) }
    }
}
