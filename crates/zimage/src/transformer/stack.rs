//! A stack of transformer blocks: attention and gated feed-forward between sandwich norms.
//!
//! Source: diffusers `ZImageTransformerBlock`, `ZSingleStreamAttnProcessor`, `FeedForward`. The
//! residual sum that ends a block is computed together with the norm that begins the next.

use tch::{Device, Kind, Tensor};
use zimage_cuda::Rows;

use crate::checkpoint::TransformerConfig;
use crate::error::Result;
use crate::nn::{
    FeedForward, FileLinear, Linear, Precision, ProjectionNames, SelfAttention, Visitor,
};
use crate::ops::{Heads, Ops, RmsNorm, Rotation, Scale};
use crate::weights::Weights;
use crate::weights::streaming::Pass;

/// The norms of queries and keys have an epsilon of their own in the reference.
const QK_NORM_EPS: f64 = 1e-5;
/// The reference's names of attention's projections and norms.
const NAMES: ProjectionNames = ProjectionNames {
    q: "to_q",
    k: "to_k",
    v: "to_v",
    out: "to_out.0",
    q_norm: "norm_q",
    k_norm: "norm_k",
};

/// Blocks, one after the other.
#[derive(Debug)]
pub(super) struct Stack(Vec<Block>);

/// A block; `modulation` is absent in the context refiner.
#[derive(Debug)]
struct Block {
    attention_norm1: RmsNorm,
    attention_norm2: RmsNorm,
    ffn_norm1: RmsNorm,
    ffn_norm2: RmsNorm,
    attention: SelfAttention,
    feed_forward: FeedForward,
    modulation: Option<ModulationLayer>,
}

/// The layer that computes a block's modulation: once for each time, so where blocks are streamed it
/// stays in its file.
#[derive(Debug)]
enum ModulationLayer {
    Resident(Linear),
    File(FileLinear),
}

/// The modulation of a block by the time: each `[dim]`, a row of one tensor.
#[derive(Debug)]
pub(super) struct Modulation {
    attention_scale: Tensor,
    attention_gate: Tensor,
    ffn_scale: Tensor,
    pub(super) ffn_gate: Tensor,
}

/// A sequence on its way through a stack.
#[derive(Debug)]
pub(super) struct StackPass<'a> {
    blocks: &'a [Block],
    ops: &'a Ops,
    rotation: &'a Rotation,
    modulations: &'a [Modulation],
    /// After the blocks before `at`.
    pub(super) x: Tensor,
    /// The input of the next block, unless it is the first.
    normed: Option<Rows>,
    at: usize,
}

impl StackPass<'_> {
    /// Computes the next block; before its end, `add` is given the block's number and its sum, to which
    /// it may add in place. False if there is none.
    pub(super) fn advance(
        &mut self,
        add: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<bool> {
        let Self { blocks, ops, rotation, modulations, at, .. } = *self;
        let Some(block) = blocks.get(at) else { return Ok(false) };
        let modulation = modulations.get(at);
        let normed = match self.normed.take() {
            Some(normed) => normed,
            None => ops.norm(&self.x, block.begin(modulation), block.takes_float8())?,
        };
        let attended = block.attention.forward(ops, &normed, rotation)?;
        drop(normed);
        let (sum, rows) = ops.residual_norm(
            &self.x,
            &attended,
            Some(scale(&block.attention_norm2, modulation.map(|m| &m.attention_gate))),
            scale(&block.ffn_norm1, modulation.map(|m| &m.ffn_scale)),
            block.takes_float8(),
        )?;
        let fed = block.feed_forward.forward(ops, &rows)?;
        drop(rows);
        add(at, &sum)?;
        let gate = Some(scale(&block.ffn_norm2, modulation.map(|m| &m.ffn_gate)));
        match blocks.get(at + 1) {
            Some(next) => {
                let begin = next.begin(modulations.get(at + 1));
                let (x, normed) =
                    ops.residual_norm(&sum, &fed, gate, begin, next.takes_float8())?;
                (self.x, self.normed) = (x, Some(normed));
            }
            None => self.x = ops.residual(&sum, &fed, gate)?,
        }
        self.at += 1;
        Ok(true)
    }
}

