//! Output files: all names are resolved and checked before anything is generated.

mod check;
mod descriptor;
mod error;
mod file;
mod pattern;
mod place;
mod probe;
mod rescue;
mod save;
mod slug;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use zimg_client::{Failure, seed_of_image};

pub(crate) use descriptor::Descriptor;
use error::usage;
pub(crate) use file::{ImageOutput, Output, OutputFile, SheetOutput};
pub(crate) use pattern::{LocalTime, has, inserted};
use pattern::{PlaceholderValues, complete, fill};
pub(crate) use save::{rescued, save, unnamed};

use zimg_image::ImageFormat;

/// The output options, and the values of placeholders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputRequest<'a> {
    /// `-o`.
    pub(crate) output: Option<&'a OsStr>,
    /// The pattern without `-o`, without extension.
    pub(crate) default: &'a OsStr,
    /// The format of names without extension.
    pub(crate) format: Option<ImageFormat>,
    /// `--grid`; empty without a file.
    pub(crate) grid: Option<&'a OsStr>,
    /// Whether files may be replaced.
    pub(crate) force: bool,
    /// The seed of the first image.
    pub(crate) seed: u64,
    /// The index of the first image, from 1.
    pub(crate) index: u64,
    pub(crate) count: u32,
    pub(crate) prompt: &'a str,
    pub(crate) now: &'a LocalTime,
}

impl Output {
    /// Resolves the names and checks that all files can be created.
    ///
    /// # Errors
    ///
    /// `Usage`: an unknown format or placeholder, an image for a terminal, several images for one
    /// stream or one name. `CannotCreate`: a file exists (unless `force`) or cannot be created.
    pub(crate) fn plan(request: &OutputRequest<'_>) -> Result<Self, Failure> {
        if let Some(output) = request.output.map(Path::new)
            && let Some(descriptor) = Descriptor::named(output)
        {
            return request.on_descriptor(descriptor, ImageFormat::of(output));
        }
        let (pattern, names) = request.names()?;
        let mut files = Vec::with_capacity(names.len());
        for path in names {
            files.push(check::check(path, request.format, request.force)?);
        }
        if request.count > 1 && files.iter().any(|file| file.special) {
            return Err(usage("-o is a pipe or a device, which takes one image".to_owned()));
        }
        let sheet = match request.grid {
            None => None,
            Some(name) => {
                let path = request.sheet(name, &pattern)?;
                if let Some(descriptor) = Descriptor::named(&path) {
                    descriptor.check()?;
                    let format = request.format.or(ImageFormat::of(&path));
                    let format = format.unwrap_or(ImageFormat::Png);
                    let sheet = Some(SheetOutput::Descriptor(descriptor, format));
                    return Ok(Self { images: ImageOutput::Files(files), sheet });
                }
                if files.iter().any(|file| file.path == path) {
                    let message = format!("{} is already the name of an image", path.display());
                    return Err(
                        usage(message).hint("give the contact sheet another name with --grid=FILE")
                    );
                }
                let file = check::check(path, request.format, request.force)?;
                Some(SheetOutput::File(file))
            }
        };
        Ok(Self { images: ImageOutput::Files(files), sheet })
    }
}

impl OutputRequest<'_> {
    fn on_descriptor(
        &self,
        descriptor: Descriptor,
        named: Option<ImageFormat>,
    ) -> Result<Output, Failure> {
        descriptor.check()?;
        let format = self.format.or(named).unwrap_or(ImageFormat::Png);
        if self.grid.is_some() {
            let sheet = Some(SheetOutput::Descriptor(descriptor, format));
            return Ok(Output { images: ImageOutput::Nowhere, sheet });
        }
        // Video programs read a stream of pixels; files of other formats have no boundary in a
        // stream.
        if self.count > 1 && !matches!(format, ImageFormat::Ppm | ImageFormat::Raw) {
            let message = format!("{descriptor} takes one image, not {}", self.count);
            return Err(usage(message).hint(
                "give files with -o FILE, --grid for a contact sheet, or --format ppm or raw",
            ));
        }
        Ok(Output { images: ImageOutput::Descriptor(descriptor, format), sheet: None })
    }

    /// The pattern, and a different name for each image.
    pub(crate) fn names(&self) -> Result<(OsString, Vec<PathBuf>), Failure> {
        let mut default = self.default.to_owned();
        default.push(".");
        default.push(self.format.unwrap_or(ImageFormat::Png).extension());
        let pattern = complete(self.output, &default, self.count)?;
        let mut names = Vec::new();
        for i in 0..self.count {
            names.push(PathBuf::from(fill(&pattern, self.values(i))?));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_path())) {
            return Err(usage(format!(
                "several images would have the file name {}",
                twice.display()
            )));
        }
        Ok((pattern, names))
    }

    fn values(&self, i: u32) -> PlaceholderValues<'_> {
        let seed = seed_of_image(self.seed, i.into());
        PlaceholderValues {
            seed,
            index: self.index + u64::from(i),
            prompt: self.prompt,
            now: self.now,
        }
    }

    /// The name of the contact sheet: the pattern with "grid" as the index, or at the end.
    fn sheet(&self, name: &OsStr, pattern: &OsStr) -> Result<PathBuf, Failure> {
        let name = if name.is_empty() { beside(pattern) } else { name.to_owned() };
        fill(&name, self.values(0)).map(PathBuf::from)
    }
}

