//! Encoder of kitty's graphics protocol <https://sw.kovidgoyal.net/kitty/graphics-protocol/>, which
//! Ghostty, WezTerm and Konsole have too.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::cells::CellArea;
use zimg_image::{Encoding, ImageFormat, Pixels};

/// Characters of base64 in one escape sequence.
const CHUNK: usize = 4096;

/// A PNG over `area`, without moving the cursor. The number of an image is one a process, so
/// that a later one takes its place.
pub(super) fn image(image: u32, area: CellArea, pixels: Pixels<'_>) -> String {
    let Ok(png) = ImageFormat::Png.encode(pixels, Encoding::default(), None) else {
        return String::new();
    };
    let data = BASE64_STANDARD.encode(png);
    let CellArea { columns, rows } = area;
    let id = id(image);
    // a=T: transmit and show; f=100: PNG; q=2: no answer; C=1: the cursor stays.
    let mut text = format!("\x1b_Ga=T,f=100,i={id},p=1,q=2,C=1,c={columns},r={rows},");
    let mut rest = data.as_str();
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
        let more = u8::from(!after.is_empty());
        text += &format!("m={more};{chunk}\x1b\\");
        if after.is_empty() {
            return text;
        }
        text += "\x1b_G";
        rest = after;
    }
}

/// Deletes the image and its data in the terminal.
pub(super) fn forget(image: u32) -> String {
    format!("\x1b_Ga=d,d=I,i={},q=2\x1b\\", id(image))
}

/// An image id, never 0, which is invalid.
fn id(image: u32) -> u32 {
    (std::process::id() << 8 | image & 0xff) & 0x7fff_ffff | 1 << 30
}
