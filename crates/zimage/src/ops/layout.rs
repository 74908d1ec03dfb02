//! The layout of feature maps: NHWC as rows of a matrix, and rows of the image in either layout.

use std::ops::Range;

use tch::Tensor;

use crate::error::Result;

/// `[1, channels, h, w]` as rows `[h · w, channels]`: a view, if the strides are NHWC.
pub(crate) fn to_rows(x: &Tensor) -> Result<Tensor> {
    let (_, channels, h, w) = x.size4()?;
    Ok(x.f_permute([0, 2, 3, 1])?.f_view([h * w, channels])?)
}

/// The inverse of [`to_rows`]: a view.
pub(crate) fn from_rows(rows: &Tensor, (h, w): (i64, i64)) -> Result<Tensor> {
    let channels = rows.size2()?.1;
    Ok(rows.f_view([1, h, w, channels])?.f_permute([0, 3, 1, 2])?)
}

/// `[n, channels, h, w]` with the strides of `[n, h, w, channels]`.
pub(crate) fn to_nhwc(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

/// Rows of an image `[1, channels, h, w]`: a view.
pub(crate) fn image_rows(x: &Tensor, rows: &Range<i64>) -> Result<Tensor> {
    Ok(x.f_narrow(2, rows.start, rows.end - rows.start)?)
}

/// Rows of an image in NHWC with the strides of an image of their own, which libraries choose kernels by:
/// a view.
pub(crate) fn standing_alone(rows: &Tensor) -> Result<Tensor> {
    let (_, channels, h, w) = rows.size4()?;
    let stride = [channels * h * w, 1, w * channels, channels];
    Ok(rows.f_as_strided([1, channels, h, w], stride, None)?)
}

/// Images of one width below each other, in the layout of the first.
pub(crate) fn stack_images(images: &[Tensor]) -> Result<Tensor> {
    in_layout_of(&images[0], |axis, order| {
        let images = images.iter().map(|image| image.f_permute(order));
        Ok(Tensor::f_cat(&images.collect::<std::result::Result<Vec<_>, _>>()?, axis)?)
    })
}

/// An image with rows of zeros above and below it, in its layout.
pub(crate) fn pad_rows(x: &Tensor, above: i64, below: i64) -> Result<Tensor> {
    if (above, below) == (0, 0) {
        return Ok(x.shallow_clone());
    }
    in_layout_of(x, |axis, order| {
        // Padding is stated from the last axis on.
        let (last, padding) = (3 - axis as usize, [0, 0, 0, 0, above, below]);
        Ok(x.f_permute(order)?.f_constant_pad_nd(&padding[4 - 2 * last..])?)
    })
}

/// Uninitialised memory for an image of `h` rows like those of `x`, in its layout.
pub(crate) fn empty_image(x: &Tensor, h: i64) -> Result<Tensor> {
    let (_, channels, _, w) = x.size4()?;
    in_layout_of(x, |axis, _| {
        let shape = if axis == 1 { [1, h, w, channels] } else { [1, channels, h, w] };
        Ok(Tensor::f_empty(shape, (x.f_kind()?, x.device()))?)
    })
}

/// A copy of an image, in its layout.
pub(crate) fn copy_image(x: &Tensor) -> Result<Tensor> {
    let mut copy = empty_image(x, x.size()[2])?;
    copy.f_copy_(x)?;
    Ok(copy)
}

/// Runs `work` in the layout of an image, NHWC or NCHW: it gets the axis of the image's rows and the
/// order of the axes there. What it returns is brought back to `[1, channels, h, w]` as a view.
fn in_layout_of(x: &Tensor, work: impl FnOnce(i64, [i64; 4]) -> Result<Tensor>) -> Result<Tensor> {
    let is_nhwc = x.size()[1] > 1 && x.stride()[1] == 1;
    if is_nhwc {
        return Ok(work(1, [0, 2, 3, 1])?.f_permute([0, 3, 1, 2])?);
    }
    work(2, [0, 1, 2, 3])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn nhwc_is_another_order_of_the_same_map() {
        let x = Tensor::randn([1, 8, 3, 5], FLOAT);
        let nhwc = to_nhwc(&x).unwrap();
        assert!(nhwc == x && !nhwc.is_contiguous());
        let rows = to_rows(&nhwc).unwrap();
        assert_eq!(rows.size(), [15, 8]);
        assert_eq!(rows.data_ptr(), nhwc.data_ptr());
        assert_eq!(rows.double_value(&[7, 2]), x.double_value(&[0, 2, 1, 2]));
        assert!(from_rows(&rows, (3, 5)).unwrap() == x);
    }

    #[test]
    fn rows_keep_the_layout_of_their_image() {
        for (channels, w) in [(8, 5), (3, 1), (2, 9)] {
            let x = Tensor::randn([1, channels, 6, w], FLOAT);
            for image in [x.shallow_clone(), to_nhwc(&x).unwrap()] {
                let parts = [0..1, 1..4, 4..6].map(|rows| image_rows(&image, &rows).unwrap());
                let whole = stack_images(&parts).unwrap();
                assert!(whole == x && whole.stride() == image.stride());
                let padded = pad_rows(&parts[1], 1, 2).unwrap();
                assert_eq!(padded.size(), [1, channels, 6, w]);
                assert!(image_rows(&padded, &(1..4)).unwrap() == parts[1]);
                assert_eq!(padded.stride(), image.stride());
                let zeros = [0..1, 4..6].map(|rows| image_rows(&padded, &rows).unwrap());
                assert!(zeros.iter().all(|rows| rows.abs().max().double_value(&[]) == 0.0));
                assert_eq!(empty_image(&parts[0], 6).unwrap().stride(), image.stride());
                assert!(copy_image(&parts[2]).unwrap() == parts[2]);
            }
        }
    }
}
