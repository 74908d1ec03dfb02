//! Images in the terminal: what is written to a pseudo-terminal, decoded back to pixels.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zimg_protocol::frame::write_pixels;
use zimg_protocol::messages::{Event, Generate, ImageInfo, Preview, Request, Timings};

use crate::fake::{Fake, Peer, pixels};
use crate::pty::written_to;

/// 80 columns and 24 rows of 10x20 pixels.
const WINDOW: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 800, ws_ypixel: 480 };
/// A finished image's width and height: 8 columns of 4 rows.
const SIDE: u32 = 80;

/// An image of one colour a quarter, so that any scaling by two keeps it.
fn quarters(seed: u8, side: u32) -> Vec<u8> {
    let half = side / 2;
    (0..side * side)
        .flat_map(|i| [seed, 100 * (i % side / half) as u8, 100 * (i / side / half) as u8])
        .collect()
}

fn previews(peer: &mut Peer, request: Request) {
    let Request::Generate(Generate { params: draw, previews: true, .. }) = request else {
        panic!("{request:?}");
    };
    let started = peer.starts(&draw);
    for step in 1..=2 {
        let rgb = quarters(step as u8, SIDE / 8).into();
        let (width, height) = (SIDE / 8, SIDE / 8);
        peer.say(Event::Preview(Preview { image: 0, step, width, height, rgb }));
    }
    let rgb = quarters(9, SIDE);
    let (width, height, bytes) = (started.width, started.height, rgb.len() as u64);
    peer.say(Event::Image(ImageInfo { index: 0, seed: draw.first_seed(), width, height, bytes }));
    write_pixels(&mut peer.0, &rgb).unwrap();
    peer.say(Event::Done(Timings::default()));
}

/// What a terminal sees of a generating with these options, after the question what it can. Its
/// answer is there before it is asked: a terminal that is quick, however busy the machine is.
fn terminal(options: &[&str], environment: &[(&str, &str)], answer: &str) -> String {
    let fake = Fake::new(|peer, request| match request {
        Request::Generate(Generate { previews: true, .. }) => previews(peer, request),
        Request::Generate(Generate { params: draw, .. }) => {
            let started = peer.starts(&draw);
            let rgb = quarters(9, SIDE);
            let (width, height, bytes) = (started.width, started.height, rgb.len() as u64);
            peer.say(Event::Image(ImageInfo {
                index: 0,
                seed: draw.first_seed(),
                width,
                height,
                bytes,
            }));
            write_pixels(&mut peer.0, &rgb).unwrap();
            peer.say(Event::Done(Timings::default()));
        }
        other => panic!("{other:?}"),
    });
    let pty = openpty(Some(&WINDOW), None).unwrap();
    // What is answered is not to be seen as what is written, and needs no line's end.
    let mut settings = tcgetattr(&pty.slave).unwrap();
    settings.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
    let mut master = File::from(pty.master);
    let size = format!("{SIDE}x{SIDE}");
    let words = ["a fox", "-o", "a.png", "--seed=1", "--size", &size];
    let mut zimg = fake.zimg(&[&words[..], options].concat());
    for name in ["TMUX", "STY", "TERM_PROGRAM", "COLORTERM", "NO_COLOR", "KITTY_WINDOW_ID"] {
        zimg.env_remove(name);
    }
    zimg.envs(environment.iter().copied());
    master.write_all(answer.as_bytes()).unwrap();
    let mut child = zimg.stderr(pty.slave).spawn().unwrap();
    drop(zimg);
    let text = written_to(OwnedFd::from(master));
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    fake.finish(child.wait_with_output().unwrap());
    let asked = text.split_once("\x1b[c").map(|(_, after)| after.to_owned());
    assert_eq!(asked.is_some(), !answer.is_empty(), "{text:?}");
    asked.unwrap_or(text)
}

/// The images that kitty is told to show: columns, rows and pixels.
fn kitty(text: &str) -> Vec<(u32, u32, image::RgbImage)> {
    let mut found = Vec::new();
    let (mut head, mut data) = (String::new(), String::new());
    for part in text.split("\x1b_G").skip(1) {
        let (control, rest) = part.split_once(';').unwrap_or((part, ""));
        let Some((chunk, _)) = rest.split_once("\x1b\\") else { continue };
        if control.contains("a=T") {
            control.clone_into(&mut head);
        }
        data += chunk;
        if control.contains("m=0") {
            let png = BASE64_STANDARD.decode(std::mem::take(&mut data)).unwrap();
            let cells = |key: &str| {
                let value = head.split(',').find_map(|pair| pair.strip_prefix(key));
                value.unwrap().parse().unwrap()
            };
            found.push((cells("c="), cells("r="), image::load_from_memory(&png).unwrap().into()));
        }
    }
    found
}