impl Stack {
    /// Takes `{group}.0.*` to `{group}.{count - 1}.*`; with a time width, blocks are modulated.
    pub(super) fn load(
        w: &mut Weights<'_>,
        (group, count): (&str, i64),
        config: &TransformerConfig,
        time_width: Option<i64>,
        precision: Precision,
    ) -> Result<Self> {
        let block = |i| Block::load(w, &format!("{group}.{i}"), config, time_width, precision);
        Ok(Self((0..count).map(block).collect::<Result<_>>()?))
    }

    /// The same for sequences that are prompts alone.
    pub(super) fn of_prompts(mut self) -> Self {
        for block in &mut self.0 {
            block.attention.short = true;
        }
        self
    }

    /// The modulations of each block at times `[times, time width]`: `[times, 4, dim]` for
    /// [`Modulation::of`]; empty for blocks without modulation.
    pub(super) fn modulations(&self, time: &Tensor) -> Result<Vec<Tensor>> {
        self.0
            .iter()
            .filter_map(|b| b.modulation.as_ref())
            .map(|l| Modulation::at(l, time))
            .collect()
    }

    /// Reads the layers that stay in their file, to compute several modulations; or lets them go.
    ///
    /// # Errors
    /// When the file cannot be read, or the device's memory is too small.
    pub(super) fn hold_modulation_layers(&self, held: bool) -> Result<()> {
        self.0.iter().filter_map(|block| block.modulation.as_ref()).try_for_each(
            |layer| match layer {
                ModulationLayer::Resident(_) => Ok(()),
                ModulationLayer::File(linear) => linear.hold(held),
            },
        )
    }

    /// `x` is `[tokens, dim]`, and so is the result; `modulations` are those of the step, or empty. Runs
    /// at most the first `most` blocks.
    pub(super) fn forward(
        &self,
        ops: &Ops,
        x: Tensor,
        rotation: &Rotation,
        modulations: &[Modulation],
        most: usize,
    ) -> Result<Tensor> {
        self.forward_with(ops, x, rotation, modulations, most, &mut |_, _| Ok(()))
    }

    /// The same; before the end of each block, `add` may add to its sum in place.
    pub(super) fn forward_with(
        &self,
        ops: &Ops,
        x: Tensor,
        rotation: &Rotation,
        modulations: &[Modulation],
        most: usize,
        add: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let mut pass = self.begin(ops, x, rotation, modulations, most);
        while pass.advance(add)? {}
        Ok(pass.x)
    }

    /// A pass of `x` that is computed block by block.
    pub(super) fn begin<'a>(
        &'a self,
        ops: &'a Ops,
        x: Tensor,
        rotation: &'a Rotation,
        modulations: &'a [Modulation],
        most: usize,
    ) -> StackPass<'a> {
        let blocks = &self.0[..self.0.len().min(most)];
        StackPass { blocks, ops, rotation, modulations, x, normed: None, at: 0 }
    }

    /// Visits the linear maps of the sequence's tokens.
    pub(super) fn visit<'a>(&'a self, visitor: Visitor<'a, '_>) {
        for Block { attention, feed_forward, .. } in &self.0 {
            attention.visit(visitor);
            feed_forward.visit(visitor);
        }
    }

    /// Visits the linear maps of the time.
    pub(super) fn visit_modulation<'a>(&'a self, visitor: Visitor<'a, '_>) {
        for layer in self.0.iter().filter_map(|block| block.modulation.as_ref()) {
            match layer {
                ModulationLayer::Resident(linear) => visitor(linear, 1.0),
                ModulationLayer::File(linear) => visitor(linear, 1.0),
            }
        }
    }

    /// Attends once over so many tokens, see [`SelfAttention::plan`].
    pub(super) fn plan_attention(&self, tokens: i64, kind: Kind, device: Device) -> Result<()> {
        self.0.first().map_or(Ok(()), |block| block.attention.plan(tokens, kind, device))
    }

    /// Converts the matrices of attention and feed-forward to float8, once they are loaded.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(super) fn make_float8(&mut self) -> Result<()> {
        for Block { attention, feed_forward, .. } in &mut self.0 {
            for linear in [&mut attention.qkv, &mut attention.out] {
                linear.make_float8()?;
            }
            for linear in [&mut feed_forward.gate_value, &mut feed_forward.down] {
                linear.make_float8()?;
            }
        }
        Ok(())
    }
}

