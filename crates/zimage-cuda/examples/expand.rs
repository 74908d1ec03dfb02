//! Compares the kernels that expand weights, and the one that makes 8-bit integers of them, with their
//! plain twins, to the bit and for every encoding, and says how fast they are at the model's real size. Needs a GPU; `make gpu-test` runs it.
//!
//! usage: `expand`; ends with 1 if a kernel is wrong.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use tch::{Cuda, Device, Kind, Tensor};
use zimage_checkpoint::{
    BlockType, Companion, Encoding, Number, Piece, Rotation, ScaleScope, ScaledFormat,
    StoredTensor, expand, make_int8, rotation_of,
};
use zimage_cuda::{Expander, Int8Maker, PlainRows};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const GPU: Device = Device::Cuda(0);
const KINDS: [(Kind, Number); 3] =
    [(Kind::BFloat16, Number::Bf16), (Kind::Half, Number::F16), (Kind::Float, Number::F32)];

fn encodings() -> Vec<Encoding> {
    let rotation = |size| Rotation::new(size).unwrap_or_else(|| unreachable!("a power of 4"));
    let grouped = |bits, group, scales, codebook, size| ScaledFormat::Grouped {
        bits,
        group,
        scales,
        codebook,
        rotation: rotation(size),
    };
    let scaled = [
        ScaledFormat::Float8(Number::F8E4m3, ScaleScope::Tensor),
        ScaledFormat::Float8(Number::F8E5m2, ScaleScope::Row),
        ScaledFormat::Int8(ScaleScope::Tensor, None),
        ScaledFormat::Int8(ScaleScope::Row, None),
        ScaledFormat::Int8(ScaleScope::Row, Some(rotation(256))),
        ScaledFormat::Int8(ScaleScope::Row, Some(rotation(64))),
        ScaledFormat::Int4(rotation(256)),
        grouped(4, 16, Number::F8E4m3, true, 256),
        grouped(6, 16, Number::F8E4m3, false, 256),
        grouped(4, 32, Number::F32, false, 16),
        ScaledFormat::Mxfp8,
        ScaledFormat::Nvfp4,
    ];
    let plain = [Number::F8E4m3, Number::F8E5m2].map(Encoding::Plain);
    let blocks = BlockType::ALL.map(Encoding::Blocks);
    plain.into_iter().chain(blocks).chain(scaled.map(Encoding::Scaled)).collect()
}

/// A tensor whose scales follow it, at offsets of a file that does not exist.
fn stored(encoding: Encoding, rows: u64, width: u64) -> Option<StoredTensor> {
    let bytes = encoding.bytes(rows * width, width)?;
    let companions = vec![Companion { offset: bytes, bytes: 1 << 40 }; 3];
    let shape = vec![rows as i64, width as i64];
    Some(StoredTensor { encoding, shape, offset: 0, bytes, first_row: 0, companions })
}

/// Random bytes, with a generator of its own so that every run has the same.
fn random(bytes: usize, mut state: u64) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes.div_ceil(8)).flat_map(|_| next()).take(bytes).collect()
}

/// Whether the same bits are found; one NaN is as good as another.
fn same(found: &Tensor, wanted: &Tensor) -> Result<bool> {
    let whole = if found.kind() == Kind::Float { Kind::Int } else { Kind::Int16 };
    let equal = found.f_view_dtype(whole)?.f_eq_tensor(&wanted.f_view_dtype(whole)?)?;
    let neither = found.f_isnan()?.f_logical_and(&wanted.f_isnan()?)?;
    Ok(equal.f_logical_or(&neither)?.f_all()?.f_int64_value(&[])? == 1)
}

/// Expands a piece on the GPU and on the CPU.
fn compare(expander: &Expander, piece: &Piece, seed: u64) -> Result<bool> {
    let bytes = random(piece.bytes(), seed);
    let from = Tensor::f_from_slice(&bytes)?.f_to_device(GPU)?;
    let mut right = true;
    for (kind, number) in KINDS {
        let to = Tensor::f_zeros([piece.numbers() as i64], (kind, GPU))?;
        expander.expand(piece, &from, &to)?;
        let mut wanted = vec![0; piece.numbers() * number.bytes() as usize];
        right &= expand(piece, &bytes, number, &mut wanted);
        let wanted = Tensor::f_from_data_size(&wanted, &[piece.numbers() as i64], kind)?;
        right &= same(&to.f_to_device(Device::Cpu)?, &wanted)?;
    }
    Ok(right)
}