#[test]
fn kitty_is_sent_the_pixels() {
    let text = terminal(&["--show=kitty"], &[], "");
    let images = kitty(&text);
    let [(8, 4, image)] = &images[..] else { panic!("{text:?}") };
    assert!(image.as_raw() == &quarters(9, SIDE), "not the pixels");
    assert!(text.contains("a.png: 80x80, seed 1, "), "{text}");
}

#[test]
fn previews_come_before_the_image_in_its_place() {
    let text = terminal(&["--show=kitty", "--preview"], &[], "");
    let images = kitty(&text);
    let pixels: Vec<_> = images.iter().map(|image| image.2.as_raw().clone()).collect();
    assert!(pixels == [quarters(1, 10), quarters(2, 10), quarters(9, SIDE)], "{text:?}");
    assert!(images.iter().all(|image| (image.0, image.1) == (8, 4)));
    assert_eq!((text.matches("\x1b[?2026h").count(), text.matches("\x1b[?2026l").count()), (3, 3));
    // The line is below it again.
    let previewed: Vec<_> = text.split("\x1b8\x1b[4B\r").skip(1).take(2).collect();
    assert!(previewed.iter().all(|after| after.starts_with("\r\x1b[K\x1b[36m")), "{text:?}");
    // Room is made once, and the later ones go up to the same place.
    assert_eq!(text.matches("\r\n\r\n\r\n\r\n").count(), 1, "{text:?}");
    assert_eq!(text.matches("\x1b[4A").count(), 3, "{text:?}");
}

#[test]
fn previews_alone_go_when_the_image_is_there() {
    let text = terminal(&["--preview=kitty"], &[], "");
    assert_eq!(kitty(&text).len(), 2);
    let (_, after) = text.split_once("a=d,d=I,").unwrap();
    assert!(after.contains("\x1b[4A\r\x1b[J"), "{text:?}");
    assert!(!after.contains("a=T"));
}

#[test]
fn iterm2_is_sent_the_pixels() {
    let text = terminal(&["--show"], &[("TERM_PROGRAM", "iTerm.app")], "");
    let (_, image) = text.split_once("\x1b]1337;File=inline=1;").unwrap();
    let (head, data) = image.split_once('\x07').unwrap().0.split_once(':').unwrap();
    assert!(head.contains("width=8;height=4;"), "{head}");
    let png = BASE64_STANDARD.decode(data).unwrap();
    assert!(head.contains(&format!("size={};", png.len())), "{head}");
    let image = image::load_from_memory(&png).unwrap().into_rgb8();
    assert!(image.into_raw() == quarters(9, SIDE), "not the pixels");
}

/// The pixels of the one sixel image in `text`, as percentages.
fn sixel(text: &str) -> (usize, usize, Vec<[u32; 3]>) {
    let (_, body) = text.split_once("\x1bP0;1q\"1;1;").unwrap();
    let (body, _) = body.split_once("\x1b\\").unwrap();
    let mut bytes = body.bytes().peekable();
    let number = |bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>| {
        let mut value = 0;
        while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
            value = 10 * value + u32::from(digit - b'0');
        }
        value
    };
    let width = number(&mut bytes) as usize;
    assert_eq!(bytes.next(), Some(b';'));
    let height = number(&mut bytes) as usize;
    let mut palette = std::collections::HashMap::new();
    let mut pixels = vec![[0; 3]; width * height];
    let (mut x, mut y, mut colour) = (0, 0, [0; 3]);
    while let Some(byte) = bytes.next() {
        let (count, bits) = match byte {
            b'#' => {
                let name = number(&mut bytes);
                if bytes.next_if_eq(&b';').is_some() {
                    let mut values = [0; 4];
                    for value in &mut values {
                        *value = number(&mut bytes);
                        bytes.next_if_eq(&b';');
                    }
                    assert_eq!(values[0], 2, "RGB");
                    palette.insert(name, [values[1], values[2], values[3]]);
                } else {
                    colour = palette[&name];
                }
                continue;
            }
            b'$' => {
                x = 0;
                continue;
            }
            b'-' => {
                (x, y) = (0, y + 6);
                continue;
            }
            b'!' => (number(&mut bytes), bytes.next().unwrap() - b'?'),
            bits => (1, bits - b'?'),
        };
        for _ in 0..count {
            for row in (0..6).filter(|row| bits >> row & 1 == 1) {
                pixels[(y + row) * width + x] = colour;
            }
            x += 1;
        }
    }
    (width, height, pixels)
}

