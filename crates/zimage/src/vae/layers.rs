//! Layers of the encoder and the decoder.
//!
//! Source: diffusers `ResnetBlock2D`, `UNetMidBlock2D`, `AttnProcessor2_0`.

use tch::{Device, Kind, Tensor};
use zimage_cuda as cuda;

use super::cut::Cut;
use crate::checkpoint::VaeConfig;
use crate::error::{Error, Result};
use crate::nn::Linear;
use crate::ops::{
    Map, MapShape, Ops, empty_image, from_rows, image_rows, pad_rows, standing_alone, to_nhwc,
    to_rows,
};
use crate::weights::Weights;

/// The epsilon of every norm in the autoencoder.
const EPS: f64 = 1e-6;

/// A two-dimensional convolution.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    /// `[outputs]`; in float32 if it is left pending.
    bias: Tensor,
    stride: i64,
    padding: i64,
    /// Whether input and output are NHWC, and the bias is left pending.
    fused: bool,
}

impl Conv {
    /// Takes `{name}.weight` `[outputs, inputs, size, size]` and `{name}.bias`; keeps the size.
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        inputs: i64,
        outputs: i64,
        size: i64,
    ) -> Result<Self> {
        Ok(Self {
            weight: w.take(&format!("{name}.weight"), &[outputs, inputs, size, size])?,
            bias: w.take(&format!("{name}.bias"), &[outputs])?,
            stride: 1,
            padding: size / 2,
            fused: false,
        })
    }

    /// The same with stride 2 and no padding.
    pub(super) fn halving(mut self) -> Self {
        (self.stride, self.padding) = (2, 0);
        self
    }

    /// Changes the weight's layout to NHWC.
    pub(super) fn fuse(&mut self) -> Result<()> {
        self.weight = to_nhwc(&self.weight)?;
        self.bias = self.bias.f_to_kind(Kind::Float)?;
        self.fused = true;
        Ok(())
    }

    /// Adds outputs that are 0, up to `outputs`; cuDNN's fast kernels need eight.
    pub(super) fn pad_outputs(&mut self, outputs: i64) -> Result<()> {
        let missing = outputs - self.weight.size()[0];
        self.weight = self.weight.f_constant_pad_nd([0, 0, 0, 0, 0, 0, 0, missing])?;
        Ok(())
    }

    /// The device and the kind of the weight.
    pub(super) fn placed(&self) -> Result<(Device, Kind)> {
        Ok((self.weight.device(), self.weight.f_kind()?))
    }

    /// `x` is `[1, inputs, h, w]`, in NHWC if fused.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Map> {
        let (_, channels, h, w) = x.size4()?;
        let height = Cut::convolved_rows(MapShape { channels, h, w });
        if height.is_some() && (self.stride, self.padding) == (1, 1) {
            return self.forward_rows(x, Ends { above: 1, below: 1 }, height);
        }
        self.convolve(x, [self.padding; 2])
    }

    /// The same, over three rows, for rows of a map and those beside them: `height` rows at a time, of
    /// which zeros make up what is missing, or all at once.
    ///
    /// cuDNN chooses its kernel by the shape, and kernels round differently. With one shape for all rows
    /// of a map their bits are the same, whichever rows are asked for together.
    pub(super) fn forward_rows(&self, x: &Tensor, ends: Ends, height: Option<i64>) -> Result<Map> {
        let (_, _, h, w) = x.size4()?;
        let rows = h + ends.above + ends.below - 2;
        let height = height.unwrap_or(rows).max(1);
        let writes = self.fused && x.device().is_cuda();
        let empty = |rows| -> Result<Tensor> {
            let shape = [1, rows, w, self.outputs()];
            Ok(Tensor::f_empty(shape, (x.f_kind()?, x.device()))?.f_permute([0, 3, 1, 2])?)
        };
        let mut all = if writes && rows > height { Some(empty(rows)?) } else { None };
        for start in (0..rows).step_by(height as usize) {
            let end = (start + height).min(rows);
            let inside = (start - ends.above).max(0)..(end + 2 - ends.above).min(h);
            let above = (ends.above - start).max(0);
            let below = height + 2 - above - (inside.end - inside.start);
            let part = pad_rows(&image_rows(x, &inside)?, above, below)?;
            let convolved = match &all {
                Some(all) if writes && end - start == height => {
                    self.convolve_into(&part, &image_rows(all, &(start..end))?)?;
                    continue;
                }
                _ if writes => {
                    let rows = empty(height)?;
                    self.convolve_into(&part, &rows)?;
                    rows
                }
                _ => self.convolve(&part, [0, self.padding])?.values().shallow_clone(),
            };
            let part = image_rows(&convolved, &(0..end - start))?;
            if rows <= height {
                return Ok(Map::new(part, self.pending_bias().map(Tensor::shallow_clone)));
            }
            let all = match &mut all {
                Some(all) => all,
                none => none.insert(empty_image(&part, rows)?),
            };
            image_rows(all, &(start..end))?.f_copy_(&part)?;
        }
        let all = all.ok_or_else(|| Error::Internal("a map has no rows".to_owned()))?;
        Ok(Map::new(all, self.pending_bias().map(Tensor::shallow_clone)))
    }

    /// Convolves rows, without padding above and below, and without the bias, into memory of their size.
    /// Both are NHWC, on a GPU.
    fn convolve_into(&self, x: &Tensor, out: &Tensor) -> Result<()> {
        let (stride, padding) = ([self.stride; 2], [0, self.padding]);
        // As `conv2d` calls it: no trial of algorithms, no deterministic ones alone, TF32 for float32.
        let [trial, deterministic, tf32] = [false, false, true];
        let (x, out) = (standing_alone(x)?, standing_alone(out)?);
        let weight = &self.weight;
        let _ = x.f_cudnn_convolution_out(
            &out,
            weight,
            padding,
            stride,
            [1, 1],
            1,
            trial,
            deterministic,
            tf32,
        )?;
        Ok(())
    }

    fn convolve(&self, x: &Tensor, padding: [i64; 2]) -> Result<Map> {
        let stride = [self.stride; 2];
        let bias = (!self.fused).then_some(&self.bias);
        let is_float32_on_cpu = x.device() == Device::Cpu && x.f_kind()? == Kind::Float;
        let out = if is_float32_on_cpu && tch::utils::has_mkldnn() {
            // `conv2d` leaves small inputs to another algorithm, with other bits: rows of a map would
            // not be convolved as the whole map is.
            x.f_mkldnn_convolution(&self.weight, bias, padding, stride, [1, 1], 1)?
        } else {
            x.f_conv2d(&self.weight, bias, stride, padding, [1, 1], 1)?
        };
        Ok(Map::new(out, self.pending_bias().map(Tensor::shallow_clone)))
    }

    /// The bias that outputs are left without.
    pub(super) fn pending_bias(&self) -> Option<&Tensor> {
        self.fused.then_some(&self.bias)
    }

    /// How many channels its outputs have.
    pub(super) fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// The same for a map, with a convolution over one position.
    pub(super) fn project(&self, x: &Map) -> Result<Map> {
        if !self.fused {
            return self.forward(&x.complete()?);
        }
        let (outputs, inputs, _, _) = self.weight.size4()?;
        let (_, _, h, w) = x.values().size4()?;
        let weight = self.weight.f_view([outputs, inputs])?;
        let out = to_rows(x.values())?.f_linear(&weight, None::<&Tensor>)?;
        // The input's pending bias goes through the weight separately.
        let bias = match x.bias() {
            Some(bias) => self.bias.f_addmv(&weight.f_to_kind(Kind::Float)?, bias)?,
            None => self.bias.shallow_clone(),
        };
        Ok(Map::new(from_rows(&out, (h, w))?, Some(bias)))
    }
}

