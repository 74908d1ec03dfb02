//! PNG, fast, with the metadata as text.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use crate::metadata::GenerationMetadata;
use crate::metadata::keywords::{JSON_KEYWORD, PARAMETERS_KEYWORD};
use crate::pixels::Pixels;

/// Writes a PNG file. Fast compression is a deflate made for PNG: at 1024x1024 the default takes
/// many times as long and is hardly smaller (`examples/encode.rs` measures it).
pub(crate) fn encode(
    bytes: &mut Vec<u8>,
    pixels: Pixels<'_>,
    metadata: Option<&GenerationMetadata>,
) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(bytes, pixels.width, pixels.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    if let Some(metadata) = metadata {
        let text = metadata.to_parameters();
        // As the programs do that read it: the plain chunk where Latin-1 can say it.
        if is_latin_1_alone(&text) {
            encoder.add_text_chunk(PARAMETERS_KEYWORD.to_owned(), text)?;
        } else {
            encoder.add_itxt_chunk(PARAMETERS_KEYWORD.to_owned(), text)?;
        }
        encoder.add_text_chunk(JSON_KEYWORD.to_owned(), metadata.to_ascii_json())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels.rgb)?;
    writer.finish()
}

/// Whether the text as Latin-1 is read as it is meant: readers take what is UTF-8 for UTF-8, too.
fn is_latin_1_alone(text: &str) -> bool {
    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    bytes.is_ok_and(|bytes| text.is_ascii() || str::from_utf8(&bytes).is_err())
}
