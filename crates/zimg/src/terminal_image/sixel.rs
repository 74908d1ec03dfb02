//! Sixel encoder (DEC VT340): bands of six rows, each colour by itself.

use color_quant::NeuQuant;

use zimg_image::Pixels;

/// The number of colours that all terminals have.
const COLOURS: usize = 256;
/// How many pixels the palette is learnt from: every so many. 1 is all, 30 the fewest.
const SAMPLE: i32 = 10;

/// The image as `size` pixels.
pub(super) fn image(size: (u32, u32), pixels: Pixels<'_>) -> String {
    let (palette, indices) = quantised(pixels);
    let (width, height) = (size.0 as usize, size.1 as usize);
    let at = |x: usize, y: usize| {
        let (x, y) = (x * pixels.width as usize / width, y * pixels.height as usize / height);
        indices[y * pixels.width as usize + x]
    };
    // 0;1: what is not generated stays as it is. "1;1: a pixel is a square.
    let mut text = format!("\x1bP0;1q\"1;1;{width};{height}");
    for (number, [red, green, blue]) in palette.iter().enumerate() {
        let percent = |value: &u8| (u32::from(*value) * 100 + 127) / 255;
        let [red, green, blue] = [percent(red), percent(green), percent(blue)];
        text += &format!("#{number};2;{red};{green};{blue}");
    }
    for top in (0..height).step_by(6) {
        if top > 0 {
            text.push('-');
        }
        let rows = 6.min(height - top);
        let mut used = [false; COLOURS];
        let band: Vec<u8> = (0..rows)
            .flat_map(|y| (0..width).map(move |x| (x, top + y)))
            .map(|(x, y)| at(x, y))
            .collect();
        band.iter().for_each(|&index| used[usize::from(index)] = true);
        for colour in (0..COLOURS).filter(|&colour| used[colour]) {
            text += &format!("#{colour}");
            let bits = (0..width).map(|x| {
                (0..rows).fold(0, |bits, y| {
                    bits | u8::from(usize::from(band[y * width + x]) == colour) << y
                })
            });
            runs(bits, &mut text);
            text.push('$');
        }
    }
    text + "\x1b\\"
}

/// Six pixels a character; what comes more than thrice is counted.
fn runs(columns: impl Iterator<Item = u8>, text: &mut String) {
    let mut put = |bits: u8, count: usize| {
        let character = char::from(b'?' + bits);
        if count > 3 {
            *text += &format!("!{count}{character}");
        } else {
            text.extend(std::iter::repeat_n(character, count));
        }
    };
    let mut run = (0, 0);
    for bits in columns {
        if run.1 > 0 && bits != run.0 {
            put(run.0, run.1);
            run.1 = 0;
        }
        run = (bits, run.1 + 1);
    }
    // Empty columns at the end need not be said.
    if run.0 != 0 {
        put(run.0, run.1);
    }
}

/// A palette, and for each pixel its colour's number: exact where there are few colours.
fn quantised(pixels: Pixels<'_>) -> (Vec<[u8; 3]>, Vec<u8>) {
    let colours = || pixels.rgb.chunks_exact(3).map(|p| [p[0], p[1], p[2]]);
    let mut palette: Vec<[u8; 3]> = Vec::new();
    for colour in colours() {
        if let Err(place) = palette.binary_search(&colour) {
            palette.insert(place, colour);
            if palette.len() > COLOURS {
                break;
            }
        }
    }
    if palette.len() <= COLOURS {
        let index = |colour| palette.binary_search(&colour).unwrap_or(0) as u8;
        let indices = colours().map(index).collect();
        return (palette, indices);
    }
    let rgba: Vec<u8> = colours().flat_map(|[r, g, b]| [r, g, b, 255]).collect();
    let network = NeuQuant::new(SAMPLE, COLOURS, &rgba);
    let indices = rgba.chunks_exact(4).map(|pixel| network.index_of(pixel) as u8).collect();
    let palette = network.color_map_rgb().chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    (palette, indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_image_to_the_letter() {
        let (red, blue) = ([255, 0, 0], [0, 0, 255]);
        let rgb = [[red; 5].concat(), [&[blue][..], &[red; 4]].concat().concat()].concat();
        let text = image((5, 2), Pixels { width: 5, height: 2, rgb: &rgb });
        let palette = "#0;2;0;0;100#1;2;100;0;0";
        // Blue is the lower left pixel (bit 1); red the upper row, and the lower but its first.
        assert_eq!(text, format!("\x1bP0;1q\"1;1;5;2{palette}#0A$#1@!4B$\x1b\\"));
    }

    #[test]
    fn many_colours_become_256_that_are_near() {
        let rgb: Vec<u8> =
            (0..64_u8).flat_map(|y| (0..64_u8).flat_map(move |x| [4 * x, 4 * y, 128])).collect();
        let (palette, indices) = quantised(Pixels { width: 64, height: 64, rgb: &rgb });
        assert!(palette.len() <= COLOURS);
        let mean = rgb
            .chunks_exact(3)
            .zip(&indices)
            .flat_map(|(pixel, &i)| {
                pixel.iter().zip(palette[usize::from(i)]).map(|(a, b)| u32::from(a.abs_diff(b)))
            })
            .sum::<u32>() as f32
            / rgb.len() as f32;
        assert!(mean < 8.0, "{mean}");
    }
}