#[test]
fn a_terminal_that_answers_so_is_sent_sixels() {
    // It is 9x18 pixels a cell by its own answer; the window's size says 10x20 and goes first.
    let text = terminal(&["--show"], &[], "\x1b[6;18;9t\x1b[?62;4;22c");
    let (width, height, found) = sixel(&text);
    assert_eq!((width, height), (80, 80));
    let rgb = quarters(9, SIDE);
    let expected: Vec<[u32; 3]> = rgb
        .chunks(3)
        .map(|pixel| [0, 1, 2].map(|i| (u32::from(pixel[i]) * 100 + 127) / 255))
        .collect();
    assert!(found == expected, "not the pixels");
}

#[test]
fn a_terminal_that_answers_so_is_sent_kittys_graphics() {
    let text = terminal(&["--show"], &[], "\x1b_Gi=1;OK\x1b\\\x1b[6;20;10t\x1b[?62;c");
    assert_eq!(kitty(&text).len(), 1, "{text:?}");
}

/// The pixels of half blocks in 24-bit colours.
fn blocks(text: &str) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.contains('▀')) {
        let (mut upper, mut lower, mut colour) = (Vec::new(), Vec::new(), (vec![], vec![]));
        for part in line.split("\x1b[38;2;").skip(1) {
            let (codes, cells) = part.split_once('m').unwrap();
            let numbers = |text: &str| text.split(';').map(|n| n.parse().unwrap()).collect();
            let (above, below) = codes.split_once(";48;2;").unwrap();
            colour = (numbers(above), numbers(below));
            for _ in cells.matches('▀') {
                upper.extend_from_slice(&colour.0);
                lower.extend_from_slice(&colour.1);
            }
        }
        assert!(!colour.0.is_empty());
        rows.extend([upper, lower]);
    }
    rows
}

#[test]
fn any_terminal_is_sent_half_blocks() {
    for answer in ["\x1b[?1;2c", "typed ahead\x1b[?1;2c"] {
        let text = terminal(&["--show"], &[("COLORTERM", "truecolor")], answer);
        // 40 columns, 20 rows of two pixels each: as many as the terminal has room for.
        assert!(blocks(&text).concat() == quarters(9, 40), "{text:?}");
    }
}

#[test]
fn all_colours_are_sent_where_the_terminal_says_that_it_has_them() {
    for has in ["48;2;1;2;3", "0;48:2::1:2:3", "48:2:1:2:3"] {
        let answer = format!("\x1b[6;20;10t\x1bP1$r{has}m\x1b\\\x1b[?62;22c");
        let text = terminal(&["--show"], &[], &answer);
        assert!(blocks(&text).concat() == quarters(9, 40), "{text:?}");
    }
    let text = terminal(&["--show"], &[], "\x1bP1$r48;5;16m\x1b\\\x1b[?62;22c");
    assert!(text.contains("\x1b[38;5;") && !text.contains("\x1b[38;2;"), "{text:?}");
}

#[test]
fn no_color_switches_colours_off() {
    let text = terminal(&["--show"], &[("NO_COLOR", "1")], "\x1b[?1;2c");
    assert!(!text.contains('▀'), "{text:?}");
    assert!(text.contains("--show and --preview have no effect: NO_COLOR is set"), "{text:?}");
}

#[test]
fn a_pipe_is_sent_no_image_and_no_question() {
    let ran = Fake::honest().run(&["a fox", "--show", "--preview", "-o", "a.png", "--seed=7"]);
    assert_eq!(ran.code, Some(0));
    assert!(!ran.stderr.contains('\x1b'), "{}", ran.stderr);
    let told =
        "--show and --preview have no effect: standard error is not a terminal that shows images\n";
    assert!(ran.stderr.starts_with(told), "{}", ran.stderr);
    ran.assert_image("a.png", 7, 64, 64);
    assert!(ran.stdout.is_empty() && pixels(7, 64, 64).len() == 3 * 64 * 64);
}
