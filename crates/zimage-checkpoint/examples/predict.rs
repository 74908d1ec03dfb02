//! Predicts images of Z-Image-Turbo under memory budgets on GPUs that were not measured here, from their
//! published rates and links; and on the H200 that was.
//!
//! usage: `predict CHECKPOINT DTYPE [SIDE]`: only the headers of the files are read; SIDE is that of square
//! images [1024]. The same code plans in the worker; docs/memory.md has the table.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::path::Path;

use zimage_checkpoint::{Checkpoint, DeviceRates, Forms, MemoryPlan, ModelFootprint, gibibytes};

/// A GPU: its name, memory in GiB, products in TFLOP/s in 16 bits and in float8 (none: 16 bits), and
/// copies in GB/s.
struct Card(&'static str, u64, f64, Option<f64>, f64);

/// Products: 0.8 of the dense peak with sums in float32 that NVIDIA publishes (165, 44, 71, 25, 30, and
/// twice as much in float8 where it exists); the H200's as measured. Links: 0.8 of PCIe 4 x16, 4 x8,
/// 4 x16, 4 x16, 3 x16.
const CARDS: [Card; 6] = [
    Card("H200, measured", 141, 737.0, Some(1200.0), 53.0),
    Card("RTX 4090", 24, 132.0, Some(264.0), 25.0),
    Card("RTX 4060 Ti 16 GB", 16, 35.0, Some(70.0), 12.5),
    Card("RTX 3090", 24, 57.0, None, 25.0),
    Card("RTX 3060 12 GB", 12, 20.0, None, 25.0),
    Card("RTX 2070", 8, 24.0, None, 12.5),
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (folder, dtype, side) = match &args[..] {
        [folder, dtype] => (folder, dtype.as_str(), 1024),
        [folder, dtype, side] => (folder, dtype.as_str(), side.parse::<u64>()?),
        _ => return Err("usage: predict CHECKPOINT DTYPE [SIDE]".into()),
    };
    let checkpoint = Checkpoint::open(Path::new(folder))?;
    let packed = ModelFootprint::is_quantised(&checkpoint)?;
    let forms = Forms::of(dtype, packed).ok_or("DTYPE is bfloat16, float16, float32 or float8")?;
    let model = ModelFootprint::new(&checkpoint, forms, true)?;
    println!("| GPU | 24 GiB | 16 | 12 | 8 | 6 | 4 |\n|---|---|---|---|---|---|---|");
    for Card(name, memory, dense, float8, copy) in CARDS {
        let product = float8.filter(|_| dtype == "float8").unwrap_or(dense) * 1e12;
        let rates = DeviceRates { copy: copy * 1e9, product, dense: dense * 1e12 };
        let cell = |gib: u64| {
            if gib > memory {
                return String::new();
            }
            match MemoryPlan::new(&model, &rates, gib << 30, side * side) {
                Err(error) => format!("needs {}", gibibytes(error.least)),
                Ok(plan) => {
                    let (seen, new) = (plan.seconds.seen, plan.seconds.new_prompt);
                    format!("{seen:.2} s ({new:.2}), {} blocks", plan.resident_blocks)
                }
            }
        };
        println!("| {name} | {} |", [24, 16, 12, 8, 6, 4].map(cell).join(" | "));
    }
    Ok(())
}
