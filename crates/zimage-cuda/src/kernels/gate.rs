//! `gate.cu`: the gated linear unit, and conversion of rows to float8.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::launch::expect;
use super::{Float8Rows, Kernel, Kernels, compile};
use crate::driver::Gpu;
use crate::error::Error;

/// The most numbers of a row for one thread of the float8 kernels.
const EACH_MAX: i64 = 32;

#[derive(Debug)]
pub(super) struct Functions {
    gate: Kernel,
    gate_float8: Kernel,
    float8: Kernel,
}

impl Functions {
    pub(super) fn load(gpu: &Gpu) -> Result<Self, Error> {
        let names = ["silu_gate", "silu_gate_float8", "float8_rows"];
        let [gate, gate_float8, float8] = compile::load(gpu, "gate.cu", names)?;
        Ok(Self { gate, gate_float8, float8 })
    }
}

impl Kernels {
    /// Whether rows of `width` numbers can be gated, and converted to float8.
    pub fn gates_rows_of(width: i64) -> bool {
        width > 0 && width % 8 == 0 && width <= 1024 * EACH_MAX
    }

    /// `silu(gate) · value`, `[rows, width]`, of rows `[rows, 2 · width]`: gates, then values.
    ///
    /// # Errors
    /// When the tensor does not fit, or the driver fails.
    pub fn silu_gate(&self, gates_values: &Tensor) -> Result<Tensor, Error> {
        let (rows, both) = rows_of(gates_values)?;
        let width = both / 2;
        let out = Tensor::f_empty([rows, width], (Kind::BFloat16, gates_values.device()))?;
        let threads = 256;
        let grid = (rows, (width / 8 + threads - 1) / threads);
        let arguments = [gates_values.into(), width.into(), (&out).into()];
        // SAFETY: the types are those of `silu_gate`; the shape was checked.
        unsafe { self.0.stream.launch(self.0.gate.gate, grid, threads, &arguments) }?;
        Ok(out)
    }

    /// The same as float8.
    ///
    /// # Errors
    /// As `silu_gate`.
    pub fn silu_gate_float8(&self, gates_values: &Tensor) -> Result<Float8Rows, Error> {
        let (_, both) = rows_of(gates_values)?;
        self.to_float8(self.0.gate.gate_float8, gates_values, both / 2)
    }

    /// Rows as float8.
    ///
    /// # Errors
    /// As `silu_gate`.
    pub fn float8_rows(&self, x: &Tensor) -> Result<Float8Rows, Error> {
        let (_, width) = rows_of(x)?;
        self.to_float8(self.0.gate.float8, x, width)
    }

    fn to_float8(&self, kernel: Kernel, rows: &Tensor, width: i64) -> Result<Float8Rows, Error> {
        let (count, _) = rows_of(rows)?;
        if !Self::gates_rows_of(width) {
            return Err(Error::InvalidArguments("rows are too wide for float8"));
        }
        let out = Float8Rows::empty(count, width, rows.device())?;
        // Whole warps, each thread with as few pieces of eight as possible.
        let pieces = (width / 8 + 1023) / 1024;
        let threads = (width / 8 + pieces * 32 - 1) / (pieces * 32) * 32;
        let arguments = [rows.into(), width.into(), (&out.values).into(), (&out.scales).into()];
        // SAFETY: the types are those of both kernels; the shape was checked.
        unsafe { self.0.stream.launch(kernel, (count, 1), threads, &arguments) }?;
        Ok(out)
    }
}

fn rows_of(x: &Tensor) -> Result<(i64, i64), Error> {
    let &[rows, width] = &x.size()[..] else {
        return Err(Error::InvalidArguments("rows are [rows, width]"));
    };
    expect(x, Kind::BFloat16, &[rows, width])?;
    if width % 16 == 0 && width <= 2 * 1024 * EACH_MAX {
        Ok((rows, width))
    } else {
        Err(Error::InvalidArguments("rows are too wide or not a multiple of 16"))
    }
}
