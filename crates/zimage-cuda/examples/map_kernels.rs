//! Compares the kernels for feature maps with libtorch's operations in float32, and says how long
//! each takes. Needs a GPU: `make gpu-test` runs it.

#![expect(clippy::print_stdout, reason = "what it measures is for people")]

use std::error::Error;
use std::time::Instant;

use tch::{Cuda, Device, Kind, Tensor};
use zimage_cuda::{GroupNorm, Kernels, Moments, Pieces};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DEVICE: Device = Device::Cuda(0);

fn main() -> Result<()> {
    let gpu = zimage_cuda::init(0)?;
    let start = Instant::now();
    let kernels = Kernels::compile(&gpu)?;
    println!("{}: kernels compiled in {:.2} s", gpu.name, start.elapsed().as_secs_f64());
    tch::manual_seed(1);
    // Height, width, channels, groups: odd ones first, then those of an image of 1024².
    for shape in [
        (1, 1, 8, 1),
        (3, 5, 24, 3),
        (7, 9, 48, 12),
        (74, 130, 512, 32),
        (31, 33, 2048, 32),
        (97, 101, 40, 5),
        (128, 128, 512, 32),
        (512, 512, 512, 32),
        (512, 512, 256, 32),
        (1024, 1024, 256, 32),
        (1024, 1024, 128, 32),
    ] {
        for far in [0.0, 30.0] {
            check_maps(&kernels, shape, far)?;
        }
    }
    check_bytes(&kernels, 1024 * 1024)?;
    check_bytes(&kernels, 35)?;
    for (rows, width) in [(5, 4), (3, 1000), (130, 9620), (4096, 16384), (1024, 65536)] {
        check_softmax(&kernels, rows, width)?;
    }
    println!("all kernels agree with libtorch");
    Ok(())
}

/// Norm, sum and upsampling of a map whose mean is `far` from 0.
fn check_maps(kernels: &Kernels, (h, w, c, groups): (i64, i64, i64, i64), far: f64) -> Result<()> {
    let (x, y) = (normal(&[h * w, c], far)?, normal(&[h * w, c], -far)?);
    let float = (Kind::Float, DEVICE);
    let bias = Tensor::f_randn([c], float)?;
    let (weight, offset) = (Tensor::f_randn([c], float)?, Tensor::f_randn([c], float)?);
    let norm = GroupNorm { weight: &weight, offset: &offset, groups, eps: 1e-6 };
    let name = format!("{h}×{w}×{c} in {groups}, mean {far}");

    let pieces = Pieces::of_map(h * w, c);
    let (sum, of_sum) = kernels.add(&x, &y, Some(&bias), pieces)?;
    check_parts(kernels, &name, (&x, &y, &bias), pieces)?;
    let want = wide(&x)?.f_add(&wide(&y)?)?.f_add(&bias)?;
    close(&format!("{name}: add"), &sum, &want)?;
    for (what, map, moments) in [("x", &x, kernels.moments(&x, pieces)?), ("sum", &sum, of_sum)] {
        for (bias, silu) in [(None, false), (Some(&bias), true)] {
            let coefficients = kernels.norm_coefficients(&moments, bias, norm)?;
            let got = kernels.group_norm(map, &coefficients, silu)?;
            let again = kernels.norm_coefficients(&moments, bias, norm)?;
            let again = kernels.group_norm(map, &again, silu)?;
            if !got.f_equal(&again)? {
                return Err(format!("{name}: norm of {what} is not the same twice").into());
            }
            // In float64: the plain sums of squares in float32 would be the worse ones.
            let mut map = map.f_to_kind(Kind::Double)?;
            if let Some(bias) = bias {
                map = map.f_add(bias)?;
            }
            let map = map.f_view([h * w, groups, c / groups])?;
            let mean = map.f_mean_dim(&[0i64, 2][..], true, Kind::Double)?;
            let far = map.f_sub(&mean)?;
            let var = far.f_square()?.f_mean_dim(&[0i64, 2][..], true, Kind::Double)?;
            let normed = far.f_mul(&var.f_add_scalar(1e-6)?.f_rsqrt()?)?.f_view([h * w, c])?;
            let want = normed.f_mul(&weight)?.f_add(&offset)?;
            let want = if silu { want.f_silu()? } else { want };
            close(&format!("{name}: norm of {what}, silu {silu}"), &got, &want)?;
        }
    }
    let got = kernels.upsample(&x, Some(&bias), w)?;
    let nchw = wide(&x)?.f_add(&bias)?.f_view([1, h, w, c])?.f_permute([0, 3, 1, 2])?;
    let want = nchw.f_upsample_nearest2d([2 * h, 2 * w], None, None)?;
    let want = want.f_permute([0, 2, 3, 1])?.f_reshape([4 * h * w, c])?;
    close(&format!("{name}: upsample"), &got, &want)?;

    if far == 0.0 && h * w >= 16384 {
        let moments = kernels.moments(&x, pieces)?;
        let coefficients = kernels.norm_coefficients(&moments, Some(&bias), norm)?;
        let megabytes = (2 * h * w * c) as f64 / 1e6;
        time(&format!("{name}: moments"), megabytes, || Ok(kernels.moments(&x, pieces)?))?;
        time(&format!("{name}: norm without silu"), 2.0 * megabytes, || {
            Ok(kernels.group_norm(&x, &coefficients, false)?)
        })?;
        time(&format!("{name}: norm"), 2.0 * megabytes, || {
            Ok(kernels.group_norm(&x, &coefficients, true)?)
        })?;
        time(&format!("{name}: add"), 3.0 * megabytes, || {
            Ok(kernels.add(&x, &y, Some(&bias), pieces)?)
        })?;
        time(&format!("{name}: upsample"), 5.0 * megabytes, || Ok(kernels.upsample(&x, None, w)?))?;
    }
    Ok(())
}

