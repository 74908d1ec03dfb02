//! `expand.cu`: expansion of encoded weights, the twin of `zimage_checkpoint::expand`.

#![expect(unsafe_code, reason = "launches kernels")]

use std::thread;

use cudarc::driver::sys::CUstream;
use tch::{Kind, Tensor};
use zimage_checkpoint::{BlockType, Encoding, Number, Piece, ScaleScope, ScaledFormat};

use super::launch::{self, Argument, Stream};
use super::shared::Shared;
use super::{Kernel, compile};
use crate::driver::Gpu;
use crate::error::Error;
use crate::memory::Memory;

/// The source.
const FILE: &str = "expand.cu";
/// Threads of a block, and the numbers of each.
const THREADS: i64 = 256;
const EACH: i64 = 8;
static SHARED: Shared<Expander> = Shared::new();
/// The group size of the kernel that is faster than the general one.
const ROTATED: usize = 256;

/// The kernels of a GPU that expand weights; a copy is another handle to them.
#[derive(Clone, Copy, Debug)]
pub struct Expander {
    blocks: [Kernel; BlockType::ALL.len()],
    bytes: Kernel,
    mxfp8: Kernel,
    nvfp4: Kernel,
    rotated256: Kernel,
    rotated: Kernel,
    stream: Stream,
}

impl Expander {
    /// Compiles the kernels for `gpu` and loads them into its context.
    ///
    /// # Errors
    /// When NVRTC is missing or fails.
    pub fn compile(gpu: &Gpu) -> Result<Self, Error> {
        compile::load_nvrtc()?;
        let names = [
            "expand_q4_0",
            "expand_q4_1",
            "expand_q5_0",
            "expand_q5_1",
            "expand_q8_0",
            "expand_q2_k",
            "expand_q3_k",
            "expand_q4_k",
            "expand_q5_k",
            "expand_q6_k",
            "expand_iq4_nl",
            "expand_iq4_xs",
        ];
        let blocks = compile::load(gpu, FILE, names)?;
        let names =
            ["expand_bytes", "expand_mxfp8", "expand_nvfp4", "expand_rotated256", "expand_rotated"];
        let [bytes, mxfp8, nvfp4, rotated256, rotated] = compile::load(gpu, FILE, names)?;
        let stream = Stream::of(gpu.ordinal)?;
        Ok(Self { blocks, bytes, mxfp8, nvfp4, rotated256, rotated, stream })
    }

    /// The kernels of the GPU `ordinal`, which all threads share: compiled and loaded once, when they are
    /// first needed. There are none if the GPU cannot have them.
    pub fn shared(ordinal: usize) -> Option<Self> {
        SHARED.get(ordinal, Self::compile)
    }

    /// Why the GPU `ordinal` has no kernels, if they were needed and could not be had.
    pub fn failure(ordinal: usize) -> Option<String> {
        SHARED.failure(ordinal)
    }

    /// Starts to compile the kernels on a thread, if there is such a GPU; without a context.
    pub fn start_compiling(ordinal: usize) {
        if let Ok(gpu) = Gpu::find(ordinal) {
            // If the thread cannot be started, `compile` compiles.
            let _ = thread::Builder::new()
                .name("expand".into())
                .spawn(move || compile::compile_ahead(&gpu, FILE));
        }
    }

