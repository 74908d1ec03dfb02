//! Tensors that belong to a weight, such as its scales: they become a part of the weight's entry.
//!
//! Names and shapes are those that ComfyUI's `comfy/ops.py` (`_load_quantized_module`) and
//! `comfy/utils.py` (`convert_old_quants`) read.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorInfo};

use super::quantization::{FileQuantization, LAYER_LIMIT, LayerQuantization, METADATA_KEY};
use super::{Metadata, MetadataValue};
use crate::encoding::{Encoding, Number, Rotation, ScaleScope, ScaledFormat};
use crate::error::{Error, Result};
use crate::json;
use crate::source::DataFile;
use crate::stored_tensor::{Companion, StoredTensor};

/// The longest row of a scaled tensor: the model has 10240 numbers. Rows are expanded one at a time.
const WIDTH_LIMIT: u64 = 1 << 16;

/// What programs write before the names of a component's tensors, but not into the metadata.
const PREFIXES: [&str; 2] = ["", "model.diffusion_model."];

/// Tensors that say how inputs are quantised, and markers: weights do not depend on them.
const UNUSED: [&str; 4] = [".input_scale", ".scale_input", ".comfy_quant", "scaled_fp8"];

type Tensors = [(String, TensorInfo)];

/// The tensors with their companions; `data` is the offset of the first one in the file.
pub(super) fn fold(
    file: &DataFile,
    tensors: Vec<(String, TensorInfo)>,
    data: u64,
    metadata: &Metadata,
) -> Result<Vec<(String, StoredTensor)>> {
    let quantization = metadata.get(METADATA_KEY).and_then(MetadataValue::text);
    let is_quantised = quantization.is_some() || tensors.iter().any(|(name, _)| is_marked(name));
    let folded = if is_quantised {
        let quantization = quantization.map(|text| json::object(text.as_bytes())).transpose();
        let quantization = quantization.map_err(|error| Error::Header {
            file: file.label.clone(),
            format: "safetensors",
            reason: format!("its {METADATA_KEY} is damaged ({error})"),
        })?;
        Layers::new(file, &tensors, data).fold(quantization)?
    } else {
        Folded::default()
    };
    let Folded { mut scaled, used } = folded;
    let mut placed = Vec::with_capacity(tensors.len());
    for (number, (name, info)) in tensors.into_iter().enumerate() {
        if used.get(number).is_some_and(|&used| used) {
            continue;
        }
        let stored = scaled.remove(&number);
        let stored = stored.map_or_else(|| plain(file, &info, data), Ok)?;
        placed.push((name, stored));
    }
    Ok(placed)
}

/// Whether a tensor of this name shows that others are quantised.
fn is_marked(name: &str) -> bool {
    let ends = |suffix: &&str| name.ends_with(suffix);
    UNUSED.iter().any(ends) || [".weight_scale", ".scale_weight"].iter().any(ends)
}

fn plain(file: &DataFile, info: &TensorInfo, data: u64) -> Result<StoredTensor> {
    let encoding = match info.dtype {
        Dtype::F32 => Encoding::Plain(Number::F32),
        Dtype::BF16 => Encoding::Plain(Number::Bf16),
        Dtype::F16 => Encoding::Plain(Number::F16),
        Dtype::F8_E4M3 => Encoding::Plain(Number::F8E4m3),
        Dtype::F8_E5M2 => Encoding::Plain(Number::F8E5m2),
        other => Encoding::Unsupported(name_of(other)),
    };
    let shape = info.shape.iter().map(|&side| i64::try_from(side));
    let shape = shape.collect::<std::result::Result<_, _>>().map_err(|_| Error::Header {
        file: file.label.clone(),
        format: "safetensors",
        reason: "a dimension is too large".to_owned(),
    })?;
    let Companion { offset, bytes } = place_of(info, data);
    Ok(StoredTensor { encoding, shape, offset, bytes, first_row: 0, companions: Vec::new() })
}

fn place_of(info: &TensorInfo, data: u64) -> Companion {
    let (begin, end) = info.data_offsets;
    Companion { offset: data + begin as u64, bytes: (end - begin) as u64 }
}

/// The name of a type that no weight has.
fn name_of(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::BOOL => "BOOL",
        Dtype::F4 => "F4",
        Dtype::F6_E2M3 => "F6_E2M3",
        Dtype::F6_E3M2 => "F6_E3M2",
        Dtype::U8 => "U8",
        Dtype::I8 => "I8",
        Dtype::F8_E8M0 => "F8_E8M0",
        Dtype::F8_E4M3FNUZ => "F8_E4M3FNUZ",
        Dtype::F8_E5M2FNUZ => "F8_E5M2FNUZ",
        Dtype::I16 => "I16",
        Dtype::U16 => "U16",
        Dtype::I32 => "I32",
        Dtype::U32 => "U32",
        Dtype::C64 => "C64",
        Dtype::F64 => "F64",
        Dtype::I64 => "I64",
        Dtype::U64 => "U64",
        _ => "unknown",
    }
}

