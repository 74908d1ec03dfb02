//! Writes the table of the page's files: a row for each file below page/, sorted by its path. What
//! only authors read is left out (`build/compact.rs`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

#[path = "build/compact.rs"]
mod compact;

/// `Content-Type` by the name's extension. A file of another kind is an error of the build.
const TYPES: [(&str, &str); 9] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
];

fn main() -> io::Result<()> {
    let page = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("page");
    println!("cargo::rerun-if-changed={}", page.display());
    println!("cargo::rerun-if-changed=build");
    let served = Path::new(&variable("OUT_DIR")?).join("page");
    let mut files = Vec::new();
    collect(&page, &mut files)?;
    let mut rows = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&page).map_err(io::Error::other)?;
        let path = format!("/{}", relative.display());
        let extension = file.extension().and_then(|extension| extension.to_str());
        let kind = TYPES.iter().find(|(known, _)| Some(*known) == extension);
        let (Some((_, kind)), Some(extension)) = (kind, extension) else {
            return Err(io::Error::other(format!("{} is of no known type", file.display())));
        };
        let mut bytes = fs::read(&file)?;
        if let Ok(text) = str::from_utf8(&bytes) {
            bytes = compact::compact(extension, text).into_bytes();
        }
        let target = served.join(relative);
        fs::create_dir_all(target.parent().unwrap_or(&served))?;
        fs::write(&target, &bytes)?;
        rows.push((path, *kind, hex(&Sha256::digest(&bytes)), target));
    }
    rows.sort();
    let mut code = String::from("static ASSETS: &[Asset] = &[\n");
    for (path, kind, tag, file) in rows {
        let _ = writeln!(
            code,
            "    Asset {{ path: {path:?}, kind: {kind:?}, tag: {:?}, bytes: include_bytes!({:?}) }},",
            format!("\"{tag}\""),
            file.display().to_string(),
        );
    }
    code += "];\n\n/// The type of a file by its extension.\nfn content_type(extension: &str) -> Option<&'static str> {\n    match extension {\n";
    for (extension, kind) in TYPES {
        let _ = writeln!(code, "        {extension:?} => Some({kind:?}),");
    }
    code += "        _ => None,\n    }\n}\n";
    fs::write(Path::new(&variable("OUT_DIR")?).join("assets.rs"), code)
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(io::Error::other)
}

/// The files below a directory; those whose names begin with a dot are an editor's.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') || name.ends_with('~') || name.ends_with(".md") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