/// Moments of a map in two parts: those of the whole, to the bit.
fn check_parts(
    kernels: &Kernels,
    name: &str,
    (x, y, bias): (&Tensor, &Tensor, &Tensor),
    pieces: Pieces,
) -> Result<()> {
    let first = pieces.count() / 2 * pieces.per_piece();
    if first == 0 {
        return Ok(());
    }
    let parts = |of: &dyn Fn(i64, i64) -> Result<Moments>| -> Result<Moments> {
        Ok(Moments::join(&[of(0, first)?, of(first, pieces.positions() - first)?])?)
    };
    let of_x =
        parts(&|start, length| Ok(kernels.moments(&x.f_narrow(0, start, length)?, pieces)?))?;
    let of_sum = parts(&|start, length| {
        let (x, y) = (x.f_narrow(0, start, length)?, y.f_narrow(0, start, length)?);
        Ok(kernels.add(&x, &y, Some(bias), pieces)?.1)
    })?;
    let (whole_x, (_, whole_sum)) =
        (kernels.moments(x, pieces)?, kernels.add(x, y, Some(bias), pieces)?);
    for (part, whole) in [(of_x, whole_x), (of_sum, whole_sum)] {
        if !part.values().f_equal(whole.values())? || part.pieces() != whole.pieces() {
            return Err(format!("{name}: moments of parts are not those of the whole").into());
        }
    }
    Ok(())
}

