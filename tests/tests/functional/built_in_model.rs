//! Built-in model, with the real worker: from the prompt to the image.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use image::RgbImage;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, SysconfVar, mkfifo, sysconf};
use zimg_client::{Kind, Params, Update};
use zimg_tests::{Daemon, Options, built_worker};

/// A daemon with the real worker and the built-in model, ready.
fn tiny() -> Daemon {
    let mut daemon = Daemon::with(Options { worker: Some(built_worker()), ..Options::default() });
    daemon.wait_for("READY=1");
    daemon
}

fn draw_file(daemon: &Daemon, arguments: &[&str]) {
    let output = daemon.zimg(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}\n{}", daemon.log());
}

fn is_red(pixel: [u8; 3]) -> bool {
    let [red, green, blue] = pixel.map(i32::from);
    red > 130 && red - green > 70 && red - blue > 70
}

fn is_white(pixel: [u8; 3]) -> bool {
    pixel.iter().all(|value| *value > 200)
}

/// Where the red pixels are: how many, their middle, their width and height.
fn red_thing(image: &RgbImage) -> (f64, [f64; 2], [f64; 2]) {
    let red: Vec<_> = image
        .enumerate_pixels()
        .filter(|(_, _, pixel)| is_red(pixel.0))
        .map(|(x, y, _)| [f64::from(x), f64::from(y)])
        .collect();
    let count = red.len() as f64;
    let middle = [0, 1].map(|axis| red.iter().map(|at| at[axis]).sum::<f64>() / count);
    // The extent of a disc along an axis is four standard deviations; a stray pixel hardly counts.
    let extent = [0, 1].map(|axis| {
        let variance = red.iter().map(|at| (at[axis] - middle[axis]).powi(2)).sum::<f64>() / count;
        4.0 * variance.sqrt()
    });
    (count, middle, extent)
}

#[test]
fn a_red_circle_on_a_white_background_is_just_that() {
    let daemon = tiny();
    draw_file(&daemon, &["a red circle on a white background", "-o", "out.png", "--seed", "1"]);
    let image = image::open(daemon.folder().join("out.png")).unwrap().to_rgb8();
    let (width, height) = image.dimensions();
    let (count, middle, extent) = red_thing(&image);
    let all = f64::from(width * height);
    assert!(count > 0.01 * all && count < 0.8 * all, "{count} of {all} pixels are red");
    assert!((extent[0] / extent[1] - 1.0).abs() < 0.15, "as wide as high, not {extent:?}");
    let disc = std::f64::consts::PI / 4.0 * extent[0] * extent[1];
    assert!((count / disc - 1.0).abs() < 0.15, "{count} red pixels, a disc has {disc}");
    for axis in [0, 1] {
        let off = middle[axis] / f64::from([width, height][axis]) - 0.5;
        assert!(off.abs() < 0.3, "its middle is at {middle:?}");
    }
    let white = image.pixels().filter(|pixel| is_white(pixel.0)).count() as f64;
    assert!(white > 0.9 * (all - count), "{white} of {} other pixels are white", all - count);
}

#[test]
fn one_thing_is_above_another() {
    let daemon = tiny();
    draw_file(&daemon, &["a green star above a red square", "-o", "out.png", "--seed", "1"]);
    let image = image::open(daemon.folder().join("out.png")).unwrap().to_rgb8();
    let green: Vec<_> = image
        .enumerate_pixels()
        .filter(|(_, _, pixel)| {
            let [red, green, blue] = pixel.0.map(i32::from);
            green - red > 40 && green - blue > 20
        })
        .map(|(_, y, _)| f64::from(y))
        .collect();
    let (red, [_, red_height], _) = red_thing(&image);
    let green_height = green.iter().sum::<f64>() / green.len() as f64;
    assert!(red > 500.0 && green.len() > 500, "{red} red pixels, {} green ones", green.len());
    assert!(green_height + 20.0 < red_height, "green at {green_height}, red at {red_height}");
}

/// An image in 3 s on 2 cores, counted in the worker's processor time, which holds on a busy
/// machine too.
#[test]
fn an_image_takes_three_seconds_of_two_cores_at_most() {
    let daemon = tiny();
    let worker = daemon.status().workers[0].pid.unwrap();
    let spent = || {
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        // proc(5): utime and stime are the 14th and 15th fields; the name ends with the last ')'.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u32 = fields[11..13].iter().map(|field| field.parse::<u32>().unwrap()).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap();
        f64::from(ticks) / per_second as f64
    };
    let before = spent();
    daemon.draw(&Params::new("a house under a night sky with a moon")).unwrap();
    let seconds = spent() - before;
    assert!(seconds > 0.0 && seconds < 6.0, "{seconds} s of processor time");
}

#[test]
fn a_seed_is_an_image() {
    let daemon = tiny();
    let prompt = "a blue square";
    draw_file(&daemon, &[prompt, "-o", "one.png", "--seed", "5"]);
    draw_file(&daemon, &[prompt, "-o", "again.png", "--seed", "5"]);
    draw_file(&daemon, &[prompt, "-o", "{seed}.png", "--seed", "4", "-n", "2"]);
    let file = |name: &str| fs::read(daemon.folder().join(name)).unwrap();
    assert_eq!(file("one.png"), file("again.png"));
    let pixels = |name: &str| image::open(daemon.folder().join(name)).unwrap().to_rgb8();
    assert_eq!(pixels("5.png"), pixels("one.png"), "the second of two has the next seed");
    assert_ne!(pixels("4.png"), pixels("5.png"));
}

