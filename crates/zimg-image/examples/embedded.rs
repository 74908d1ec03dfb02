//! Generation metadata that files have, one line each: `embedded FILE…`.
#![expect(clippy::print_stdout, reason = "it is a program for the terminal")]

use std::path::Path;

use zimg_image::EmbeddedMetadata;

fn main() {
    for file in std::env::args().skip(1) {
        match EmbeddedMetadata::read(Path::new(&file)) {
            Ok(EmbeddedMetadata { generation: Some(metadata), writer: Some(writer), .. }) => {
                println!("{file}: {writer}: {}", metadata.to_json());
            }
            Ok(EmbeddedMetadata { writer: Some(writer), unread: Some(unread), .. }) => {
                println!("{file}: {writer}: {unread}");
            }
            Ok(_) => println!("{file}: no metadata"),
            Err(error) => println!("{error}"),
        }
    }
}
