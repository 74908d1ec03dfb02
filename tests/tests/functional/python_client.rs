//! `contrib/clients/python/zimg.py`, which knows of the protocol what docs/protocol.md says, against
//! a real daemon.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use zimg_tests::mock::{colour, coloured};
use zimg_tests::{Daemon, Options};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/clients/python");

fn python(daemon: &Daemon) -> Command {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command
        .arg("-B")
        .current_dir(daemon.folder())
        .env("PYTHONPATH", CLIENT)
        .env("ZIMG_SOCKET", daemon.socket());
    command
}

/// The program with these words: its exit code, what it printed, and what it said.
fn run(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String, String) {
    told(python(daemon).arg(format!("{CLIENT}/zimg.py")).args(words).output().unwrap())
}

/// A program that uses it as a module.
fn script(daemon: &Daemon, text: &str) -> (Option<i32>, String, String) {
    told(python(daemon).args(["-c", text]).output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn it_generates_and_shows_progress() {
    let daemon = Daemon::ready("");
    // The mock generates one colour: the seed.
    let words = ["a réd fox", "fox.png", "seed=66051", "count=2", "width=64", "height=96"];
    let (code, _, said) = run(&daemon, &words);
    assert_eq!(code, Some(0), "{said}");
    // Steps may be left out when they come faster than they are read.
    assert!(said.contains(" of 8\n"), "{said}");
    for (seed, colour) in [(66051, [1, 2, 3]), (66052, [1, 2, 4])] {
        let path = daemon.folder().join(format!("fox-{seed}.png"));
        let image = image::open(path).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (64, 96));
        assert!(image.pixels().all(|pixel| pixel.0 == colour), "{seed}");
    }
    let (code, _, said) = run(&daemon, &["a fox", "fox.ppm", "seed=7", "steps=3", "guidance=1.5"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" of 3\n") && !said.contains("of 8"), "{said}");
    let ppm = fs::read(daemon.folder().join("fox.ppm")).unwrap();
    assert!(ppm.starts_with(b"P6\n256 256\n255\n\x00\x00\x07\x00\x00\x07"));
    daemon.end();
}

#[test]
fn it_starts_from_an_image_and_its_mask() {
    let daemon = Daemon::ready("");
    let (seed, width, height) = (0x00a5_5a3c_u64, 512_u32, 256_u32);
    // More than one frame.
    let rgb: Vec<u8> = (0..3 * width * height).map(|i| (i * 7 % 251) as u8).collect();
    let mask: Vec<u8> = (0..width * height).map(|i| (i * 11 % 251) as u8).collect();
    for (name, head, pixels) in [("a.ppm", "P6", &rgb), ("b.pgm", "P5", &mask)] {
        let file = [format!("{head}\n{width} {height}\n255\n").as_bytes(), pixels].concat();
        fs::write(daemon.folder().join(name), file).unwrap();
    }
    let seed_word = format!("seed={seed}");
    let words = ["a fox", "fox.ppm", &seed_word, "strength=0.5", "image=a.ppm"];
    for (more, mask) in [(&[][..], None), (&["mask=b.pgm"], Some(&*mask))] {
        let (code, _, said) = run(&daemon, &[&words, more].concat());
        assert_eq!(code, Some(0), "{said}");
        let file = fs::read(daemon.folder().join("fox.ppm")).unwrap();
        assert!(file.ends_with(&coloured(&rgb, mask, colour(seed))));
    }
    let (code, _, said) = run(&daemon, &["a fox", "fox.ppm", "mask=b.pgm"]);
    assert_eq!(code, Some(65), "{said}");
    daemon.end();
}

#[test]
fn it_asks_how_the_daemon_is() {
    let daemon = Daemon::ready("");
    let (code, printed, said) = run(&daemon, &["--status"]);
    assert_eq!((code, &*said), (Some(0), ""));
    let version = format!("'version': '{}'", env!("CARGO_PKG_VERSION"));
    for part in [&*version, "'state': {'name': 'Ready'}", "'model': {'name': 'mock'"] {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
    daemon.end();
}

#[test]
fn it_cancels_within_a_step() {
    let daemon = Daemon::ready("hold@step:2");
    let text = "\
import zimg
client = zimg.Client()
try:
    for event in client.draw('a fox', width=64, height=64):
        if event['name'] == 'Step' and event['step'] == 2:
            client.cancel()
except zimg.Failed as failure:
    print(failure.code, failure)
";
    let (code, printed, said) = script(&daemon, text);
    assert_eq!((code, &*said), (Some(0), ""));
    assert!(printed.starts_with("130 "), "{printed}");
    daemon.end();
}

#[test]
fn failures_have_their_codes() {
    let refused = Daemon::ready("");
    let (code, _, said) = run(&refused, &["a fox", "a.png", "width=100"]);
    assert_eq!(code, Some(65));
    assert!(
        said.starts_with("zimg.py: `width` is 100, expected a multiple of 16 from 64 to 2048"),
        "{said}"
    );
    assert!(said.contains("\nhint: the nearest valid value is 96\n"), "{said}");
    let (code, _, said) = run(&refused, &["a fox", "a.png", "stpes=3"]);
    assert!(code == Some(65) && said.contains("parameter `stpes` is unknown"), "{said}");
    assert_eq!(run(&refused, &["a fox"]).0, Some(64));
    let mut absent = python(&refused);
    let absent = absent.arg(format!("{CLIENT}/zimg.py")).arg("--status").env("ZIMG_SOCKET", "/no");
    assert_eq!(told(absent.output().unwrap()).0, Some(69));
    refused.end();

    let environment = [("ZIMAGED_JOBS", "1")].map(|(name, value)| (name.into(), value.into()));
    let options =
        Options { mock: "hold@load".into(), environment: environment.into(), ..Options::default() };
    let full = Daemon::with(options);
    let _job = full.submit(&zimg_client::Params::new("a hen"));
    let (code, _, said) = run(&full, &["a fox", "a.png"]);
    assert_eq!(code, Some(75), "{said}");

    let dies = Daemon::ready("crash@begin");
    let (code, _, said) = run(&dies, &["a fox", "a.png"]);
    assert_eq!(code, Some(70), "{said}");
    assert!(said.contains("2 workers in a row died"), "{said}");
}

#[test]
fn an_older_or_foreign_daemon_is_reported() {
    let daemon = Daemon::ready("");
    let socket = daemon.folder().join("other");
    let listener = UnixListener::bind(&socket).unwrap();
    // A Welcome of no version with the sentence after it; something that is no daemon; nothing.
    let old =
        b"ZIMG\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\xff\x00\x4cno v1";
    let answers: [(&[u8], i32, &str); 3] = [
        (old, 76, "zimg.py: no v1\n"),
        (b"SSH-2.0-OpenSSH", 76, "zimg.py: that is no daemon of this protocol\n"),
        (b"", 70, "zimg.py: the daemon ended the connection before it was done\n"),
    ];
    for (answer, expected, sentence) in answers {
        let mut client = python(&daemon);
        client.arg(format!("{CLIENT}/zimg.py")).arg("--status").env("ZIMG_SOCKET", &socket);
        let client = client.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 16]).unwrap();
        std::io::Write::write_all(&mut stream, answer).unwrap();
        drop(stream);
        let (code, _, said) = told(client.wait_with_output().unwrap());
        assert_eq!((code, &*said), (Some(expected), sentence));
    }
    daemon.end();
}