#[test]
fn a_cancelled_job_ends_within_a_step() {
    let daemon = tiny();
    let (mut job, _) = daemon.submit(&Params { steps: Some(100), ..Params::new("a star") });
    let mut canceller = job.canceller().unwrap();
    let (mut told, mut cancelled_at) = (0, None);
    let failure = loop {
        match job.next() {
            Some(Ok(Update::Step(step))) => {
                told = step.step;
                if told >= 3 && cancelled_at.is_none() {
                    canceller.cancel().unwrap();
                    cancelled_at = Some(told);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(failure)) => break failure,
            None => panic!("the job was not cancelled"),
        }
    };
    assert_eq!(failure.kind, Kind::Cancelled);
    // The step that was under way ends; one more may have begun while the word was on its way.
    assert!(told <= cancelled_at.unwrap() + 2, "cancelled at {cancelled_at:?}, ended at {told}");
    assert_eq!(daemon.draw(&Params::new("a star")).unwrap().len(), 1);
}

#[test]
fn too_long_a_prompt_is_refused_with_its_length() {
    let daemon = tiny();
    let prompt = "a red circle ".repeat(2000);
    let output = daemon.zimg(&[&prompt, "-o", "out.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("tokens"), "{said}");
    assert!(!said.contains("circle") && !daemon.log().contains("circle"));
    assert!(!daemon.folder().join("out.png").exists());
}

#[test]
fn a_folder_without_a_model_is_a_wrong_configuration() {
    let empty = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::with(Options {
        worker: Some(built_worker()),
        environment: vec![("ZIMAGED_MODEL".into(), empty.path().to_str().unwrap().into())],
        ..Options::default()
    });
    daemon.wait_for("STATUS=cannot generate: ");
    let failure = daemon.draw(&Params::new("a fox")).unwrap_err();
    assert_eq!(failure.kind, Kind::Config);
    assert!(failure.message.contains(empty.path().to_str().unwrap()), "{}", failure.message);
}

/// Even a worker that is stopped, and so cannot see that its socket closed, dies with its
/// supervisor: nothing keeps the GPU.
#[test]
fn no_worker_outlives_its_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("alive");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let mut alive =
        File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&fifo).unwrap();
    // The worker holds the FIFO open; its end of file is the worker's end.
    let path = folder.path().join("worker");
    let mut script = File::create(&path).unwrap();
    let worker = built_worker();
    write!(script, "#!/bin/sh\nexec 9>'{}'\nexec '{}' \"$@\"\n", fifo.display(), worker.display())
        .unwrap();
    script.set_permissions(Permissions::from_mode(0o755)).unwrap();
    drop(script);
    let mut daemon = Daemon::with(Options { worker: Some(path), ..Options::default() });
    daemon.wait_for("READY=1");
    let worker = daemon.status().workers[0].pid.unwrap();
    kill(Pid::from_raw(i32::try_from(worker).unwrap()), Signal::SIGSTOP).unwrap();
    daemon.signal(Signal::SIGKILL);
    let ended = poll(
        &mut [PollFd::new(std::os::fd::AsFd::as_fd(&alive), PollFlags::POLLIN)],
        PollTimeout::from(1000_u16),
    );
    assert_eq!(ended, Ok(1), "the worker lives on for a second");
    assert_eq!(alive.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn an_image_is_generated_again_to_the_bit() {
    let daemon = tiny();
    let prompt = ["a green star above a red square", "-o", "a.png", "-n2"];
    draw_file(&daemon, &[&prompt[..], &["--seed=3", "--steps=4", "--size=320x256"]].concat());
    // So many steps that the cached tables of earlier ones are made again.
    draw_file(&daemon, &["a blue square", "-o", "x.png", "--steps=40", "--size=64x64"]);
    // The second of the two: alone it is the same, and in another format.
    draw_file(&daemon, &["redo", "a-2.png"]);
    draw_file(&daemon, &["redo", "a-2.png", "-o", "b.webp"]);
    draw_file(&daemon, &["redo", "b.webp", "--seed=3", "-o", "c.png"]);
    let pixels = |name: &str| image::open(daemon.folder().join(name)).unwrap().to_rgb8();
    assert_eq!(pixels("a-2.png").dimensions(), (320, 256));
    assert!(pixels("a-2-redo.png") == pixels("a-2.png"), "not the same image");
    assert!(pixels("b.webp") == pixels("a-2.png"), "not the same image as WebP");
    assert!(pixels("c.png") == pixels("a-1.png"), "a changed seed is the first image");
    let bytes = |name: &str| fs::read(daemon.folder().join(name)).unwrap();
    assert!(bytes("a-2-redo.png") == bytes("a-2.png"), "the files differ");
}

#[test]
fn an_image_does_not_depend_on_what_was_generated_before() {
    let daemon = tiny();
    let circle = |name: &str| {
        draw_file(&daemon, &["a red circle on a white background", "--seed=1", "-o", name]);
        fs::read(daemon.folder().join(name)).unwrap()
    };
    let first = circle("a.png");
    draw_file(&daemon, &["a blue square", "-o", "x.png", "--steps=40", "--size=64x64"]);
    assert!(circle("b.png") == first, "after many steps");
    draw_file(&daemon, &["a blue square", "-o", "y.png", "--steps=3", "--guidance=3", "-a", "2:1"]);
    assert!(circle("c.png") == first, "after another shape, and guidance");
}
