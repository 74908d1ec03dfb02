//! The cut of maps into strips: which maps, and how high.

use std::ops::Range;

use zimage_checkpoint::StripRule;
use zimage_cuda::Pieces;

use crate::ops::MapShape;

/// A rule for cutting maps into strips. It depends on the map's size alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Positions of the smallest map that is cut.
    pub(super) from: i64,
    /// Positions that are convolved at a time at least.
    pub(super) least: i64,
    /// Parts at most, of more positions.
    pub(super) most: i64,
    /// Rows by which a strip is lower than what is convolved at a time: two convolutions and a strip that
    /// begins within a row reach so far beside it.
    pub(super) beside: i64,
}

impl Cut {
    /// That of memory plans.
    pub(super) const USUAL: Self = {
        let StripRule { from, least, most, beside } = StripRule::USUAL;
        Self { from, least, most, beside }
    };

    pub(super) fn is_in_strips(self, shape: MapShape) -> bool {
        self.rule().is_in_strips(shape.positions())
    }

    fn rule(self) -> StripRule {
        let Self { from, least, most, beside } = self;
        StripRule { from, least, most, beside }
    }

    /// How many rows of a map a convolution computes at a time if the map is large: in strips and whole
    /// alike.
    pub(super) fn convolved_rows(shape: MapShape) -> Option<i64> {
        Self::USUAL.is_in_strips(shape).then(|| Self::USUAL.at_a_time(shape))
    }

    fn at_a_time(self, shape: MapShape) -> i64 {
        self.rule().at_a_time(shape.h, shape.w)
    }

    /// How many strips a map has, of rows as equal as can be: cuDNN makes a plan for each height.
    pub(super) fn count(self, shape: MapShape) -> i64 {
        self.rule().count(shape.h, shape.w)
    }

    /// The rows of each strip.
    pub(super) fn strips(self, shape: MapShape) -> impl Iterator<Item = Range<i64>> {
        parts(shape.h, self.count(shape))
    }

    /// The positions of each strip, in whole pieces.
    pub(super) fn strips_of_pieces(
        self,
        shape: MapShape,
        pieces: Pieces,
    ) -> impl Iterator<Item = Range<i64>> {
        let end = move |piece: i64| (piece * pieces.per_piece()).min(pieces.positions());
        let count = self.count(shape).min(pieces.count());
        parts(pieces.count(), count).map(move |range| end(range.start)..end(range.end))
    }
}

/// The rows that hold these positions of a map.
pub(super) fn rows_of(positions: &Range<i64>, w: i64) -> Range<i64> {
    positions.start / w..(positions.end + w - 1) / w
}

fn parts(length: i64, count: i64) -> impl Iterator<Item = Range<i64>> {
    (0..count).map(move |i| i * length / count..(i + 1) * length / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_a_map_once_in_order() {
        let odd = Cut { from: 1, least: 100, most: 7, beside: 0 };
        let single = Cut { from: 1, least: 1, most: i64::MAX, beside: 0 };
        for (h, w, per_piece) in [
            (1024, 1024, 512),
            (1040, 1072, 545),
            (2048, 512, 512),
            (37, 21, 21),
            (5, 300, 7),
            (1, 1, 9),
        ] {
            let shape = MapShape { channels: 8, h, w };
            let pieces = Pieces::new(h * w, per_piece);
            for cut in [Cut::USUAL, odd, single] {
                let rows: Vec<_> = cut.strips(shape).collect();
                assert_eq!(rows.len() as i64, cut.count(shape));
                let positions: Vec<_> = cut.strips_of_pieces(shape, pieces).collect();
                for (ranges, end) in [(rows, h), (positions.clone(), h * w)] {
                    assert!(ranges.iter().all(|range| !range.is_empty()));
                    assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
                    assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, end));
                }
                for range in positions {
                    assert_eq!(range.start % per_piece, 0);
                    let rows = rows_of(&range, w);
                    assert!(rows.start * w <= range.start && range.end <= rows.end * w);
                    assert!(rows.end <= h);
                }
            }
        }
    }

    #[test]
    fn what_strips_reach_is_convolved_at_a_time() {
        for (h, w) in [
            (512, 512),
            (536, 520),
            (768, 512),
            (1024, 1024),
            (1072, 1040),
            (1536, 1024),
            (2048, 2048),
            (512, 2048),
            (2048, 512),
        ] {
            let shape = MapShape { channels: 128, h, w };
            let height = Cut::convolved_rows(shape).unwrap();
            assert!((1 << 14..=1 << 17).contains(&(height * w)), "{height} rows of {shape:?}");
            let pieces = Pieces::new(h * w, w / 2);
            let positions = Cut::USUAL.strips_of_pieces(shape, pieces);
            let strips = Cut::USUAL.strips(shape).chain(positions.map(|range| rows_of(&range, w)));
            for rows in strips {
                // The second of two convolutions reaches a row above and below.
                assert!(rows.end - rows.start + 2 <= height, "{rows:?} of {shape:?}, {height}");
            }
        }
        assert!(Cut::convolved_rows(MapShape { channels: 512, h: 256, w: 256 }).is_none());
    }
}
