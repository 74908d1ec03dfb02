//! Tensors: cast to what is asked for, and each accounted for.

use half::{bf16, f16};
use safetensors::tensor::Dtype;
use tch::{Device, Kind, Tensor};
use zimage::ErrorKind;
use zimage::checkpoint::{Component, Target};

use crate::folder::{Folder, INDEX, TRANSFORMER, file_of, matrix};

/// Values whose float32 needs rounding in the halves, among them a tie.
const VALUES: [f32; 6] = [0.1, -2.5, 1.003_906_3, 3.0e-5, 65504.0, 1.0];

fn bytes_of(dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F32 => VALUES.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Dtype::BF16 => VALUES.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        _ => VALUES.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
    }
}

fn kind_of(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::BF16 => Kind::BFloat16,
        _ => Kind::Half,
    }
}

#[test]
fn each_type_is_cast_to_each_kind() {
    let dtypes = [Dtype::F32, Dtype::BF16, Dtype::F16];
    let folder = Folder::new();
    folder.write(
        TRANSFORMER,
        &file_of(&[
            ("F32", Dtype::F32, &[3, 2], bytes_of(Dtype::F32)),
            ("BF16", Dtype::BF16, &[3, 2], bytes_of(Dtype::BF16)),
            ("F16", Dtype::F16, &[3, 2], bytes_of(Dtype::F16)),
        ]),
    );
    let checkpoint = folder.open().unwrap();
    for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
        let mut progress = |_| {};
        let target = Target { device: Device::Cpu, kind };
        let mut weights =
            checkpoint.weights(Component::Transformer, target, &mut progress).unwrap();
        assert_eq!((weights.kind(), weights.device()), (kind, Device::Cpu));
        for dtype in dtypes {
            let got = weights.take(&dtype.to_string(), &[3, 2]).unwrap();
            let stored = Tensor::from_data_size(&bytes_of(dtype), &[3, 2], kind_of(dtype));
            assert_eq!(got.kind(), kind);
            assert_eq!(got, stored.to_kind(kind), "{dtype} to {kind:?}");
        }
        weights.finish().unwrap();
    }
}

#[test]
fn shards_of_several_types_mix() {
    let folder = Folder::new();
    folder.remove(TRANSFORMER);
    folder.write("transformer/1.safetensors", &file_of(&[matrix("a")]));
    let half = ("b", Dtype::F16, &[6][..], bytes_of(Dtype::F16));
    folder.write("transformer/2.safetensors", &file_of(&[half]));
    folder.write(INDEX, br#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#);
    let (a, b) = folder
        .load(Component::Transformer, |w| Ok((w.take("a", &[2, 3])?, w.take("b", &[6])?)))
        .unwrap();
    assert_eq!(a.double_value(&[0, 1]), 1.0);
    assert_eq!(b.double_value(&[4]), 65504.0);
}

/// Larger than the pieces in which files are read, and no multiple of them.
#[test]
fn a_large_tensor_is_whole() {
    let numbers = 9_000_001;
    let bytes: Vec<u8> = (0..numbers).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let folder = Folder::new();
    folder.write(TRANSFORMER, &file_of(&[("w", Dtype::F32, &[numbers], bytes)]));
    let want = Tensor::arange(numbers as i64, (Kind::Float, Device::Cpu));
    for kind in [Kind::Float, Kind::BFloat16] {
        let mut read = 0;
        let mut progress = |bytes| read += bytes;
        let target = Target { device: Device::Cpu, kind };
        let checkpoint = folder.open().unwrap();
        let mut weights =
            checkpoint.weights(Component::Transformer, target, &mut progress).unwrap();
        let got = weights.take("w", &[numbers as i64]).unwrap();
        weights.finish().unwrap();
        assert_eq!(got, want.to_kind(kind));
        assert_eq!(read, 4 * numbers as u64);
    }
}

#[test]
fn empty_tensors_and_scalars_are_tensors() {
    let folder = Folder::new();
    folder.write(
        TRANSFORMER,
        &file_of(&[
            ("empty", Dtype::F32, &[0, 3], Vec::new()),
            ("scalar", Dtype::F32, &[], 7f32.to_le_bytes().to_vec()),
        ]),
    );
    let (empty, scalar) = folder
        .load(Component::Transformer, |w| Ok((w.take("empty", &[0, 3])?, w.take("scalar", &[])?)))
        .unwrap();
    assert_eq!(empty.size(), [0, 3]);
    assert_eq!(scalar.double_value(&[]), 7.0);
}

#[test]
fn a_missing_tensor_is_named() {
    let folder = Folder::new();
    let error = folder.load(Component::Transformer, |w| w.take("v", &[1])).unwrap_err();
    assert_eq!(folder.sentence(&error), "F/transformer lacks the tensor v");
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    let folder = Folder::new();
    let error = folder.load(Component::Transformer, |w| w.take("w", &[3, 2])).unwrap_err();
    assert_eq!(
        folder.sentence(&error),
        format!("the tensor w in F/{TRANSFORMER} has the shape [2, 3] instead of [3, 2]")
    );
}

#[test]
fn surplus_tensors_are_named() {
    let folder = Folder::new();
    let error = folder.load(Component::Transformer, |_| Ok(())).unwrap_err();
    assert_eq!(folder.sentence(&error), "F/transformer has tensors that the model does not: w");
    let names = ["a", "b", "c", "d", "e"];
    folder.write(TRANSFORMER, &file_of(&names.map(matrix)));
    let error = folder.load(Component::Transformer, |w| w.take("b", &[2, 3])).unwrap_err();
    assert_eq!(
        folder.sentence(&error),
        "F/transformer has tensors that the model does not: a, c, d and 1 more"
    );
}

#[test]
fn a_type_that_is_not_read_is_named() {
    let folder = Folder::new();
    folder.write(TRANSFORMER, &file_of(&[("w", Dtype::I64, &[1], vec![0; 8])]));
    let error = folder.load(Component::Transformer, |w| w.take("w", &[1])).unwrap_err();
    assert_eq!(
        folder.sentence(&error),
        format!(
            "the tensor w in F/{TRANSFORMER} has the type I64; only F32, BF16 and F16 are read"
        )
    );
}

#[test]
fn progress_adds_up_to_the_total() {
    let folder = Folder::new();
    folder.write(TRANSFORMER, &file_of(&["a", "b", "c"].map(matrix)));
    let checkpoint = folder.open().unwrap();
    let mut done = 0;
    let mut progress = |bytes| done += bytes;
    let target = Target { device: Device::Cpu, kind: Kind::BFloat16 };
    for component in Component::ALL {
        let mut weights = checkpoint.weights(component, target, &mut progress).unwrap();
        let taken = if component == Component::Transformer { "a" } else { "w" };
        assert_eq!(weights.take(taken, &[2, 3]).unwrap().numel(), 6);
        weights.skip("b");
        weights.skip("c");
        weights.skip("nothing.");
        weights.finish().unwrap();
    }
    assert_eq!(checkpoint.total_bytes().unwrap(), 5 * 24);
    assert_eq!(done, 5 * 24);
}
