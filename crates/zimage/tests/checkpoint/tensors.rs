//! Tensors: cast to what is asked for, and each accounted for.

use half::{bf16, f16};
use safetensors::tensor::Dtype;
use tch::{Device, Kind, Tensor};
use zimage::ErrorKind;
use zimage::checkpoint::Component;
use zimage::weights::{Loader, Progress, Target};

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
        let mut loader = Loader::new();
        let target = Target { device: Device::Cpu, kind };
        let mut weights = loader.weights(&checkpoint, Component::Transformer, target).unwrap();
        assert_eq!((weights.kind(), weights.device()), (kind, Device::Cpu));
        let taken = dtypes.map(|dtype| weights.take(&dtype.to_string(), &[3, 2]).unwrap());
        weights.finish().unwrap();
        loader.run(&mut |_| {}).unwrap();
        for (dtype, got) in dtypes.into_iter().zip(taken) {
            let stored = Tensor::from_data_size(&bytes_of(dtype), &[3, 2], kind_of(dtype));
            assert_eq!(got.kind(), kind);
            assert_eq!(got, stored.to_kind(kind), "{dtype} to {kind:?}");
        }
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
        let mut loader = Loader::new();
        let target = Target { device: Device::Cpu, kind };
        let checkpoint = folder.open().unwrap();
        let mut weights = loader.weights(&checkpoint, Component::Transformer, target).unwrap();
        let got = weights.take("w", &[numbers as i64]).unwrap();
        weights.finish().unwrap();
        loader.run(&mut |progress| read = progress.done).unwrap();
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
        format!("the tensor w in F/{TRANSFORMER} has the type I64, which is not read")
    );
}

#[test]
fn progress_adds_up_to_the_total() {
    let folder = Folder::new();
    folder.write(TRANSFORMER, &file_of(&["a", "b", "c"].map(matrix)));
    let checkpoint = folder.open().unwrap();
    let mut loader = Loader::new();
    let target = Target { device: Device::Cpu, kind: Kind::BFloat16 };
    for component in Component::ALL {
        let mut weights = loader.weights(&checkpoint, component, target).unwrap();
        let taken = if component == Component::Transformer { "a" } else { "w" };
        assert_eq!(weights.take(taken, &[2, 3]).unwrap().numel(), 6);
        weights.skip("b");
        weights.skip("c");
        weights.skip("nothing.");
        weights.finish().unwrap();
    }
    assert!(!loader.is_done());
    let mut told = Vec::new();
    loader.run(&mut |progress| told.push(progress)).unwrap();
    assert!(loader.is_done());
    assert_eq!(told.last(), Some(&Progress { done: 5 * 24, total: 5 * 24 }));
    assert!(told.iter().all(|progress| progress.total == 5 * 24));
}

/// A component can be read before the next one is looked at.
#[test]
fn a_loader_runs_more_than_once() {
    let folder = Folder::new();
    let checkpoint = folder.open().unwrap();
    let mut loader = Loader::new();
    let target = Target { device: Device::Cpu, kind: Kind::Float };
    for component in Component::ALL {
        let mut weights = loader.weights(&checkpoint, component, target).unwrap();
        let w = weights.take("w", &[2, 3]).unwrap();
        weights.finish().unwrap();
        loader.run(&mut |_| {}).unwrap();
        assert_eq!(w.double_value(&[1, 2]), 5.0);
    }
}

/// Joined tensors are what concatenating them gives, though they are no whole number of places
/// long, and those taken before and after stay whole.
#[test]
fn joined_tensors_lie_one_after_the_other() {
    let folder = Folder::new();
    let numbers = |from: usize, count: usize| -> Vec<u8> {
        (from..from + count).flat_map(|i| (i as f32).to_le_bytes()).collect()
    };
    folder.write(
        TRANSFORMER,
        &file_of(&[
            ("after", Dtype::F32, &[5], numbers(600, 5)),
            ("before", Dtype::F32, &[3], numbers(500, 3)),
            ("k", Dtype::F32, &[2, 7], numbers(100, 14)),
            ("q", Dtype::F32, &[3, 7], numbers(0, 21)),
            ("v", Dtype::BF16, &[3, 7], [0x80, 0x3f].repeat(21)),
        ]),
    );
    let (before, joined, after) = folder
        .load(Component::Transformer, |w| {
            Ok((
                w.take("before", &[3])?,
                w.take_joined(&[("q", 3), ("k", 2), ("v", 3)], &[7])?,
                w.take("after", &[5])?,
            ))
        })
        .unwrap();
    let counted = |from: i64, shape: &[i64]| {
        let count: i64 = shape.iter().product();
        Tensor::arange_start(from, from + count, (Kind::Float, Device::Cpu)).view(shape)
    };
    let v = Tensor::ones([3, 7], (Kind::Float, Device::Cpu));
    assert_eq!(joined, Tensor::cat(&[counted(0, &[3, 7]), counted(100, &[2, 7]), v], 0));
    assert_eq!(before, counted(500, &[3]));
    assert_eq!(after, counted(600, &[5]));
    for tensor in [&before, &joined, &after] {
        assert!(tensor.is_contiguous());
    }
    // In the slab each begins a multiple of 256 bytes after the first.
    let begins = [&before, &joined, &after].map(|tensor| tensor.data_ptr() as usize);
    assert!(begins.iter().all(|begin| (begin - begins[0]) % 256 == 0), "{begins:?}");
}

#[test]
fn joined_tensors_are_checked_one_by_one() {
    let folder = Folder::new();
    folder.write(TRANSFORMER, &file_of(&["a", "b"].map(matrix)));
    let joined = |names: [&str; 2]| {
        let parts = names.map(|name| (name, 2));
        folder.load(Component::Transformer, |w| w.take_joined(&parts, &[3])).unwrap_err()
    };
    assert_eq!(folder.sentence(&joined(["a", "c"])), "F/transformer lacks the tensor c");
    assert_eq!(folder.sentence(&joined(["a", "a"])), "F/transformer lacks the tensor a");
}
