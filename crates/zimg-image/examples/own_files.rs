//! Files with generation metadata in each format, for `contrib/lab/metadata`: `own_files FOLDER`.

use std::path::Path;

use zimg_image::{Encoding, GenerationMetadata, ImageFormat, Pixels};

/// With letters beyond Latin-1, quotes, two lines and a 64-bit seed.
const METADATA: &str = r#"{"prompt":"a red fox,\nin the \"snow\" ❄ café","negative":"a dog",
    "width":64,"height":64,"steps":8,"seed":18446744073709551615,"guidance":4.0,
    "guidance_truncation":0.75,"model":"Z-Image-Turbo","dtype":"bfloat16","device":"cpu",
    "program":"zimg 0.1.0"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("no folder is given")?;
    let metadata = GenerationMetadata::from_json(METADATA);
    let rgb: Vec<u8> = (0..64).flat_map(|y| (0..64).flat_map(move |x| [4 * x, 4 * y, 9])).collect();
    let pixels = Pixels { width: 64, height: 64, rgb: &rgb };
    let folder = Path::new(&folder);
    let files =
        [("own.png", None), ("own.jpg", None), ("own.webp", None), ("lossy.webp", Some(80))];
    for (name, quality) in files {
        let path = folder.join(name);
        let format = ImageFormat::of(&path).ok_or("the format is unknown")?;
        std::fs::write(path, format.encode(pixels, Encoding { quality }, metadata.as_ref())?)?;
    }
    // A plain prompt with each guidance, for readers of the parameters text.
    for guidance in [0.0, 0.5, 1.0, 4.0, 6.5] {
        let mut metadata = metadata.clone().ok_or("the metadata is not read")?;
        metadata.params.prompt = "a red fox, in the snow".to_owned();
        metadata.params.guidance = Some(guidance);
        let bytes = ImageFormat::Png.encode(pixels, Encoding::default(), Some(&metadata))?;
        std::fs::write(folder.join(format!("guidance-{guidance}.png")), bytes)?;
    }
    Ok(())
}
