//! `norm.cu`: root-mean-square norms of rows, with the residual sum before them.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::launch::{Argument, expect};
use super::{Float8Rows, Kernel, Kernels, compile};
use crate::driver::Gpu;
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Functions {
    norm: Kernel,
    residual: Kernel,
}

/// The factors of a row's norm, and its epsilon.
#[derive(Clone, Copy, Debug)]
pub struct Scale<'a> {
    /// The learnt weight, `[width]`.
    pub weight: &'a Tensor,
    /// Another factor for each column, `[width]`.
    pub factor: Option<&'a Tensor>,
    /// Added to the mean square.
    pub eps: f64,
}

/// A norm's result.
#[derive(Debug)]
pub enum Rows {
    /// bfloat16, `[rows, width]`.
    Dense(Tensor),
    /// float8.
    Float8(Float8Rows),
}

impl Functions {
    pub(super) fn load(gpu: &Gpu) -> Result<Self, Error> {
        let names = ["rms_norm", "residual_norm"];
        let [norm, residual] = compile::load(gpu, "norm.cu", names)?;
        Ok(Self { norm, residual })
    }
}

impl Kernels {
    /// Whether rows of `width` numbers can be normed: whole warps of eight numbers a thread.
    pub fn takes_rows_of(width: i64) -> bool {
        width > 0 && width % 256 == 0 && width <= 8192
    }

    /// `rms(x) · scale` of rows `x` `[rows, width]`, as float8 if `float8`.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn norm(&self, x: &Tensor, scale: Scale<'_>, float8: bool) -> Result<Rows, Error> {
        let (rows, width) = rows_of(x)?;
        let [weight, factor, eps] = scale_of(Some(scale), width)?;
        let out = Out::new(x, float8)?;
        let [dense, values, scales] = out.arguments();
        let arguments = [x.into(), weight, factor, eps, width.into(), dense, values, scales];
        // SAFETY: the types are those of `rms_norm`; the shapes were checked.
        unsafe { self.0.stream.launch(self.0.norm.norm, (rows, 1), width / 8, &arguments) }?;
        Ok(out.0)
    }

    /// `x + rms(y) · y_scale`, or `x + y` without a scale, and with `next` its norm.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn residual_norm(
        &self,
        x: &Tensor,
        y: &Tensor,
        y_scale: Option<Scale<'_>>,
        next: Option<(Scale<'_>, bool)>,
    ) -> Result<(Tensor, Option<Rows>), Error> {
        let (rows, width) = rows_of(x)?;
        expect(y, Kind::BFloat16, &[rows, width])?;
        let [y_weight, y_factor, y_eps] = scale_of(y_scale, width)?;
        let [weight, factor, eps] = scale_of(next.map(|(scale, _)| scale), width)?;
        let sum = x.f_empty_like()?;
        let out = next.map(|(_, float8)| Out::new(x, float8)).transpose()?;
        let [dense, values, scales] =
            out.as_ref().map_or([None::<&Tensor>.into(); 3], Out::arguments);
        let arguments = [
            x.into(),
            y.into(),
            y_weight,
            y_factor,
            y_eps,
            (&sum).into(),
            weight,
            factor,
            eps,
            width.into(),
            dense,
            values,
            scales,
        ];
        // SAFETY: the types are those of `residual_norm`; the shapes were checked.
        unsafe { self.0.stream.launch(self.0.norm.residual, (rows, 1), width / 8, &arguments) }?;
        Ok((sum, out.map(|out| out.0)))
    }
}

/// The kernels' arguments for a scale: weight, factor, epsilon.
fn scale_of(scale: Option<Scale<'_>>, width: i64) -> Result<[Argument; 3], Error> {
    let Some(Scale { weight, factor, eps }) = scale else {
        return Ok([None::<&Tensor>.into(), None::<&Tensor>.into(), 0.0.into()]);
    };
    for tensor in [Some(weight), factor].into_iter().flatten() {
        expect(tensor, Kind::BFloat16, &[width])?;
    }
    Ok([weight.into(), factor.into(), eps.into()])
}

/// The output of a norm.
struct Out(Rows);

impl Out {
    /// Of the shape of `x`.
    fn new(x: &Tensor, float8: bool) -> Result<Self, Error> {
        if !float8 {
            return Ok(Self(Rows::Dense(x.f_empty_like()?)));
        }
        let (rows, width) = rows_of(x)?;
        Ok(Self(Rows::Float8(Float8Rows::empty(rows, width, x.device())?)))
    }

    /// The kernels' last three arguments: the outputs in bfloat16, in float8, and the scales of float8.
    fn arguments(&self) -> [Argument; 3] {
        match &self.0 {
            Rows::Dense(out) => [out.into(), None::<&Tensor>.into(), None::<&Tensor>.into()],
            Rows::Float8(out) => {
                [None::<&Tensor>.into(), (&out.values).into(), (&out.scales).into()]
            }
        }
    }
}

impl Float8Rows {
    /// Uninitialised rows.
    pub(super) fn empty(rows: i64, width: i64, device: tch::Device) -> Result<Self, Error> {
        Ok(Self {
            values: Tensor::f_empty([rows, width], (Kind::Float8e4m3fn, device))?,
            scales: Tensor::f_empty([rows, 1], (Kind::Float, device))?,
        })
    }
}

/// Rows and width of `x`, if the norm's kernel supports them.
fn rows_of(x: &Tensor) -> Result<(i64, i64), Error> {
    let &[rows, width] = &x.size()[..] else {
        return Err(Error::InvalidArguments("rows are [rows, width]"));
    };
    expect(x, Kind::BFloat16, &[rows, width])?;
    if Kernels::takes_rows_of(width) {
        Ok((rows, width))
    } else {
        Err(Error::InvalidArguments("rows are too wide or not a multiple of 256"))
    }
}
