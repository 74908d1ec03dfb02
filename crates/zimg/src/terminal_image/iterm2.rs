//! Encoder of iTerm2's inline images <https://iterm2.com/documentation-images.html>, which WezTerm,
//! VS Code and mintty have too.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::cells::CellArea;
use zimg_image::{Encoding, ImageFormat, Pixels};

/// A PNG over `area`.
pub(super) fn image(area: CellArea, pixels: Pixels<'_>) -> String {
    let Ok(png) = ImageFormat::Png.encode(pixels, Encoding::default(), None) else {
        return String::new();
    };
    let CellArea { columns, rows } = area;
    let (size, data) = (png.len(), BASE64_STANDARD.encode(png));
    format!(
        "\x1b]1337;File=inline=1;size={size};width={columns};height={rows};\
         preserveAspectRatio=0:{data}\x07"
    )
}
