//! Fills a diffusers folder with random weights of the sizes that its configurations name: for tests of
//! memory, whose images are noise.
//!
//! usage: `random_checkpoint FOLDER`: weights that are there are replaced

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use zimage_checkpoint::{Checkpoint, Component};

/// Numbers that are repeated: a multiple of no matrix's width.
const PATTERN: usize = (1 << 20) + 3;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: random_checkpoint FOLDER")?;
    let folder = Path::new(&folder);
    let checkpoint = Checkpoint::open(folder)?;
    for (component, name) in [
        (Component::TextEncoder, "text_encoder/model.safetensors"),
        (Component::Transformer, "transformer/diffusion_pytorch_model.safetensors"),
        (Component::Vae, "vae/diffusion_pytorch_model.safetensors"),
    ] {
        let file = folder.join(name);
        let is_weight = |path: &Path| path.to_string_lossy().contains(".safetensors");
        for entry in fs::read_dir(file.parent().ok_or("a file has a folder")?)? {
            let path = entry?.path();
            if is_weight(&path) {
                fs::remove_file(path)?;
            }
        }
        write(&file, &checkpoint, component)?;
    }
    Ok(())
}

fn write(file: &Path, checkpoint: &Checkpoint, component: Component) -> Result<(), Box<dyn Error>> {
    let tensors = checkpoint.architecture(component).tensors;
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for tensor in &tensors {
        let end = at + 2 * tensor.shape.iter().product::<i64>();
        let entry =
            serde_json::json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [at, end]});
        header.insert(tensor.name.clone(), entry);
        at = end;
    }
    let header = serde_json::to_vec(&header)?;
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for tensor in &tensors {
        let mut left = tensor.shape.iter().product::<i64>() as usize;
        let inputs: i64 = tensor.shape.iter().skip(1).product();
        // Of one dimension are norms, which are 1, and biases.
        let pattern: Vec<u8> = match (tensor.shape.len(), tensor.name.ends_with("bias")) {
            (1, false) => numbers(left.min(PATTERN), || 1.0),
            _ => {
                let most = (3.0 / inputs.max(1) as f32).sqrt();
                numbers(left.min(PATTERN), || most * random.next())
            }
        };
        while left > 0 {
            let now = left.min(pattern.len() / 2);
            out.write_all(&pattern[..2 * now])?;
            left -= now;
        }
    }
    Ok(out.into_inner()?.sync_all()?)
}

/// Numbers in bfloat16.
fn numbers(count: usize, mut next: impl FnMut() -> f32) -> Vec<u8> {
    (0..count).flat_map(|_| ((next().to_bits() >> 16) as u16).to_le_bytes()).collect()
}

/// Numbers from -1 to 1, the same ones each time (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
