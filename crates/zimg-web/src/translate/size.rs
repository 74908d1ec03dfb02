//! Image sizes as text: `auto` or WIDTHxHEIGHT.

use zimg_client::params::Params;
use zimg_client::params::limits::{SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, nearest_side, side_fits};

use crate::problem::{Problem, Reason};

/// Sets both sides from the text of the field `size`; `auto` leaves them to the model.
pub(crate) fn set_size(params: &mut Params, text: &str) -> Result<(), Problem> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(());
    }
    let expected = || {
        format!(
            "expected auto or WIDTHxHEIGHT with sides that are multiples of {SIZE_MULTIPLE} from \
             {SIZE_MIN} to {SIZE_MAX}"
        )
    };
    let sides = text.split_once(['x', 'X']).and_then(|(w, h)| side(w).zip(side(h)));
    let Some((width, height)) = sides else {
        let message = format!("`size` is no size, {}", expected());
        return Err(Problem::new(Reason::Invalid, message).param("size"));
    };
    if !side_fits(width) || !side_fits(height) {
        let nearest = format!("{}x{}", nearest_side(width), nearest_side(height));
        let message = format!("`size` is {width}x{height}, {}", expected());
        let hint = format!("the nearest valid size is {nearest}");
        return Err(Problem::new(Reason::Invalid, message).hint(hint).param("size"));
    }
    (params.width, params.height) = (Some(width), Some(height));
    Ok(())
}

/// Digits alone: `parse` would take a sign.
fn side(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Option<u32>, Option<u32>), Problem> {
        let mut params = Params::new("");
        set_size(&mut params, text).map(|()| (params.width, params.height))
    }

    #[test]
    fn sizes_are_read_or_refused_with_the_nearest() {
        assert_eq!(read("auto"), Ok((None, None)));
        assert_eq!(read("1024x768"), Ok((Some(1024), Some(768))));
        assert_eq!(read("64X2048"), Ok((Some(64), Some(2048))));
        for bad in [
            "",
            "x",
            "1024",
            "1024x",
            "1024x1024x3",
            "+64x64",
            "-64x64",
            "1e3x64",
            "99999999999x64",
            "1024×1024",
            " 64x64",
        ] {
            let problem = read(bad).unwrap_err();
            assert_eq!(problem.parameter(), Some("size"), "{bad}");
        }
        let problem = read("1000x4096").unwrap_err();
        assert_eq!(problem.ours()["error"]["hint"], "the nearest valid size is 1008x2048");
    }
}
