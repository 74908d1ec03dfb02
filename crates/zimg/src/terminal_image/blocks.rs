//! Half-block encoder: an upper half block in the colour of the upper pixel, on the colour of the
//! lower one.

use super::cells::{CellArea, ColourDepth};
use zimg_image::{Pixels, scaled};

/// The image as the cells of `area`.
pub(super) fn image(area: CellArea, pixels: Pixels<'_>, colours: ColourDepth) -> String {
    let (width, height) = (area.columns, 2 * area.rows);
    let rgb = scaled(pixels, width, height);
    let line = 3 * width as usize;
    let mut text = String::new();
    for (number, rows) in rgb.chunks_exact(2 * line).enumerate() {
        if number > 0 {
            text += "\r\n";
        }
        let (upper, lower) = rows.split_at(line);
        let mut last = None;
        for (upper, lower) in upper.chunks_exact(3).zip(lower.chunks_exact(3)) {
            if last != Some((upper, lower)) {
                text +=
                    &format!("\x1b[38;{};48;{}m", colour(upper, colours), colour(lower, colours));
                last = Some((upper, lower));
            }
            text.push('▀');
        }
        text += "\x1b[0m";
    }
    text
}

fn colour(rgb: &[u8], colours: ColourDepth) -> String {
    let [red, green, blue] = [0, 1, 2].map(|i| rgb.get(i).copied().unwrap_or_default());
    match colours {
        ColourDepth::True => format!("2;{red};{green};{blue}"),
        ColourDepth::Palette => format!("5;{}", nearest([red, green, blue])),
    }
}

/// The index of the nearest colour of xterm.
fn nearest(rgb: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let level =
        |value: u8| (0..6_u8).min_by_key(|&i| LEVELS[usize::from(i)].abs_diff(value)).unwrap_or(0);
    let cube = rgb.map(level);
    let grey = (0..24_u8)
        .min_by_key(|i| rgb.iter().map(|v| u32::from(v.abs_diff(8 + 10 * i))).sum::<u32>())
        .unwrap_or(0);
    let distance = |other: [u8; 3]| {
        rgb.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>()
    };
    if distance(cube.map(|i| LEVELS[usize::from(i)])) <= distance([8 + 10 * grey; 3]) {
        16 + 36 * cube[0] + 6 * cube[1] + cube[2]
    } else {
        232 + grey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pixels_are_a_character() {
        let rgb = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [7, 8, 9]].concat();
        let pixels = Pixels { width: 1, height: 4, rgb: &rgb };
        assert_eq!(
            image(CellArea { columns: 1, rows: 2 }, pixels, ColourDepth::True),
            "\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m\r\n\x1b[38;2;7;8;9;48;2;7;8;9m▀\x1b[0m"
        );
    }

    #[test]
    fn few_colours_are_the_nearest() {
        assert_eq!(nearest([0, 0, 0]), 16);
        assert_eq!(nearest([255, 255, 255]), 231);
        assert_eq!(nearest([250, 5, 10]), 196);
        assert_eq!(nearest([129, 127, 128]), 244);
    }
}
