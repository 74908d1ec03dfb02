//! PNG files whose texts are damaged, misplaced, too long or in another encoding: each kind of chunk
//! with each fault, and what is said of it. The chunks are made here, byte by byte.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use zimg_image::{EmbeddedMetadata, LostText, MetadataDoubt, MetadataWriter};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const TEXT: &str =
    "a castle, sunset\nSteps: 9, Sampler: Euler, CFG scale: 7, Seed: 42, Size: 512x768";
/// The longest text that is read.
const TEXT_MAX: usize = 4 << 20;

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    let length = u32::try_from(data.len()).unwrap();
    [&length.to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

/// An EXIF block whose comment is `text`, as piexif lays it out.
fn exif(text: &[u8]) -> Vec<u8> {
    let count = u32::try_from(text.len()).unwrap().to_be_bytes();
    let head =
        b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0\0\x01\x92\x86\0\x07";
    [&head[..], &count, b"\0\0\0\x28", text].concat()
}

/// The ways to put a text into a PNG file: a name, and the chunk.
type Form = (&'static str, fn(&[u8]) -> Vec<u8>);

const FORMS: [Form; 6] = [
    ("tEXt", |text| chunk(b"tEXt", &[b"parameters\0", text].concat())),
    ("zTXt", |text| chunk(b"zTXt", &[b"parameters\0\0", &compressed(text)[..]].concat())),
    ("iTXt", |text| chunk(b"iTXt", &[b"parameters\0\0\0\0\0", text].concat())),
    ("compressed iTXt", |text| {
        chunk(b"iTXt", &[b"parameters\0\x01\0\0\0", &compressed(text)[..]].concat())
    }),
    ("eXIf", |text| chunk(b"eXIf", &exif(text))),
    ("raw profile", |text| {
        let exif = exif(text);
        let digits: String = exif.iter().map(|byte| format!("{byte:02x}")).collect();
        let profile = format!("\nexif\n{:8}\n{digits}\n", exif.len());
        let data = [b"Raw profile type exif\0\0", &compressed(profile.as_bytes())[..]].concat();
        chunk(b"zTXt", &data)
    }),
];

/// A file with these chunks before, between and behind the image's own.
fn file(before: &[u8], after: &[u8], behind: &[u8]) -> Vec<u8> {
    let head = chunk(b"IHDR", &[0, 0, 2, 0, 0, 0, 3, 0, 8, 2, 0, 0, 0]);
    let (pixels, end) = (chunk(b"IDAT", &compressed(&[0; 4])), chunk(b"IEND", b""));
    [SIGNATURE, &head, before, &pixels, after, &end, behind].concat()
}

fn read(bytes: &[u8]) -> EmbeddedMetadata {
    EmbeddedMetadata::from_bytes(bytes).unwrap()
}

/// The prompt and the seed that were read.
fn said(found: &EmbeddedMetadata) -> (Option<&str>, Option<u64>) {
    let params = found.generation.as_ref().map(|metadata| &metadata.params);
    (params.map(|params| &*params.prompt), params.and_then(|params| params.seed))
}

#[test]
fn a_text_is_read_before_the_pixels_after_them_and_in_doubt_behind_the_end() {
    for (name, form) in FORMS {
        let chunk = form(TEXT.as_bytes());
        for (bytes, doubt) in [
            (file(&chunk, b"", b""), None),
            (file(b"", &chunk, b""), None),
            (file(b"", b"", &chunk), Some(MetadataDoubt::BehindEnd)),
            // A chunk of another type behind the end, cut off, casts no doubt on a text before the pixels.
            (file(&chunk, b"", b"\0\0\0\x02noTEcut"), None),
        ] {
            let found = read(&bytes);
            assert_eq!(said(&found), (Some("a castle, sunset"), Some(42)), "{name}");
            assert_eq!((found.doubt, found.lost), (doubt, None), "{name}");
            assert_eq!(found.writer, Some(MetadataWriter::A1111), "{name}");
        }
    }
}

#[test]
fn a_wrong_checksum_is_a_doubt_and_sound_texts_come_first() {
    let other = TEXT.replace("castle", "tower");
    for (name, form) in FORMS {
        let sound = form(other.as_bytes());
        let mut wrong = form(TEXT.as_bytes());
        *wrong.last_mut().unwrap() ^= 1;
        let found = read(&file(&wrong, b"", b""));
        assert_eq!(said(&found), (Some("a castle, sunset"), Some(42)), "{name}");
        assert_eq!(found.doubt, Some(MetadataDoubt::Checksum), "{name}");
        for bytes in
            [file(&sound, &wrong, b""), file(&wrong, &sound, b""), file(&sound, b"", &wrong)]
        {
            let found = read(&bytes);
            assert_eq!((said(&found).0, found.doubt), (Some("a tower, sunset"), None), "{name}");
        }
        // Behind the end as well: nothing speaks for it.
        assert_eq!(read(&file(b"", b"", &wrong)), EmbeddedMetadata::default(), "{name}");
    }
}

#[test]
fn a_wrong_checksum_of_what_is_not_understood_is_told() {
    let wrong = |kind, data: &[u8]| {
        let mut wrong = chunk(kind, data);
        *wrong.last_mut().unwrap() ^= 1;
        read(&file(&wrong, b"", b""))
    };
    for (kind, keyword, data) in [
        (b"tEXt", "paramfters", [b"paramfters\0", TEXT.as_bytes()].concat()),
        (b"zTXt", "zjmg", [b"zjmg\0\0", &compressed(b"{}")[..]].concat()),
        (b"eXIf", "eXIf", b"no EXIF".to_vec()),
    ] {
        let told = Some(LostText::Checksum(keyword.to_owned()));
        assert_eq!(wrong(kind, &data).lost, told);
    }
    let found = wrong(b"tEXt", b"parameters\0no settings");
    assert_eq!((found.doubt, found.lost), (Some(MetadataDoubt::Checksum), None));
}

#[test]
fn what_is_too_long_or_cannot_be_decompressed_is_told() {
    let long = vec![b' '; TEXT_MAX + 1];
    let bomb = vec![b' '; 300 << 20];
    let (bomb, ok) = (compressed(&bomb), compressed(TEXT.as_bytes()));
    let too_long = |keyword: &str| Some(LostText::TooLong(keyword.to_owned()));
    let damaged = Some(LostText::Damaged("parameters".to_owned()));
    let heads: [(&[u8; 4], &[u8]); 2] =
        [(b"zTXt", b"parameters\0\0"), (b"iTXt", b"parameters\0\x01\0\0\0")];
    for (name, form) in &FORMS[..4] {
        assert_eq!(read(&file(&form(&long), b"", b"")).lost, too_long("parameters"), "{name}");
    }
    assert_eq!(read(&file(&FORMS[4].1(&long), b"", b"")).lost, too_long("exif:UserComment"));
    assert_eq!(read(&file(&FORMS[5].1(&long), b"", b"")).lost, too_long("Raw profile type exif"));
    for (kind, head) in heads {
        let with = |stream: &[u8]| file(&chunk(kind, &[head, stream].concat()), b"", b"");
        assert_eq!(read(&with(&bomb)).lost, too_long("parameters"));
        for stream in [&ok[..ok.len() - 6], b"", b"no stream", &ok[1..]] {
            assert_eq!(read(&with(stream)).lost, damaged, "{kind:?} {stream:?}");
        }
        assert_eq!(read(&with(&ok)).lost, None);
    }
    // A method that is not known, and a head that breaks off.
    let lost = |kind, data: &[u8]| read(&file(&chunk(kind, data), b"", b"")).lost;
    assert_eq!(lost(b"zTXt", &[b"parameters\0\x07", &ok[..]].concat()), damaged);
    assert_eq!(lost(b"iTXt", b"parameters\0\0"), damaged);
}

#[test]
fn a_file_that_breaks_off_is_cut_and_not_without_metadata() {
    for (name, form) in FORMS {
        let bytes = file(b"", &form(TEXT.as_bytes()), b"");
        let text = bytes.len() - 12 - form(TEXT.as_bytes()).len();
        for length in [text - 4, text, text + 6, text + 20, bytes.len() - 13] {
            let found = read(&bytes[..length]);
            assert_eq!(
                (found.generation, found.lost),
                (None, Some(LostText::Cut)),
                "{name} {length}"
            );
        }
    }
    assert_eq!(read(&file(b"", b"", b"")), EmbeddedMetadata::default());
    // JPEG before its pixels, and WebP within a chunk.
    for bytes in [&b"\xff\xd8\xff\xe0\0\x04JF"[..], b"RIFF\x40\0\0\0WEBPVP8 \x30\0\0\0xx"] {
        assert_eq!(read(bytes).lost, Some(LostText::Cut), "{bytes:?}");
    }
}

#[test]
fn a_text_in_utf_16_or_utf_32_is_read_in_each_chunk() {
    let units = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    };
    for prompt in ["a castle, sunset", "a テスト, sunset", "ein Schloß"] {
        let text = TEXT.replace("a castle, sunset", prompt);
        let marked = format!("\u{feff}{text}");
        let wide: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for bytes in [
            units(&text, u16::to_le_bytes),
            units(&text, u16::to_be_bytes),
            units(&marked, u16::to_le_bytes),
            units(&marked, u16::to_be_bytes),
            [b"UNICODE\0", &units(&text, u16::to_be_bytes)[..]].concat(),
            marked.clone().into_bytes(),
            wide,
        ] {
            for (name, form) in &FORMS[..4] {
                let found = read(&file(&form(&bytes), b"", b""));
                assert_eq!(said(&found), (Some(prompt), Some(42)), "{name} {bytes:?}");
            }
        }
    }
}
