//! The images of a request: files as base64, and what to make of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zimg_image::{InputFit, InputMargins, InputRequest, MaskChoice};

use crate::daemon::{InputFiles, SentFile};
use crate::problem::Problem;

/// The strongest blur of a mask in pixels.
const BLUR_MAX: f32 = 64.0;

/// A file of a request.
#[derive(Deserialize)]
#[serde(tag = "role", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum SentImage {
    /// What the job starts from.
    Initial {
        data: String,
        /// The file's, which images made from it record.
        name: Option<String>,
        #[serde(default)]
        fit: Fit,
        /// Left, top, right, bottom.
        #[serde(default)]
        margins: [u32; 4],
    },
    /// Its white parts may change.
    Mask {
        data: String,
        name: Option<String>,
        #[serde(default)]
        invert: bool,
        #[serde(default)]
        blur: f32,
    },
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fit {
    #[default]
    Crop,
    Pad,
    Stretch,
}

/// The files of a request; none if it has no image.
pub(super) fn files(images: Vec<SentImage>) -> Result<Option<InputFiles>, Problem> {
    let wrong = |message: &str| Problem::invalid(message).param("images");
    let (mut initial, mut mask) = (None, None);
    let mut request = InputRequest::default();
    for image in images {
        let (role, data, name) = match image {
            SentImage::Initial { data, name, fit, margins: [left, top, right, bottom] } => {
                request.fit = match fit {
                    Fit::Crop => InputFit::Crop,
                    Fit::Pad => InputFit::Pad,
                    Fit::Stretch => InputFit::Stretch,
                };
                request.margins = InputMargins { left, top, right, bottom };
                (&mut initial, data, name)
            }
            SentImage::Mask { data, name, invert, blur } => {
                if !(0.0..=BLUR_MAX).contains(&blur) {
                    return Err(wrong("`blur` is expected from 0 to 64"));
                }
                request.mask = MaskChoice::File;
                (request.invert_mask, request.mask_blur) = (invert, blur);
                (&mut mask, data, name)
            }
        };
        let data = STANDARD.decode(data.trim()).map_err(|_| wrong("`data` is no base64"))?;
        if role.replace(SentFile { name, bytes: data.into() }).is_some() {
            return Err(wrong("`images` has two of one role, expected one"));
        }
    }
    match (initial, mask) {
        (Some(initial), mask) => Ok(Some(InputFiles { initial, mask, request })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(wrong("`images` has a mask without an initial image")),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(json: &str) -> Result<Option<InputFiles>, Problem> {
        files(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_image_and_its_mask_have_what_is_to_be_made_of_them() {
        let both = r#"[{"role": "mask", "data": "QQ==", "invert": true, "blur": 4},
            {"role": "initial", "data": "Qg==", "name": "b.png", "fit": "pad", "margins": [1, 2, 3, 4]}]"#;
        let files = read(both).unwrap().unwrap();
        let initial = SentFile { name: Some("b.png".to_owned()), bytes: "B".into() };
        assert_eq!((files.initial, files.mask), (initial, Some(SentFile::from(Bytes::from("A")))));
        let margins = InputMargins { left: 1, top: 2, right: 3, bottom: 4 };
        let expected = InputRequest {
            fit: InputFit::Pad,
            margins,
            mask: MaskChoice::File,
            invert_mask: true,
            mask_blur: 4.0,
            ..InputRequest::default()
        };
        assert_eq!(files.request, expected);
        assert!(read("[]").unwrap().is_none());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let initial = r#"{"role": "initial", "data": "QQ=="}"#;
        for wrong in [
            r#"[{"role": "mask", "data": "QQ=="}]"#.to_owned(),
            format!("[{initial}, {initial}]"),
            r#"[{"role": "initial", "data": "?"}]"#.to_owned(),
            format!(r#"[{initial}, {{"role": "mask", "data": "QQ==", "blur": 65}}]"#),
            format!(r#"[{initial}, {{"role": "mask", "data": "QQ==", "blur": -1}}]"#),
        ] {
            assert_eq!(read(&wrong).unwrap_err().parameter(), Some("images"), "{wrong}");
        }
        for unknown in [r#"[{"role": "control", "data": ""}]"#, r#"[{"role": "initial"}]"#] {
            assert!(serde_json::from_str::<Vec<SentImage>>(unknown).is_err());
        }
    }
}
