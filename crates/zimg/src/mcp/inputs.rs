//! Images that the tool `draw` starts from: base64, or files of the folder where images are saved.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{Mode, OFlags, open};
use serde_json::{Map, Value as Json};
use zimg_client::{Failure, Params};
use zimg_image::{
    InputDecoder, InputError, InputFile, InputRecord, InputRequest, InputRole, InputSize,
    MaskChoice,
};

use crate::image_inputs::ImageInputs;

/// The arguments that are images.
pub(super) const NAMES: [&str; 2] = ["image", "mask"];

/// The longest file of the folder.
const FILE_MAX: u64 = 64 << 20;

/// A file of a call.
#[derive(Debug)]
struct CallFile {
    /// Its name in the record of the images that are made from it.
    name: String,
    bytes: Vec<u8>,
}

/// Decodes the images of the arguments, and sets what of the parameters follows from them: the size
/// and the record. `folder` is the one where images are saved.
///
/// # Errors
///
/// `Refused`: a mask or a strength without an image, or what is no image.
pub(super) fn read(
    arguments: &Map<String, Json>,
    folder: Option<&Path>,
    params: &mut Params,
) -> Result<Option<ImageInputs>, Failure> {
    let file = |name: &str| {
        let given = arguments.get(name).filter(|given| !given.is_null());
        given.map(|given| CallFile::of(name, given, folder)).transpose()
    };
    let [initial, mask] = NAMES.map(file);
    let (initial, mask) = match (initial?, mask?) {
        (Some(initial), mask) => (initial, mask),
        (None, Some(_)) => {
            let failure = Failure::refused("`mask` is given without `image`");
            return Err(failure.hint("give the image whose parts may change, too"));
        }
        (None, None) => {
            params.check_without_images()?;
            return Ok(None);
        }
    };
    let request = InputRequest {
        size: size(params)?,
        mask: mask.as_ref().map_or(MaskChoice::TransparentParts, |_| MaskChoice::File),
        ..InputRequest::default()
    };
    let mask_bytes = mask.as_ref().map(|mask| &*mask.bytes);
    let images = InputDecoder::this_program()
        .read(&initial.bytes, mask_bytes, &request)
        .map_err(|error| refusal(&error))?;
    let record = InputRecord::new(initial.recorded(), mask.map(|mask| mask.recorded()), &request);
    (params.width, params.height) = (Some(images.width), Some(images.height));
    let inputs = ImageInputs::of(images, &record);
    params.image_inputs = Some(inputs.record.clone());
    Ok(Some(inputs))
}

fn size(params: &Params) -> Result<InputSize, Failure> {
    match (params.width, params.height) {
        (Some(width), Some(height)) => Ok(InputSize::Exact(width, height)),
        (None, None) => Ok(InputSize::OfImage),
        _ => Err(Failure::refused("one of `width` and `height` is missing, expected both or none")
            .hint("without both the images have the size of `image`")),
    }
}

fn refusal(InputError { role, fault }: &InputError) -> Failure {
    let name = match role {
        InputRole::Initial => NAMES[0],
        InputRole::Mask => NAMES[1],
    };
    Failure::refused(format!("the file of `{name}` {fault}"))
}

impl CallFile {
    /// The file of an argument. Base64 has no dot, names of images do.
    fn of(argument: &str, given: &Json, folder: Option<&Path>) -> Result<Self, Failure> {
        let expected = "expected base64, or the name of a file in the folder of --save";
        let refused = |what: &str| Failure::refused(format!("`{argument}` {what}, {expected}"));
        let text = given.as_str().ok_or_else(|| refused("is no text"))?.trim();
        let encoded = match text.split_once(";base64,") {
            Some((kind, encoded)) if kind.starts_with("data:") => encoded,
            _ if text.contains('.') => return Self::in_folder(argument, Path::new(text), folder),
            _ => text,
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| refused("is no base64"))?;
        if bytes.is_empty() {
            return Err(refused("is empty"));
        }
        Ok(Self { name: argument.to_owned(), bytes })
    }