/// How many rows of zeros lie beside the given rows of a map, where the map ends: 0 or 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) above: i64,
    pub(super) below: i64,
}

/// Norm over groups of channels.
#[derive(Debug)]
pub(super) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        channels: i64,
        config: &VaeConfig,
    ) -> Result<Self> {
        Ok(Self {
            weight: w.take(&format!("{name}.weight"), &[channels])?,
            bias: w.take(&format!("{name}.bias"), &[channels])?,
            groups: config.norm_num_groups,
        })
    }

    /// Converts weight and bias to the kernels' kind.
    pub(super) fn fuse(&mut self) -> Result<()> {
        self.weight = self.weight.f_to_kind(Kind::Float)?;
        self.bias = self.bias.f_to_kind(Kind::Float)?;
        Ok(())
    }

    pub(super) fn forward(&self, ops: &Ops, x: &Map) -> Result<Tensor> {
        ops.group_norm(x, self.learnt(), false)
    }

    /// The norm of a map with these moments and this pending bias.
    pub(super) fn coefficients(
        &self,
        ops: &Ops,
        moments: &cuda::Moments,
        bias: Option<&Tensor>,
    ) -> Result<cuda::NormCoefficients> {
        ops.norm_coefficients(moments, bias, self.learnt())
    }

    pub(super) fn forward_silu(&self, ops: &Ops, x: &Map) -> Result<Tensor> {
        ops.group_norm(x, self.learnt(), true)
    }

    fn learnt(&self) -> cuda::GroupNorm<'_> {
        let Self { weight, bias, groups } = self;
        cuda::GroupNorm { weight, offset: bias, groups: *groups, eps: EPS }
    }
}