fn scale<'a>(norm: &'a RmsNorm, factor: Option<&'a Tensor>) -> Scale<'a> {
    Scale { norm, factor }
}

impl Block {
    fn load(
        w: &mut Weights<'_>,
        name: &str,
        config: &TransformerConfig,
        time_width: Option<i64>,
        precision: Precision,
    ) -> Result<Self> {
        let (dim, heads) = (config.dim, config.n_heads);
        let norm = |w: &mut Weights<'_>, part: &str| {
            RmsNorm::load(w, &format!("{name}.{part}"), dim, config.norm_eps)
        };
        let heads = Heads { queries: heads, keys: heads, width: dim / heads };
        let inner = config.feed_forward_width();
        let Precision { guard, .. } = precision;
        // Blocks without modulation are the prompt's.
        let pass = if time_width.is_some() { Pass::Denoise } else { Pass::Encode };
        let block = (name, pass);
        let (names, sizes) = (("attention", &NAMES), (dim, heads));
        let mut attention = SelfAttention::load(w, block, names, sizes, QK_NORM_EPS)?;
        attention.guard = guard;
        let names = ("feed_forward", ["w1", "w3", "w2"]);
        let feed_forward = FeedForward::load(w, block, names, (dim, inner), guard)?;
        Ok(Self {
            attention_norm1: norm(w, "attention_norm1")?,
            attention_norm2: norm(w, "attention_norm2")?.for_scaled_input(guard),
            ffn_norm1: norm(w, "ffn_norm1")?,
            ffn_norm2: norm(w, "ffn_norm2")?.for_scaled_input(guard),
            attention,
            feed_forward,
            modulation: time_width
                .map(|time_width| {
                    let name = format!("{name}.adaLN_modulation.0");
                    ModulationLayer::load(w, &name, time_width, 4 * dim)
                })
                .transpose()?,
        })
    }

    /// The norm that begins the block.
    fn begin<'a>(&'a self, modulation: Option<&'a Modulation>) -> Scale<'a> {
        scale(&self.attention_norm1, modulation.map(|m| &m.attention_scale))
    }

    fn takes_float8(&self) -> bool {
        self.attention.qkv.takes_float8()
    }
}

impl ModulationLayer {
    fn load(w: &mut Weights<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(if w.is_streaming() {
            Self::File(FileLinear::load(w, name, inputs, outputs)?)
        } else {
            Self::Resident(Linear::load_with_bias(w, name, inputs, outputs)?)
        })
    }

    fn forward(&self, time: &Tensor) -> Result<Tensor> {
        match self {
            Self::Resident(linear) => linear.forward(time),
            Self::File(linear) => linear.forward(time),
        }
    }
}

impl Modulation {
    /// `[times, 4, dim]`: scale and gate of attention, scale and gate of the feed-forward.
    fn at(layer: &ModulationLayer, time: &Tensor) -> Result<Tensor> {
        let all = layer.forward(time)?.f_unflatten(1, [4, -1])?;
        let scale = |i| -> Result<Tensor> { Ok(all.f_select(1, i)?.f_add_scalar(1.0)?) };
        let gate = |i| -> Result<Tensor> { Ok(all.f_select(1, i)?.f_tanh()?) };
        Ok(Tensor::f_stack(&[scale(0)?, gate(1)?, scale(2)?, gate(3)?], 1)?)
    }

    /// Another handle to the same tensors.
    pub(super) fn shallow_clone(&self) -> Self {
        Self {
            attention_scale: self.attention_scale.shallow_clone(),
            attention_gate: self.attention_gate.shallow_clone(),
            ffn_scale: self.ffn_scale.shallow_clone(),
            ffn_gate: self.ffn_gate.shallow_clone(),
        }
    }

    /// Views of a block's `[4, dim]`.
    pub(super) fn of(block: &Tensor) -> Result<Self> {
        Ok(Self {
            attention_scale: block.f_select(0, 0)?,
            attention_gate: block.f_select(0, 1)?,
            ffn_scale: block.f_select(0, 2)?,
            ffn_gate: block.f_select(0, 3)?,
        })
    }
}