/// Bytes of colours: the very same as libtorch's operations on bfloat16 give.
fn check_bytes(kernels: &Kernels, places: i64) -> Result<()> {
    let x = normal(&[places, 8], 0.0)?;
    let bias = Tensor::f_from_slice(&[0.1f32, -0.2, 0.3])?.f_to_device(DEVICE)?;
    let (bytes, strange) = kernels.to_bytes(&x, &bias)?;
    let colours = wide(&x.f_narrow(1, 0, 3)?)?.f_add(&bias)?.f_to_kind(Kind::BFloat16)?;
    let unit = colours.f_mul_scalar(0.5)?.f_add_scalar(0.5)?.f_clamp(0.0, 1.0)?;
    let want = unit.f_to_kind(Kind::Float)?.f_mul_scalar(255.0)?.f_round()?;
    if !bytes.f_equal(&want.f_to_kind(Kind::Uint8)?)? || strange.f_int64_value(&[0])? != 0 {
        return Err("to_bytes differs from libtorch".into());
    }
    for bad in [f64::NAN, f64::INFINITY] {
        let mut spoilt = x.f_detach_copy()?;
        let _ = spoilt.f_get(places - 1)?.f_narrow(0, 2, 1)?.f_fill_(bad)?;
        if kernels.to_bytes(&spoilt, &bias)?.1.f_int64_value(&[0])? != 1 {
            return Err(format!("to_bytes does not see {bad}").into());
        }
        // The other five of a place do not count.
        spoilt = x.f_detach_copy()?;
        let _ = spoilt.f_get(places - 1)?.f_narrow(0, 3, 5)?.f_fill_(bad)?;
        if kernels.to_bytes(&spoilt, &bias)?.1.f_int64_value(&[0])? != 0 {
            return Err(format!("to_bytes sees {bad} where nothing counts").into());
        }
    }
    time(&format!("{places} places: to_bytes"), 19e-6 * places as f64, || {
        Ok(kernels.to_bytes(&x, &bias)?)
    })
}

fn check_softmax(kernels: &Kernels, rows: i64, width: i64) -> Result<()> {
    let scores = Tensor::f_randn([rows, width], (Kind::Float, DEVICE))?.f_mul_scalar(60.0)?;
    let got = kernels.softmax(&scores, 0.125)?;
    let want = scores.f_mul_scalar(0.125)?.f_softmax(-1, Kind::Float)?;
    close(&format!("{rows}×{width}: softmax"), &got, &want)?;
    time(&format!("{rows}×{width}: softmax"), 10e-6 * (rows * width) as f64, || {
        Ok(kernels.softmax(&scores, 0.125)?)
    })
}

fn normal(shape: &[i64], mean: f64) -> Result<Tensor> {
    let x = Tensor::f_randn(shape, (Kind::Float, DEVICE))?.f_add_scalar(mean)?;
    Ok(x.f_to_kind(Kind::BFloat16)?)
}

fn wide(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_to_kind(Kind::Float)?)
}

/// A number may be off by its rounding to bfloat16, 2⁻⁸ of it at most, and by 1e-4 of the largest
/// where terms cancelled.
fn close(name: &str, got: &Tensor, want: &Tensor) -> Result<()> {
    let (got, want) = (got.f_to_kind(Kind::Double)?, want.f_to_kind(Kind::Double)?);
    let room = want.f_abs()?.f_mul_scalar(1.01 / 256.0)?;
    let room = room.f_add(&want.f_abs()?.f_max()?.f_mul_scalar(1e-4)?)?;
    let excess = got.f_sub(&want)?.f_abs()?.f_div(&room)?.f_max()?.f_double_value(&[])?;
    // A NaN is not close either.
    if excess <= 1.0 { Ok(()) } else { Err(format!("{name}: {excess} of what is allowed").into()) }
}

fn time<T>(name: &str, megabytes: f64, mut call: impl FnMut() -> Result<T>) -> Result<()> {
    const TIMES: u32 = 20;
    call()?;
    Cuda::synchronize(0);
    let start = Instant::now();
    for _ in 0..TIMES {
        call()?;
    }
    Cuda::synchronize(0);
    let seconds = start.elapsed().as_secs_f64() / f64::from(TIMES);
    println!("{name}: {:.1} µs, {:.2} TB/s", seconds * 1e6, megabytes / seconds / 1e6);
    Ok(())
}