/// Two convolutions beside a shortcut.
#[derive(Debug)]
pub(super) struct Resnet {
    pub(super) norm1: GroupNorm,
    pub(super) conv1: Conv,
    pub(super) norm2: GroupNorm,
    pub(super) conv2: Conv,
    pub(super) shortcut: Option<Conv>,
}

impl Resnet {
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        inputs: i64,
        outputs: i64,
        config: &VaeConfig,
    ) -> Result<Self> {
        let shortcut = (inputs != outputs)
            .then(|| Conv::load(w, &format!("{name}.conv_shortcut"), inputs, outputs, 1))
            .transpose()?;
        Ok(Self {
            norm1: GroupNorm::load(w, &format!("{name}.norm1"), inputs, config)?,
            conv1: Conv::load(w, &format!("{name}.conv1"), inputs, outputs, 3)?,
            norm2: GroupNorm::load(w, &format!("{name}.norm2"), outputs, config)?,
            conv2: Conv::load(w, &format!("{name}.conv2"), outputs, outputs, 3)?,
            shortcut,
        })
    }

    pub(super) fn fuse(&mut self) -> Result<()> {
        self.norm1.fuse()?;
        self.conv1.fuse()?;
        self.norm2.fuse()?;
        self.conv2.fuse()?;
        self.shortcut.as_mut().map_or(Ok(()), Conv::fuse)
    }

    pub(super) fn forward(&self, ops: &Ops, x: &Map) -> Result<Map> {
        let h = self.conv1.forward(&self.norm1.forward_silu(ops, x)?)?;
        // Each map is freed as soon as it was read: the last ones have a gigabyte at 2048².
        let normed = self.norm2.forward_silu(ops, &h)?;
        drop(h);
        let h = self.conv2.forward(&normed)?;
        drop(normed);
        match &self.shortcut {
            Some(shortcut) => ops.add(&shortcut.project(x)?, &h),
            None => ops.add(x, &h),
        }
    }
}

/// The middle: two residual blocks around single-head attention over all positions.
#[derive(Debug)]
pub(super) struct Middle {
    first: Resnet,
    attention: Option<Attention>,
    second: Resnet,
}

impl Middle {
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        channels: i64,
        config: &VaeConfig,
    ) -> Result<Self> {
        let resnet = |w: &mut Weights<'_>, i| {
            Resnet::load(w, &format!("{name}.resnets.{i}"), channels, channels, config)
        };
        Ok(Self {
            first: resnet(w, 0)?,
            attention: config
                .mid_block_add_attention
                .then(|| Attention::load(w, &format!("{name}.attentions.0"), channels, config))
                .transpose()?,
            second: resnet(w, 1)?,
        })
    }

    pub(super) fn fuse(&mut self) -> Result<()> {
        self.first.fuse()?;
        self.attention.as_mut().map_or(Ok(()), |attention| attention.norm.fuse())?;
        self.second.fuse()
    }

    pub(super) fn forward(&self, ops: &Ops, x: &Map) -> Result<Map> {
        let mut x = self.first.forward(ops, x)?;
        if let Some(attention) = &self.attention {
            x = attention.forward(ops, &x)?;
        }
        self.second.forward(ops, &x)
    }
}

#[derive(Debug)]
struct Attention {
    norm: GroupNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl Attention {
    fn load(w: &mut Weights<'_>, name: &str, channels: i64, config: &VaeConfig) -> Result<Self> {
        let linear = |w: &mut Weights<'_>, part: &str| {
            Linear::load_with_bias(w, &format!("{name}.{part}"), channels, channels)
        };
        Ok(Self {
            norm: GroupNorm::load(w, &format!("{name}.group_norm"), channels, config)?,
            q: linear(w, "to_q")?,
            k: linear(w, "to_k")?,
            v: linear(w, "to_v")?,
            out: linear(w, "to_out.0")?,
        })
    }

    /// `x` is `[1, channels, h, w]`, and so is the result.
    fn forward(&self, ops: &Ops, x: &Map) -> Result<Map> {
        let positions = self.norm.forward(ops, x)?.f_flatten(2, 3)?.f_transpose(1, 2)?;
        let (q, k) = (self.q.forward(&positions)?, self.k.forward(&positions)?);
        let v = self.v.forward(&positions)?;
        drop(positions);
        let out = ops.wide_attention(&q, &k, &v)?;
        let MapShape { h, w, .. } = x.shape()?;
        let mut out = from_rows(&self.out.forward(&out)?.f_squeeze_dim(0)?, (h, w))?;
        if x.values().is_contiguous() {
            // The map stays in NCHW.
            out = out.f_contiguous()?;
        }
        ops.add(&Map::new(out, None), x)
    }
}