/// The pattern of the contact sheet beside images of this pattern.
fn beside(pattern: &OsStr) -> OsString {
    const INDEX: &[u8] = b"{index";
    let bytes = pattern.as_bytes();
    let index = bytes.windows(INDEX.len()).position(|part| part == INDEX);
    if has(pattern, "index")
        && let Some(start) = index
        && let Some(length) = bytes[start..].iter().position(|byte| *byte == b'}')
    {
        let rest = &bytes[start + length + 1..];
        return OsString::from_vec([&bytes[..start], b"grid", rest].concat());
    }
    inserted(pattern, "-grid")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use zimg_client::Kind;

    /// A plan for images with seeds from 7 on.
    fn planned(
        output: Option<&str>,
        count: u32,
        grid: Option<&str>,
        force: bool,
    ) -> Result<Output, Failure> {
        let now = LocalTime { date: "2026-11-24".to_owned(), time: "083217".to_owned() };
        Output::plan(&OutputRequest {
            output: output.map(OsStr::new),
            default: "zimg-{seed}".as_ref(),
            format: None,
            grid: grid.map(OsStr::new),
            force,
            seed: 7,
            index: 1,
            count,
            prompt: "a fox",
            now: &now,
        })
    }

    fn files(output: Output) -> Vec<OutputFile> {
        match output.images {
            ImageOutput::Files(files) => files,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_created_is_said_before_generating() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let plan = |name: &str, count, force| planned(Some(&at(name)), count, None, force);
        fs::write(at("there-2.png"), "").unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("link.png")).unwrap();

        let failure = plan("there.png", 3, false).unwrap_err();
        assert_eq!(failure.message, format!("{} exists already", at("there-2.png")));
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert!(plan("there.png", 3, true).is_ok());
        assert!(plan("link.png", 1, false).unwrap_err().message.ends_with("exists already"));

        let failure = plan("no/a.png", 1, false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert_eq!(failure.hint, Some(format!("create it with `mkdir -p {}`", at("no"))));

        for name in ["a", "a.gif", ".png", "a."] {
            assert_eq!(plan(name, 1, false).unwrap_err().kind, Kind::Usage, "{name}");
        }
        let failure = plan(&format!("{}.png", "x".repeat(300)), 1, false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn force_writes_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real.png"), directory.path().join("link.png"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let files = files(planned(link.to_str(), 1, None, true).unwrap());
        assert_eq!(files[0].path, real.canonicalize().unwrap());
    }

    #[test]
    fn sockets_and_places_without_files_are_refused_before_generating() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let failure = planned(path.to_str(), 1, None, true).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert!(failure.message.ends_with("a.png is a socket"), "{}", failure.message);
        let failure = planned(Some("/proc/a.png"), 1, None, false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert!(failure.message.starts_with("cannot write to "), "{}", failure.message);
    }

    #[test]
    fn devices_are_written_to_as_they_are() {
        for force in [false, true] {
            let file =
                OutputFile { path: "/dev/null".into(), format: ImageFormat::Png, special: true };
            let plan = planned(Some("/dev/null"), 1, None, force).unwrap();
            assert_eq!(files(plan)[..], [file]);
        }
    }

    #[test]
    fn a_sheet_has_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let sheet = |pattern: &str, grid: &str| {
            let pattern = format!("{}/{pattern}", folder.path().display());
            let grid = if grid.is_empty() {
                "".to_owned()
            } else {
                folder.path().join(grid).display().to_string()
            };
            let output = planned(Some(&pattern), 2, Some(&grid), false)?;
            let Some(SheetOutput::File(file)) = output.sheet else { panic!("no sheet") };
            Ok::<_, Failure>(file.path.file_name().unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(sheet("fox.png", "").unwrap(), "fox-grid.png");
        assert_eq!(sheet("fox-{seed}.webp", "").unwrap(), "fox-7-grid.webp");
        assert_eq!(sheet("{index:04}.png", "").unwrap(), "grid.png");
        assert_eq!(sheet("fox.png", "all-{seed}.jpg").unwrap(), "all-7.jpg");
        let failure = sheet("fox.png", "fox-1.png").unwrap_err();
        assert!(failure.message.ends_with("fox-1.png is already the name of an image"));
    }

    #[test]
    fn two_images_never_have_one_name() {
        let failure = planned(Some("{index:04}/{{index}}.png"), 2, None, false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate, "they differ, but there are no folders");
        let failure = planned(Some("a"), 1, None, false).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage);
    }
}