/// What is found of the layers of a file.
#[derive(Default)]
struct Folded {
    /// By the number of the weight.
    scaled: HashMap<usize, StoredTensor>,
    /// Whether a tensor belongs to another one, or is not needed.
    used: Vec<bool>,
}

/// The tensors of a file by name.
struct Layers<'a> {
    file: &'a DataFile,
    tensors: &'a Tensors,
    data: u64,
    by_name: HashMap<&'a str, usize>,
}

/// A quantised weight while its companions are looked up.
struct Layer<'a> {
    layers: &'a Layers<'a>,
    name: &'a str,
    info: &'a TensorInfo,
    rows: u64,
    used: &'a mut Vec<bool>,
    companions: Vec<Companion>,
}

impl<'a> Layers<'a> {
    fn new(file: &'a DataFile, tensors: &'a Tensors, data: u64) -> Self {
        let by_name = tensors.iter().enumerate().map(|(number, (name, _))| (name.as_str(), number));
        Self { file, tensors, data, by_name: by_name.collect() }
    }

    fn fold(&self, quantization: Option<FileQuantization>) -> Result<Folded> {
        let unused = |(name, _): &(String, TensorInfo)| UNUSED.iter().any(|s| name.ends_with(s));
        let mut folded =
            Folded { scaled: HashMap::new(), used: self.tensors.iter().map(unused).collect() };
        // As ComfyUI: the metadata comes before tensors beside the weights.
        match quantization {
            Some(FileQuantization { layers }) => {
                for (layer, quantization) in &layers {
                    let names = PREFIXES.iter().map(|prefix| format!("{prefix}{layer}.weight"));
                    let number = names.filter_map(|name| self.by_name.get(name.as_str())).next();
                    if let Some(&number) = number {
                        self.quantised(number, quantization, &mut folded)?;
                    }
                }
            }
            None => {
                for (name, info) in self.tensors {
                    let Some(layer) = name.strip_suffix(".comfy_quant") else { continue };
                    let number = self.by_name.get(format!("{layer}.weight").as_str());
                    if let Some(&number) = number {
                        self.quantised(number, &self.read(name, info)?, &mut folded)?;
                    }
                }
            }
        }
        // Scaled float8 without a word about it.
        for (number, (_, info)) in self.tensors.iter().enumerate() {
            let float8 = match info.dtype {
                Dtype::F8_E4M3 => Number::F8E4m3,
                Dtype::F8_E5M2 => Number::F8E5m2,
                _ => continue,
            };
            if folded.used[number] || folded.scaled.contains_key(&number) {
                continue;
            }
            let Some(mut layer) = self.layer(number, &mut folded.used)? else { continue };
            if let Some(scale) = layer.first_of(&["weight_scale", "scale_weight"]) {
                let scope = layer.scale(scale)?;
                let stored = layer.finish(ScaledFormat::Float8(float8, scope), info.shape[1])?;
                folded.scaled.insert(number, stored);
            }
        }
        Ok(folded)
    }

    /// The JSON of a `comfy_quant` tensor.
    fn read(&self, name: &str, info: &TensorInfo) -> Result<LayerQuantization> {
        let place = place_of(info, self.data);
        if place.bytes > LAYER_LIMIT {
            let reason = format!("it has {} bytes, more than {LAYER_LIMIT}", place.bytes);
            return Err(self.bad(name, reason));
        }
        let mut text = vec![0; place.bytes as usize];
        self.file.read_exact_at(&mut text, place.offset)?;
        json::object(&text)
            .map_err(|reason| self.bad(name, format!("its JSON is damaged ({reason})")))
    }

    fn bad(&self, name: &str, reason: String) -> Error {
        Error::Quantization { name: name.to_owned(), file: self.file.label.clone(), reason }
    }

