//! Compares every kernel with libtorch's operations in float32, over shapes of all kinds, and
//! says how long it takes at the model's real size. Needs a GPU; `make gpu-test` runs it.
//!
//! usage: `kernels`; ends with 1 if a kernel is wrong.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use tch::{Cuda, Device, Kind, Tensor};
use zimage_cuda::{Kernels, Pairs, Rows, Scale};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const GPU: Device = Device::Cuda(0);
/// bfloat16 keeps 8 bits: rounding once is off by 2^-8 of a value at most.
const BFLOAT16: f64 = 0.004;
/// float8 keeps 4 bits: 2^-4, and a little for what is rounded before.
const FLOAT8: f64 = 0.063;
const EPS: f64 = 1e-5;

fn main() -> Result<ExitCode> {
    let kernels = Kernels::compile(&zimage_cuda::init(0)?)?;
    let begun = Instant::now();
    drop(Kernels::compile(&zimage_cuda::init(0)?)?);
    println!("compiled in {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    let mut wrong = 0;
    let mut check = |what: String, off: f64, most: f64| {
        let verdict = if off <= most { "ok" } else { "WRONG" };
        wrong += u8::from(off > most);
        println!("{verdict:5} {what}: off by {off:.1e}, at most {most:.1e}");
    };
    for (rows, width) in [(1, 256), (3, 2560), (33, 3840), (7, 8192)] {
        norms(&kernels, rows, width, &mut check)?;
    }
    for (tokens, queries, keys) in [(1, 30, 30), (43, 32, 8), (129, 3, 1)] {
        for pairs in [Pairs::Neighbours, Pairs::Halves] {
            rotation(&kernels, tokens, (queries, keys), pairs, &mut check)?;
        }
    }
    for (rows, width) in [(1, 8), (5, 10240), (3, 9728), (2, 16384), (3, 5128)] {
        gates(&kernels, rows, width, &mut check)?;
    }
    times(&kernels)?;
    Ok(ExitCode::from(wrong.min(1)))
}

type Check<'a> = &'a mut dyn FnMut(String, f64, f64);

fn random(shape: &[i64]) -> Result<Tensor> {
    Ok(Tensor::f_randn(shape, (Kind::Float, GPU))?.f_to_kind(Kind::BFloat16)?)
}

/// The largest difference, relative to the larger of the wanted value and `floor`.
fn off(found: &Tensor, wanted: &Tensor, floor: f64) -> Result<f64> {
    let wanted = wanted.f_to_kind(Kind::Float)?;
    let difference = found.f_to_kind(Kind::Float)?.f_sub(&wanted)?.f_abs()?;
    let relative = difference.f_div(&wanted.f_abs()?.f_clamp_min(floor)?)?;
    Ok(relative.f_max()?.f_double_value(&[])?)
}

fn rms(x: &Tensor) -> Result<Tensor> {
    let x = x.f_to_kind(Kind::Float)?;
    let mean = x.f_square()?.f_mean_dim(&[-1i64][..], true, Kind::Float)?;
    Ok(x.f_mul(&mean.f_add_scalar(EPS)?.f_rsqrt()?)?)
}

/// Checks rows in either kind against what they should be.
fn rows(name: &str, found: &Rows, wanted: &Tensor, check: Check<'_>) -> Result<()> {
    match found {
        Rows::Dense(found) => check(name.to_owned(), off(found, wanted, 1e-3)?, BFLOAT16),
        Rows::Float8(found) => {
            let wide = found.values.f_to_kind(Kind::Float)?.f_mul(&found.scales)?;
            // A row's smallest normal float8 is 2^-6 / 448 of its largest value.
            let largest = wanted.f_abs()?.f_amax([-1], true)?;
            let floor = largest.f_mul_scalar(2f64.powi(-6) / 448.0)?;
            let wanted_or_floor = wanted.f_abs()?.f_maximum(&floor)?;
            let difference = wide.f_sub(wanted)?.f_abs()?.f_div(&wanted_or_floor)?;
            check(format!("{name}, float8"), difference.f_max()?.f_double_value(&[])?, FLOAT8);
            let full = found.values.f_to_kind(Kind::Float)?.f_abs()?.f_amax([-1], false)?;
            check(
                format!("{name}, float8's range"),
                off(&full, &full.f_full_like(448.0)?, 1.0)?,
                0.0,
            );
        }
    }
    Ok(())
}

fn norms(kernels: &Kernels, count: i64, width: i64, check: Check<'_>) -> Result<()> {
    let (x, y) = (random(&[count, width])?, random(&[count, width])?.f_mul_scalar(300.0)?);
    let (weight, factor) = (random(&[width])?, random(&[width])?);
    let (y_weight, y_factor) = (random(&[width])?, random(&[width])?);
    let name = |what: &str| format!("{what} of {count} × {width}");
    let wide = |x: &Tensor| x.f_to_kind(Kind::Float);
    let scale = Scale { weight: &weight, factor: Some(&factor), eps: EPS };
    let bare = Scale { weight: &weight, factor: None, eps: EPS };
    let y_scale = Scale { weight: &y_weight, factor: Some(&y_factor), eps: EPS };
    let scaled = |x: &Tensor| -> Result<Tensor> {
        Ok(rms(x)?.f_mul(&wide(&weight)?)?.f_mul(&wide(&factor)?)?)
    };
    for float8 in [false, true] {
        rows(&name("norm"), &kernels.norm(&x, scale, float8)?, &scaled(&x)?, check)?;
        let unscaled = rms(&x)?.f_mul(&wide(&weight)?)?;
        rows(&name("norm without factor"), &kernels.norm(&x, bare, float8)?, &unscaled, check)?;
        let added =
            rms(&y)?.f_mul(&wide(&y_weight)?)?.f_mul(&wide(&y_factor)?)?.f_add(&wide(&x)?)?;
        let (sum, out) = kernels.residual_norm(&x, &y, Some(y_scale), Some((scale, float8)))?;
        check(name("gated residual"), off(&sum, &added, 0.05)?, BFLOAT16);
        if let Some(out) = out {
            rows(&name("norm of gated residual"), &out, &scaled(&sum)?, check)?;
        }
    }
    let (sum, none) = kernels.residual_norm(&x, &y, None, None)?;
    check(name("residual"), off(&sum, &wide(&x)?.f_add(&wide(&y)?)?, 0.05)?, BFLOAT16);
    check(name("residual alone has no norm"), f64::from(u8::from(none.is_some())), 0.0);
    Ok(())
}

fn rotation(
    kernels: &Kernels,
    tokens: i64,
    (queries, keys): (i64, i64),
    pairs: Pairs,
    check: Check<'_>,
) -> Result<()> {
    let heads = queries + 2 * keys;
    let packed = random(&[tokens, heads * 128])?;
    let (q_weight, k_weight) = (random(&[128])?, random(&[128])?);
    let angles = Tensor::f_randn([tokens, 64], (Kind::Float, GPU))?;
    let (cos, sin) = (angles.f_cos()?.f_unsqueeze(1)?, angles.f_sin()?.f_unsqueeze(1)?);
    let turns = Tensor::f_stack(&[angles.f_cos()?, angles.f_sin()?], -1)?;
    let turned = |x: &Tensor, weight: &Tensor| -> Result<Tensor> {
        let x = rms(x)?.f_mul(&weight.f_to_kind(Kind::Float)?)?;
        let (a, b) = match pairs {
            Pairs::Neighbours => (x.f_slice(-1, 0, None, 2)?, x.f_slice(-1, 1, None, 2)?),
            Pairs::Halves => (x.f_narrow(-1, 0, 64)?, x.f_narrow(-1, 64, 64)?),
        };
        let turned =
            [a.f_mul(&cos)?.f_sub(&b.f_mul(&sin)?)?, a.f_mul(&sin)?.f_add(&b.f_mul(&cos)?)?];
        Ok(match pairs {
            Pairs::Neighbours => Tensor::f_stack(&turned, -1)?.f_flatten(-2, -1)?,
            Pairs::Halves => Tensor::f_cat(&turned, -1)?,
        })
    };
    let all = packed.f_view([tokens, heads, 128])?;
    let q = turned(&all.f_narrow(1, 0, queries)?, &q_weight)?;
    let k = turned(&all.f_narrow(1, queries, keys)?, &k_weight)?;
    let v = all.f_narrow(1, queries + keys, keys)?.f_to_kind(Kind::Float)?;
    let wanted = Tensor::f_cat(&[q, k, v], 1)?.f_flatten(1, 2)?;
    kernels.norm_and_rotate(
        &packed,
        (queries, keys),
        (&q_weight, &k_weight),
        EPS,
        &turns,
        pairs,
    )?;
    // A difference of two products may be small, so errors are held against the size of the terms.
    let name = format!("rotation of {tokens} × ({queries} + 2 · {keys}) heads, {pairs:?}");
    check(name, off(&packed, &wanted, 1.0)?, BFLOAT16);
    Ok(())
}

fn gates(kernels: &Kernels, count: i64, width: i64, check: Check<'_>) -> Result<()> {
    let both = random(&[count, 2 * width])?.f_mul_scalar(3.0)?;
    let wide = both.f_to_kind(Kind::Float)?;
    let (gate, value) = (wide.f_narrow(1, 0, width)?, wide.f_narrow(1, width, width)?);
    let wanted = gate.f_silu()?.f_mul(&value)?;
    let name = format!("gate of {count} × {width}");
    rows(&name, &Rows::Dense(kernels.silu_gate(&both)?), &wanted, check)?;
    rows(&name, &Rows::Float8(kernels.silu_gate_float8(&both)?), &wanted, check)?;
    let rows_name = format!("rows of {count} × {}", 2 * width);
    rows(&rows_name, &Rows::Float8(kernels.float8_rows(&both)?), &wide, check)
}

/// Microseconds at 1024² (4096 + 32 tokens), and the share of what a copy of the bytes takes.
fn times(kernels: &Kernels) -> Result<()> {
    const TOKENS: i64 = 4128;
    let (x, y) = (random(&[TOKENS, 3840])?, random(&[TOKENS, 3840])?);
    let (both, qkv) = (random(&[TOKENS, 20480])?, random(&[TOKENS, 11520])?);
    let (weight, head) = (random(&[3840])?, random(&[128])?);
    let turns = Tensor::f_randn([TOKENS, 64, 2], (Kind::Float, GPU))?;
    let scale = Scale { weight: &weight, factor: Some(&weight), eps: EPS };
    let row = TOKENS * 3840 * 2;
    time("norm", 2 * row, || kernels.norm(&x, scale, false))?;
    time("residual and norm", 4 * row, || {
        kernels.residual_norm(&x, &y, Some(scale), Some((scale, false)))
    })?;
    time("residual and norm, float8", 7 * row / 2, || {
        kernels.residual_norm(&x, &y, Some(scale), Some((scale, true)))
    })?;
    time("norm and rotate", 4 * row, || {
        kernels.norm_and_rotate(&qkv, (30, 30), (&head, &head), EPS, &turns, Pairs::Neighbours)
    })?;
    time("gate", TOKENS * 30720 * 2, || kernels.silu_gate(&both))?;
    time("gate, float8", TOKENS * 51200, || kernels.silu_gate_float8(&both))?;
    time("float8 rows", 3 * row / 2, || kernels.float8_rows(&x))?;
    let big = Tensor::f_empty([1 << 30], (Kind::Uint8, GPU))?;
    let mut copy = big.f_empty_like()?;
    time("copy of 1 GiB", 2 << 30, || Ok(copy.f_copy_(&big)?))
}

fn time<T>(
    name: &str,
    bytes: i64,
    mut work: impl FnMut() -> std::result::Result<T, zimage_cuda::Error>,
) -> Result<()> {
    const ROUNDS: u32 = 50;
    for _ in 0..5 {
        work()?;
    }
    Cuda::synchronize(0);
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        work()?;
    }
    Cuda::synchronize(0);
    let seconds = begun.elapsed().as_secs_f64() / f64::from(ROUNDS);
    println!("{name}: {:.1} µs, {:.2} TB/s", seconds * 1e6, bytes as f64 / seconds / 1e12);
    Ok(())
}