    /// Expands a piece on libtorch's stream: `from` is its bytes as [`Piece::parts`] places them,
    /// Uint8, and `to` all its numbers as bfloat16, float16 or float32.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn expand(&self, piece: &Piece, from: &Tensor, to: &Tensor) -> Result<(), Error> {
        let fits = from.device().is_cuda()
            && to.device() == from.device()
            && from.f_kind()? == Kind::Uint8
            && from.is_contiguous()
            && to.is_contiguous()
            && from.numel() >= piece.bytes()
            && to.numel() == piece.numbers()
            && (from.data_ptr() as usize).is_multiple_of(16);
        if !fits {
            return Err(Error::InvalidArguments("a tensor does not fit its expansion"));
        }
        let (from, to_type) = (from.data_ptr() as u64, type_of(to.f_kind()?)?);
        // SAFETY: both tensors have the piece's bytes and numbers, as was checked.
        unsafe { self.launch(self.stream.now()?, piece, from, to.data_ptr() as u64, to_type) }
    }

    /// The same on `stream`, from a place in a GPU's memory to another.
    ///
    /// # Safety
    /// The memory lives until the stream has passed the launch.
    pub(crate) unsafe fn expand_on(
        &self,
        stream: CUstream,
        piece: &Piece,
        from: &Memory,
        (to, offset): (&Memory, usize),
        kind: Kind,
    ) -> Result<(), Error> {
        let bytes = piece.numbers() * kind.elt_size_in_bytes();
        if piece.bytes() > from.bytes()
            || to.bytes().checked_sub(offset).is_none_or(|room| bytes > room)
        {
            return Err(Error::InvalidArguments("an expansion exceeds its memory"));
        }
        let to = to.address() + offset as u64;
        // SAFETY: both ranges are within their memory, which lives long enough as the caller ensures.
        unsafe { self.launch(stream, piece, from.address(), to, type_of(kind)?) }
    }

    /// # Safety
    /// `from` has the piece's bytes, and `to` room for its numbers, until the stream has passed the
    /// launch.
    unsafe fn launch(
        &self,
        stream: CUstream,
        piece: &Piece,
        from: u64,
        to: u64,
        to_type: i64,
    ) -> Result<(), Error> {
        let numbers = piece.numbers() as i64;
        let part = |number: usize| {
            let part = piece.parts()[number];
            Argument::address(if part.bytes == 0 { 0 } else { from + part.at as u64 })
        };
        let (width, first) = (piece.width as i64, piece.first as i64);
        let (count, to, to_type) = (Argument::wide(numbers), Argument::address(to), to_type.into());
        let eights = ((numbers + EACH - 1) / EACH + THREADS - 1) / THREADS;
        let by_row = |scope| Argument::from(i64::from(scope == ScaleScope::Row));
        let none = || Argument::address(0);
        let (kernel, grid, threads, arguments) = match piece.encoding {
            Encoding::Blocks(block) => {
                let number = BlockType::ALL.iter().position(|&other| other == block);
                let number = number.ok_or(Error::InvalidArguments("no such block type"))?;
                (self.blocks[number], eights, THREADS, vec![part(0), count, to, to_type])
            }
            Encoding::Plain(number) => {
                let byte = byte_of(number)?.into();
                let width = 1.into();
                let arguments = vec![part(0), none(), count, width, 0.into(), byte, to, to_type];
                (self.bytes, eights, THREADS, arguments)
            }
            Encoding::Scaled(ScaledFormat::Float8(number, scope)) => {
                let (byte, width, rows) = (byte_of(number)?.into(), width.into(), by_row(scope));
                let arguments = vec![part(0), part(1), count, width, rows, byte, to, to_type];
                (self.bytes, eights, THREADS, arguments)
            }
            Encoding::Scaled(ScaledFormat::Int8(scope, None)) => {
                let (byte, width, rows) = (2.into(), width.into(), by_row(scope));
                let arguments = vec![part(0), part(1), count, width, rows, byte, to, to_type];
                (self.bytes, eights, THREADS, arguments)
            }
            Encoding::Scaled(ScaledFormat::Mxfp8) => {
                let arguments =
                    vec![part(0), part(1), count, width.into(), first.into(), to, to_type];
                (self.mxfp8, eights, THREADS, arguments)
            }
            Encoding::Scaled(ScaledFormat::Nvfp4) => {
                let arguments =
                    vec![part(0), part(1), part(2), count, width.into(), first.into(), to, to_type];
                (self.nvfp4, eights, THREADS, arguments)
            }
            Encoding::Scaled(
                ScaledFormat::Int8(_, Some(rotation)) | ScaledFormat::Int4(rotation),
            )
            | Encoding::Scaled(ScaledFormat::Grouped { rotation, .. }) => {
                let (relative, table, scales, bits, group, wide, rows) = match piece.encoding {
                    Encoding::Scaled(ScaledFormat::Grouped { bits, group, scales, .. }) => {
                        let wide = i64::from(scales == Number::F32);
                        (part(1), part(3), part(2), i64::from(bits), i64::from(group), wide, 1)
                    }
                    Encoding::Scaled(ScaledFormat::Int8(scope, _)) => {
                        let rows = i64::from(scope == ScaleScope::Row);
                        (none(), none(), part(1), 8, 1, 0, rows)
                    }
                    _ => (none(), none(), part(1), 4, 1, 0, 1),
                };
                let mut arguments = vec![part(0), relative, table, scales, count, width.into()];
                arguments.extend([bits, group, wide, rows].map(Argument::from));
                arguments.extend([to, to_type]);
                let size = rotation.size() as i64;
                if rotation.size() == ROTATED {
                    let groups = numbers / size;
                    (self.rotated256, (groups + 15) / 16, THREADS, arguments)
                } else {
                    arguments.push((1.0 / (size as f64).sqrt()).into());
                    (self.rotated, numbers / size, size / 4, arguments)
                }
            }
            Encoding::Unsupported(_) => {
                return Err(Error::InvalidArguments("an encoding that is not read"));
            }
        };
        // SAFETY: the arguments have the types of the kernels; the caller ensures their memory.
        unsafe { launch::launch_on(stream, kernel, (grid, 1), threads, &arguments) }
    }
}

/// `TO_…` of the source.
fn type_of(kind: Kind) -> Result<i64, Error> {
    match kind {
        Kind::BFloat16 => Ok(0),
        Kind::Half => Ok(1),
        Kind::Float => Ok(2),
        _ => Err(Error::InvalidArguments("no such expansion")),
    }
}

/// `BYTE_…` of the source.
fn byte_of(number: Number) -> Result<i64, Error> {
    match number {
        Number::F8E4m3 => Ok(0),
        Number::F8E5m2 => Ok(1),
        _ => Err(Error::InvalidArguments("a number of more than one byte is cast, not expanded")),
    }
}