    /// The weight `number`, if it is a matrix with a name for its companions.
    fn layer(&'a self, number: usize, used: &'a mut Vec<bool>) -> Result<Option<Layer<'a>>> {
        let (name, info) = &self.tensors[number];
        let (Some(layer), &[rows, width]) = (name.strip_suffix(".weight"), &info.shape[..]) else {
            return Ok(None);
        };
        if width as u64 > WIDTH_LIMIT || rows > i64::MAX as usize {
            let reason = format!("its rows have {width} numbers, more than {WIDTH_LIMIT}");
            return Err(self.bad(name, reason));
        }
        let companions = Vec::new();
        Ok(Some(Layer { layers: self, name: layer, info, rows: rows as u64, used, companions }))
    }

    /// Adds the weight `number` with its companions.
    fn quantised(
        &self,
        number: usize,
        quantization: &LayerQuantization,
        folded: &mut Folded,
    ) -> Result<()> {
        let (name, info) = &self.tensors[number];
        let unsupported = match quantization.format.as_str() {
            "awq_w4a16" => Some("awq_w4a16"),
            "svdquant_w4a4" => Some("svdquant_w4a4"),
            _ => None,
        };
        if let Some(format) = unsupported {
            let mut stored = plain(self.file, info, self.data)?;
            stored.encoding = Encoding::Unsupported(format);
            folded.scaled.insert(number, stored);
            return Ok(());
        }
        let Some(layer) = self.layer(number, &mut folded.used)? else {
            let shape = &info.shape;
            return Err(self.bad(name, format!("its shape {shape:?} is not that of a matrix")));
        };
        let stored = layer.stored(quantization)?;
        folded.scaled.insert(number, stored);
        Ok(())
    }
}

