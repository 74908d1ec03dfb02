//! Edges, as OpenCV's `Canny` finds them with thresholds of 100 and 200: what ControlNets are trained with.
//!
//! Source of the algorithm: J. Canny, *A Computational Approach to Edge Detection* (1986), in OpenCV's
//! variant (`modules/imgproc/src/canny.cpp`): Sobel's gradients of 3x3 with borders repeated, of each
//! pixel those of the channel in which they are strongest, their norm the sum of both, directions told by
//! the tangent of 22.5 degrees in 15 bits. No blur comes before.

/// Above the first, what is connected with an edge is one; above the second anything is.
const LOW: i32 = 100;
const HIGH: i32 = 200;
/// The tangent of 22.5 degrees, times 2^15.
const TAN_22: i64 = 13573;
const SHIFT: u32 = 15;

/// White edges on black, a byte a pixel, of RGB.
pub(super) fn edges(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    let gradients = Gradients::of(rgb, width, height);
    let mut edges = vec![0; width * height];
    let mut strong = Vec::new();
    let mut candidates = vec![false; width * height];
    for y in 0..height {
        for x in 0..width {
            if gradients.is_crest(x, y) {
                let at = y * width + x;
                candidates[at] = true;
                if gradients.norm[at] > HIGH {
                    strong.push(at);
                }
            }
        }
    }
    while let Some(at) = strong.pop() {
        if edges[at] == 255 {
            continue;
        }
        edges[at] = 255;
        let (x, y) = (at % width, at / width);
        for near_y in y.saturating_sub(1)..(y + 2).min(height) {
            for near_x in x.saturating_sub(1)..(x + 2).min(width) {
                let near = near_y * width + near_x;
                if candidates[near] && edges[near] == 0 {
                    strong.push(near);
                }
            }
        }
    }
    edges
}

/// Of each pixel the gradients of one channel, and their norm.
struct Gradients {
    width: usize,
    height: usize,
    x: Vec<i32>,
    y: Vec<i32>,
    norm: Vec<i32>,
}

impl Gradients {
    fn of(rgb: &[u8], width: usize, height: usize) -> Self {
        let at = |x: i64, y: i64, channel: usize| -> i32 {
            let x = x.clamp(0, width as i64 - 1) as usize;
            let y = y.clamp(0, height as i64 - 1) as usize;
            i32::from(rgb[3 * (y * width + x) + channel])
        };
        let mut all = Self { width, height, x: Vec::new(), y: Vec::new(), norm: Vec::new() };
        for row in 0..height as i64 {
            for column in 0..width as i64 {
                let mut found = (0, 0, -1);
                for channel in 0..3 {
                    let value = |dx: i64, dy: i64| at(column + dx, row + dy, channel);
                    let side = |dx: i64| value(dx, -1) + 2 * value(dx, 0) + value(dx, 1);
                    let edge = |dy: i64| value(-1, dy) + 2 * value(0, dy) + value(1, dy);
                    let (x, y) = (side(1) - side(-1), edge(1) - edge(-1));
                    let norm = x.abs() + y.abs();
                    // Of equal ones the first.
                    if norm > found.2 {
                        found = (x, y, norm);
                    }
                }
                all.x.push(found.0);
                all.y.push(found.1);
                all.norm.push(found.2);
            }
        }
        all
    }

    /// The norm of a pixel, 0 outside.
    fn norm_at(&self, x: i64, y: i64) -> i32 {
        let is_inside = (0..self.width as i64).contains(&x) && (0..self.height as i64).contains(&y);
        if is_inside { self.norm[y as usize * self.width + x as usize] } else { 0 }
    }

    /// Whether the norm is above the lower threshold and the largest across the edge.
    fn is_crest(&self, x: usize, y: usize) -> bool {
        let at = y * self.width + x;
        let norm = self.norm[at];
        if norm <= LOW {
            return false;
        }
        let (gx, gy) = (i64::from(self.x[at]), i64::from(self.y[at]));
        let (column, row) = (x as i64, y as i64);
        let (steep, flat) = (gy.abs() << SHIFT, gx.abs() * TAN_22);
        let ([before, after], equal_after) = if steep < flat {
            ([(column - 1, row), (column + 1, row)], true)
        } else if steep > flat + (gx.abs() << (SHIFT + 1)) {
            ([(column, row - 1), (column, row + 1)], true)
        } else {
            let side = if (gx ^ gy) < 0 { -1 } else { 1 };
            ([(column - side, row - 1), (column + side, row + 1)], false)
        };
        let [before, after] = [before, after].map(|(x, y)| self.norm_at(x, y));
        norm > before && if equal_after { norm >= after } else { norm > after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_image_has_no_edges_and_a_step_has_one() {
        assert!(edges(&[90; 3 * 12 * 8], 12, 8).iter().all(|value| *value == 0));
        let step: Vec<u8> =
            (0..12 * 8).flat_map(|at| [if at % 12 < 5 { 0 } else { 200 }; 3]).collect();
        let found = edges(&step, 12, 8);
        for row in found.chunks_exact(12) {
            assert_eq!(row.iter().filter(|value| **value == 255).count(), 1);
            assert_eq!(row[4], 255);
        }
    }
}