    /// A file of the folder, by its name or by the path in an answer. No link is followed.
    fn in_folder(argument: &str, path: &Path, folder: Option<&Path>) -> Result<Self, Failure> {
        let Some(folder) = folder else {
            let message =
                format!("`{argument}` names a file, and no folder is there to read it of");
            return Err(Failure::refused(message)
                .hint("send the image as base64, or start `zimg mcp` with --save FOLDER"));
        };
        let name = path
            .file_name()
            .and_then(OsStr::to_str)
            .filter(|name| path == Path::new(name) || path == folder.join(name));
        let Some(name) = name else {
            let message = format!("`{argument}` names a file that is not in {}", folder.display());
            return Err(Failure::refused(message).hint("give the name of a file in it"));
        };
        let cannot = |why: &dyn std::fmt::Display| {
            Failure::refused(format!("`{argument}` names {name}, which cannot be read: {why}"))
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open(folder.join(name), flags, Mode::empty()).map_err(|error| cannot(&error))?;
        let file = File::from(file);
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return Err(cannot(&"it is no file"));
        }
        let mut bytes = Vec::new();
        let read = file.take(FILE_MAX + 1).read_to_end(&mut bytes);
        if read.map_err(|error| cannot(&error))? as u64 > FILE_MAX {
            return Err(cannot(&format_args!("it is longer than {} MiB", FILE_MAX >> 20)));
        }
        Ok(Self { name: name.to_owned(), bytes })
    }

    fn recorded(&self) -> InputFile {
        InputFile::new(OsStr::new(&self.name), &self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_base64_or_of_the_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("images");
        fs::create_dir_all(folder.join("inner.png")).unwrap();
        fs::write(folder.join("a.png"), "A").unwrap();
        fs::write(temporary.path().join("b.png"), "B").unwrap();
        symlink(temporary.path().join("b.png"), folder.join("link.png")).unwrap();
        let of = |text: &str| CallFile::of("image", &json!(text), Some(&folder));
        let whole = folder.join("a.png");
        for (text, name, bytes) in [
            ("QUI=", "image", "AB"),
            ("data:image/png;base64,QUI=", "image", "AB"),
            ("a.png", "a.png", "A"),
            (whole.to_str().unwrap(), "a.png", "A"),
        ] {
            let file = of(text).unwrap();
            assert_eq!((&*file.name, &*file.bytes), (name, bytes.as_bytes()), "{text}");
        }
        let outside = temporary.path().join("b.png");
        for text in [
            "",
            "???",
            "b.png",
            "../b.png",
            "./a.png",
            "..",
            "inner.png",
            "link.png",
            "https://x/y.png",
            outside.to_str().unwrap(),
        ] {
            let failure = of(text).unwrap_err();
            assert!(failure.message.starts_with("`image` "), "{text}: {failure}");
        }
        let failure = CallFile::of("mask", &json!("a.png"), None).unwrap_err();
        assert!(failure.hint.unwrap().contains("--save"));
        assert!(CallFile::of("mask", &json!(7), None).is_err());
    }

    #[test]
    fn what_belongs_to_an_image_is_refused_without_one() {
        let outcome = |arguments: Json, mut params: Params| {
            read(arguments.as_object().unwrap(), None, &mut params).map(|found| found.is_some())
        };
        let failure = outcome(json!({"mask": "QUI="}), Params::new("a")).unwrap_err();
        assert!(failure.message.contains("`mask`"), "{failure}");
        let strength = Params { strength: Some(0.5), ..Params::new("a") };
        assert!(outcome(json!({}), strength).unwrap_err().message.contains("`strength`"));
        assert_eq!(outcome(json!({"image": null}), Params::new("a")), Ok(false));
        let narrow = Params { width: Some(64), ..Params::new("a") };
        assert!(
            outcome(json!({"image": "QUI="}), narrow).unwrap_err().message.contains("`height`")
        );
    }
}