impl Layer<'_> {
    fn bad(&self, reason: impl Into<String>) -> Error {
        self.layers.bad(&format!("{}.weight", self.name), reason.into())
    }

    /// The number of the first companion that exists of these.
    fn first_of(&self, suffixes: &[&str]) -> Option<usize> {
        let names = suffixes.iter().map(|suffix| format!("{}.{suffix}", self.name));
        names.filter_map(|name| self.layers.by_name.get(name.as_str()).copied()).next()
    }

    /// The companion's description.
    fn companion(&self, suffix: &str) -> Result<(usize, &TensorInfo)> {
        let number = self.first_of(&[suffix]);
        let number =
            number.ok_or_else(|| self.bad(format!("{}.{suffix} is missing", self.name)))?;
        Ok((number, &self.layers.tensors[number].1))
    }

    /// Adds a companion of one of these types and of `numbers` numbers.
    fn add(&mut self, suffix: &str, dtypes: &[Dtype], numbers: u64) -> Result<()> {
        let (number, info) = self.companion(suffix)?;
        let found = info.shape.iter().map(|&side| side as u64).product::<u64>();
        if !dtypes.contains(&info.dtype) || found != numbers {
            return Err(self.bad(format!(
                "{}.{suffix} has {found} numbers of type {} instead of {numbers} of type {}",
                self.name, info.dtype, dtypes[0],
            )));
        }
        self.take(number);
        Ok(())
    }

    fn take(&mut self, number: usize) {
        self.companions.push(place_of(&self.layers.tensors[number].1, self.layers.data));
        self.used[number] = true;
    }

    /// Adds the scale `number`: one for the tensor, or one for each row.
    fn scale(&mut self, number: usize) -> Result<ScaleScope> {
        let info = &self.layers.tensors[number].1;
        let scope = match &info.shape[..] {
            [] | [1] | [1, 1] => ScaleScope::Tensor,
            &[rows, 1] if rows as u64 == self.rows => ScaleScope::Row,
            other => {
                return Err(self.bad(format!(
                    "its scale has the shape {other:?}, not one number or one for each row"
                )));
            }
        };
        if info.dtype != Dtype::F32 {
            return Err(self.bad(format!("its scale has the type {} instead of F32", info.dtype)));
        }
        self.take(number);
        Ok(scope)
    }

    /// The weight with its companions, as its JSON describes it.
    fn stored(mut self, quantization: &LayerQuantization) -> Result<StoredTensor> {
        let width = self.info.shape[1];
        for unread in ["pre_quant_scale", "weight_correction"] {
            if self.first_of(&[unread]).is_some() {
                return Err(self.bad(format!("it has a {unread}, which is not read")));
            }
        }
        let (format, width) = match quantization.format.as_str() {
            name @ ("float8_e4m3fn" | "float8_e5m2") => {
                let (number, dtype) = match name {
                    "float8_e5m2" => (Number::F8E5m2, Dtype::F8_E5M2),
                    _ => (Number::F8E4m3, Dtype::F8_E4M3),
                };
                self.is(dtype)?;
                let (scale, _) = self.companion("weight_scale")?;
                (ScaledFormat::Float8(number, self.scale(scale)?), width)
            }
            "int8_tensorwise" => {
                self.is(Dtype::I8)?;
                let (scale, _) = self.companion("weight_scale")?;
                let rotation =
                    quantization.is_rotated().then(|| self.rotation(quantization, width));
                (ScaledFormat::Int8(self.scale(scale)?, rotation.transpose()?), width)
            }
            "convrot_w4a4" => {
                self.is(Dtype::I8)?;
                self.add("weight_scale", &[Dtype::F32], self.rows)?;
                (ScaledFormat::Int4(self.rotation(quantization, 2 * width)?), 2 * width)
            }
            "asym_w4a8_int8" => self.grouped(quantization)?,
            "mxfp8" => {
                self.is(Dtype::F8_E4M3)?;
                let tiles = tiled(self.rows, width.div_ceil(32));
                self.whole(width, 32)?;
                self.add("weight_scale", &[Dtype::F8_E8M0, Dtype::U8], tiles)?;
                (ScaledFormat::Mxfp8, width)
            }
            "nvfp4" => {
                self.is(Dtype::U8)?;
                let width = 2 * width;
                self.whole(width, 16)?;
                self.add(
                    "weight_scale",
                    &[Dtype::F8_E4M3, Dtype::U8],
                    tiled(self.rows, width / 16),
                )?;
                self.add("weight_scale_2", &[Dtype::F32], 1)?;
                (ScaledFormat::Nvfp4, width)
            }
            other => {
                let other = other.escape_debug();
                return Err(self.bad(format!("its quantisation `{other}` is not known")));
            }
        };
        self.finish(format, width)
    }

    fn grouped(&mut self, quantization: &LayerQuantization) -> Result<(ScaledFormat, usize)> {
        self.is(Dtype::I8)?;
        let row_bytes = self.info.shape[1];
        let (_, relative) = self.companion("weight_s_rel")?;
        let group = quantization.group();
        let (&[_, groups], 4..=4096) = (&relative.shape[..], group) else {
            return Err(self.bad("its groups of scales have an unknown shape"));
        };
        let scales = match relative.dtype {
            Dtype::F32 => Number::F32,
            _ => Number::F8E4m3,
        };
        let width = (groups as u64).saturating_mul(group);
        let bits = (row_bytes as u64 * 8).checked_div(width).unwrap_or(0);
        if !matches!(bits, 4 | 6) || bits * width != row_bytes as u64 * 8 || width > WIDTH_LIMIT {
            return Err(self.bad(format!(
                "its rows have {row_bytes} bytes for {width} numbers, not 4 or 6 bits each"
            )));
        }
        let rotation = self.rotation(quantization, width as usize)?;
        let float8 = [Dtype::F8_E4M3, Dtype::U8, Dtype::F32];
        self.add("weight_s_rel", &float8, self.rows * groups as u64)?;
        self.add("weight_s_channel", &[Dtype::F32], self.rows)?;
        let codebook = self.first_of(&["weight_codebook"]).is_some();
        if codebook && bits == 6 {
            return Err(self.bad("it has a codebook, but its codes have 6 bits"));
        }
        if codebook {
            self.add("weight_codebook", &[Dtype::F32], 16)?;
        }
        let (bits, group) = (bits as u8, group as u32);
        let format = ScaledFormat::Grouped { bits, group, scales, codebook, rotation };
        Ok((format, width as usize))
    }

    /// The rotation of rows of `width` numbers.
    fn rotation(&self, quantization: &LayerQuantization, width: usize) -> Result<Rotation> {
        let size = quantization.rotation();
        let rotation = Rotation::new(size).filter(|rotation| width.is_multiple_of(rotation.size()));
        rotation.ok_or_else(|| {
            self.bad(format!("its rows of {width} numbers cannot be rotated in groups of {size}"))
        })
    }

    fn is(&self, dtype: Dtype) -> Result<()> {
        if self.info.dtype == dtype {
            return Ok(());
        }
        Err(self.bad(format!("it has the type {} instead of {dtype}", self.info.dtype)))
    }

    fn whole(&self, width: usize, block: usize) -> Result<()> {
        if width.is_multiple_of(block) {
            return Ok(());
        }
        Err(self.bad(format!("its rows of {width} numbers are no whole blocks of {block}")))
    }

    fn finish(self, format: ScaledFormat, width: usize) -> Result<StoredTensor> {
        let Companion { offset, bytes } = place_of(self.info, self.layers.data);
        Ok(StoredTensor {
            encoding: Encoding::Scaled(format),
            shape: vec![self.rows as i64, width as i64],
            offset,
            bytes,
            first_row: 0,
            companions: self.companions,
        })
    }
}

/// Scales of `rows` rows of `blocks` blocks in tiles of 128 rows and 4 columns, as cuBLAS reads them.
fn tiled(rows: u64, blocks: usize) -> u64 {
    rows.next_multiple_of(128).saturating_mul((blocks as u64).next_multiple_of(4))
}