fn main() -> Result<ExitCode> {
    let gpu = zimage_cuda::init(0)?;
    let begun = Instant::now();
    let expander = Expander::compile(&gpu)?;
    println!("compiled in {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    let mut wrong = 0;
    for (number, encoding) in encodings().into_iter().enumerate() {
        for (rows, width) in [(1, 256), (300, 768), (131, 3840)] {
            let Some(stored) = stored(encoding, rows, width) else { continue };
            let part = stored.narrow_rows(rows as i64 / 3..rows as i64)?;
            for tensor in [&stored, &part] {
                let Some(piece) = tensor.piece() else { continue };
                let right = compare(&expander, &piece, number as u64 * 7 + rows + 1)?;
                wrong += u8::from(!right);
                if !right {
                    println!("WRONG {encoding}: {} × {width}", piece.rows);
                }
            }
        }
        println!("ok    {encoding}: as its twin");
    }
    let maker = Int8Maker::compile(&gpu)?;
    for (kind, number) in KINDS {
        for (rows, width) in [(1, 256), (300, 768), (131, 3840), (17, 10240), (5, 48), (7, 170)] {
            if !made_as_twin(&maker, (kind, number), rows, width)? {
                println!("WRONG integers of {kind:?}: {rows} × {width}");
                wrong += 1;
            }
        }
        println!("ok    integers of {kind:?}: as their twin");
    }
    times(&expander)?;
    time_of_integers(&maker)?;
    Ok(ExitCode::from(wrong.min(1)))
}

/// Makes integers on the GPU and on the CPU: of normal numbers with outliers, and a row of zeros.
fn made_as_twin(
    maker: &Int8Maker,
    (kind, number): (Kind, Number),
    rows: usize,
    width: usize,
) -> Result<bool> {
    let shape = [rows as i64, width as i64];
    let plain = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?;
    let _ = plain.f_narrow(1, 0, 1)?.f_mul_scalar_(300.0)?;
    let _ =
        plain.f_narrow(0, rows as i64 - 1, 1)?.f_mul_scalar_(if rows > 1 { 0.0 } else { 1.0 })?;
    let plain = plain.f_to_kind(kind)?;
    let bytes: Vec<u8> = plain.f_view([-1])?.f_view_dtype(Kind::Uint8)?.try_into()?;
    let (mut values, mut scales) = (vec![0; rows * width], vec![0; rows * 4]);
    let made = make_int8((number, width), &bytes, &mut values, &mut scales);
    let found = Tensor::f_zeros(shape, (Kind::Int8, GPU))?;
    let of_rows = Tensor::f_zeros([rows as i64], (Kind::Float, GPU))?;
    let rotation = rotation_of(width as u64);
    let rows = PlainRows { number, rows, width, rotation };
    maker.make(rows, &plain.f_to_device(GPU)?, &found, &of_rows)?;
    let on_cpu = |tensor: &Tensor| -> Result<Vec<u8>> {
        let bytes = tensor.f_to_device(Device::Cpu)?.f_view([-1])?.f_view_dtype(Kind::Uint8)?;
        Ok(bytes.try_into()?)
    };
    Ok(made && on_cpu(&found)? == values && on_cpu(&of_rows)? == scales)
}

/// The largest matrix of the model in bfloat16, 50 times.
fn time_of_integers(maker: &Int8Maker) -> Result<()> {
    const RUNS: u32 = 50;
    let (rows, width) = (10240, 3840);
    let plain = Tensor::f_randn([rows, width], (Kind::BFloat16, GPU))?;
    let values = Tensor::f_zeros([rows, width], (Kind::Int8, GPU))?;
    let scales = Tensor::f_zeros([rows], (Kind::Float, GPU))?;
    let (rows, width) = (rows as usize, width as usize);
    let rotation = rotation_of(width as u64);
    let of = PlainRows { number: Number::Bf16, rows, width, rotation };
    maker.make(of, &plain, &values, &scales)?;
    Cuda::synchronize(0);
    let begun = Instant::now();
    for _ in 0..RUNS {
        maker.make(of, &plain, &values, &scales)?;
    }
    Cuda::synchronize(0);
    let seconds = begun.elapsed().as_secs_f64() / f64::from(RUNS);
    let read = (rows * width) as f64 * 2.0 / seconds / 1e12;
    println!("integers of BFloat16: {:.0} µs, {read:.2} TB/s read", seconds * 1e6);
    Ok(())
}

/// The largest matrix of the model, 50 times.
fn times(expander: &Expander) -> Result<()> {
    const RUNS: u32 = 50;
    for encoding in encodings() {
        let Some(piece) = stored(encoding, 10240, 3840).and_then(|stored| stored.piece()) else {
            continue;
        };
        let from = Tensor::f_zeros([piece.bytes() as i64], (Kind::Uint8, GPU))?;
        let to = Tensor::f_zeros([piece.numbers() as i64], (Kind::BFloat16, GPU))?;
        expander.expand(&piece, &from, &to)?;
        Cuda::synchronize(0);
        let begun = Instant::now();
        for _ in 0..RUNS {
            expander.expand(&piece, &from, &to)?;
        }
        Cuda::synchronize(0);
        let seconds = begun.elapsed().as_secs_f64() / f64::from(RUNS);
        let written = piece.numbers() as f64 * 2.0 / seconds / 1e12;
        let read = piece.bytes() as f64 / seconds / 1e12;
        println!("{encoding}: {:.0} µs, {written:.2} TB/s written, {read:.2} read", seconds * 1e6);
    }
    Ok(())
}
