//! Saving an image on file systems that lack operations, and after the place for it has gone.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use zimg_protocol::messages::{Event, Timings};

use crate::fake::{Fake, Ran, pixels, requested, zimg};

/// System calls that fail, with the error that a file system gives without them.
type Lacks = &'static [(i64, Errno)];

const NO_FLAGS: (i64, Errno) = (libc::SYS_renameat2, Errno::EINVAL);
#[cfg(target_arch = "x86_64")]
const NO_LINK: (i64, Errno) = (libc::SYS_link, Errno::EPERM);
#[cfg(not(target_arch = "x86_64"))]
const NO_LINK: (i64, Errno) = (libc::SYS_linkat, Errno::EPERM);
const NO_LINKAT: (i64, Errno) = (libc::SYS_linkat, Errno::EOPNOTSUPP);
#[cfg(target_arch = "x86_64")]
const NO_RENAME: (i64, Errno) = (libc::SYS_rename, Errno::EPERM);
#[cfg(not(target_arch = "x86_64"))]
const NO_RENAME: (i64, Errno) = (libc::SYS_renameat, Errno::EPERM);

/// What file systems lack: sshfs, 9p, vfat, FUSE without fsync, and one with nothing but files.
const FILE_SYSTEMS: [Lacks; 9] = [
    &[],
    &[NO_FLAGS],
    &[(libc::SYS_renameat2, Errno::ENOSYS), NO_LINK, NO_LINKAT],
    &[(libc::SYS_renameat2, Errno::EOPNOTSUPP), NO_LINK, NO_LINKAT, NO_RENAME],
    &[(libc::SYS_fsync, Errno::EINVAL)],
    &[(libc::SYS_fsync, Errno::ENOSYS)],
    &[(libc::SYS_fsync, Errno::EOPNOTSUPP), (libc::SYS_fdatasync, Errno::EOPNOTSUPP)],
    &[(libc::SYS_fchmod, Errno::EPERM), (libc::SYS_fchown, Errno::EPERM), NO_FLAGS],
    &[NO_FLAGS, NO_LINK, NO_LINKAT, NO_RENAME, (libc::SYS_fsync, Errno::EINVAL)],
];

/// Lets these system calls fail in the program (seccomp(2)).
#[expect(unsafe_code, reason = "a filter is installed between fork and exec")]
fn lacking(command: &mut Command, lacks: Lacks) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (call, error) in lacks {
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        filter.push(libc::sock_filter { code: equal, jt: 0, jf: 1, k: *call as u32 });
        let fail = libc::SECCOMP_RET_ERRNO | *error as u32;
        filter.push(statement(libc::BPF_RET | libc::BPF_K, fail));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let install = move || {
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: the filter outlives the call, which copies it.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
                    == 0
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: it makes system calls alone.
    unsafe { command.pre_exec(install) };
}

/// zimg on a file system that lacks something.
fn on(lacks: Lacks, prepare: impl FnOnce(&Path), arguments: &[&str]) -> Ran {
    let fake = Fake::honest();
    prepare(&fake.out());
    let mut command = fake.zimg(arguments);
    lacking(&mut command, lacks);
    let output = command.output().unwrap();
    fake.finish(output)
}

#[test]
fn every_file_system_takes_an_image() {
    for lacks in FILE_SYSTEMS {
        let ran = on(lacks, |_| {}, &["a fox", "--seed=7", "-o", "a.png"]);
        assert_eq!(
            (ran.code, &ran.files[..]),
            (Some(0), &["a.png".to_owned()][..]),
            "{lacks:?}: {}",
            ran.stderr
        );
        ran.assert_image("a.png", 7, 64, 64);

        let words = ["a fox", "--seed=7", "-n2", "--grid", "-o", "a.png"];
        let ran = on(lacks, |_| {}, &words);
        assert_eq!(ran.files, ["a-1.png", "a-2.png", "a-grid.png"], "{lacks:?}: {}", ran.stderr);
        ran.assert_image("a-2.png", 8, 64, 64);

        let prepare = |folder: &Path| fs::write(folder.join("a.png"), "mine").unwrap();
        let ran = on(lacks, prepare, &["a fox", "--seed=7", "-fo", "a.png"]);
        assert_eq!(ran.code, Some(0), "{lacks:?}: {}", ran.stderr);
        ran.assert_image("a.png", 7, 64, 64);
        assert_eq!(ran.files, ["a.png"], "{lacks:?}");

        let prepare = |folder: &Path| {
            fs::write(folder.join("real.png"), "mine").unwrap();
            symlink("real.png", folder.join("link.png")).unwrap();
        };
        let ran = on(lacks, prepare, &["a fox", "--seed=7", "-fo", "link.png"]);
        ran.assert_image("real.png", 7, 64, 64);
        assert!(ran.path("link.png").is_symlink() && ran.files.len() == 2, "{lacks:?}");
    }
}

#[test]
fn every_file_system_takes_a_batch() {
    for lacks in FILE_SYSTEMS {
        let fake = Fake::many(|peer, request| peer.generates(&requested(request)));
        fs::write(fake.out().join("b.txt"), "a fox\na hen\n").unwrap();
        let mut command = fake.zimg(&["--batch", "b.txt", "--seed=7", "-o", "{index}.png"]);
        lacking(&mut command, lacks);
        let output = command.output().unwrap();
        let ran = fake.finish(output);
        assert_eq!(ran.code, Some(0), "{lacks:?}: {}", ran.stderr);
        assert_eq!(ran.files, ["1.png", "2.png", "b.txt"], "{lacks:?}");
        ran.assert_image("1.png", 7, 64, 64);
    }
}

/// What happens to the place of an image while it is generated.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    FolderRemoved,
    FolderIsAFile,
    AnotherFile,
    IsAFolder,
}

#[test]
fn an_image_whose_place_has_gone_is_rescued() {
    use Mishap::{AnotherFile, FolderIsAFile, FolderRemoved, IsAFolder};
    for lacks in [FILE_SYSTEMS[0], FILE_SYSTEMS[8]] {
        for (mishap, force) in
            [(FolderRemoved, false), (FolderIsAFile, true), (AnotherFile, false), (IsAFolder, true)]
        {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("place");
            fs::create_dir(&place).unwrap();
            let path = place.join("a.png");
            let (at, name) = (place.clone(), path.clone());
            let fake = Fake::new(move |peer, request| {
                let draw = requested(request);
                let started = peer.starts(&draw);
                match mishap {
                    FolderRemoved => fs::remove_dir(at).unwrap(),
                    FolderIsAFile => {
                        fs::remove_dir(&at).unwrap();
                        fs::write(at, "").unwrap();
                    }
                    AnotherFile => fs::write(name, "mine").unwrap(),
                    IsAFolder => fs::create_dir(name).unwrap(),
                }
                peer.image(&draw, 0, &started);
                let none = Timings { queued: 0.0, text: 0.0, steps: 0.0, decode: 0.0, total: 0.0 };
                peer.say(Event::Done(none));
            });
            let mut words = vec!["a fox", "--seed=7", "-o", path.to_str().unwrap()];
            words.extend(force.then_some("-f"));
            let mut command = fake.zimg(&words);
            lacking(&mut command, lacks);
            let output = command.output().unwrap();
            let ran = fake.finish(output);
            assert_eq!(ran.code, Some(73), "{mishap:?}: {}", ran.stderr);
            let saved = ran.path("state/zimg/unsaved/a.png");
            let said = format!("; the image was saved as {}\nhint: `mv ", saved.display());
            assert!(ran.stderr.contains(&said), "{mishap:?}: {}", ran.stderr);
            ran.assert_image("state/zimg/unsaved/a.png", 7, 64, 64);
            if matches!(mishap, AnotherFile) {
                assert_eq!(fs::read(&path).unwrap(), b"mine");
            }
        }
    }
}

/// zimg that can write files of no more than these bytes, as on a full disk.
#[expect(unsafe_code, reason = "a limit is set between fork and exec")]
fn up_to(bytes: u64, command: &mut Command) {
    let limit = move || {
        // SAFETY: it is ignored, no handler runs.
        unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
        Ok(setrlimit(Resource::RLIMIT_FSIZE, bytes, bytes)?)
    };
    // SAFETY: it makes system calls alone.
    unsafe { command.pre_exec(limit) };
}

#[test]
fn an_image_that_no_folder_takes_is_said_to_be_lost() {
    let fake = Fake::new(|peer, request| {
        let draw = requested(request);
        let started = peer.starts(&draw);
        peer.image(&draw, 0, &started);
    });
    let mut command = fake.zimg(&["a fox", "-o", "a.ppm"]);
    up_to(8192, &mut command);
    let output = command.output().unwrap();
    let ran = fake.finish(output);
    assert_eq!(ran.code, Some(74), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("cannot write a.ppm: File too large; the image is lost: "),
        "{}",
        ran.stderr
    );
    assert!(!ran.files.contains(&"a.ppm".to_owned()), "{:?}", ran.files);

    // And before anything is generated, if not even a block can be written.
    let folder = tempfile::tempdir().unwrap();
    let mut command = zimg(folder.path());
    command.env("ZIMG_SOCKET", "none").args(["a fox", "-o", "a.ppm"]);
    up_to(100, &mut command);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(73));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// zimg with redirections of a shell, and a daemon only if it is reached.
fn redirected(arguments: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let words = zimg(folder.path());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$0\" {arguments}")).arg(words.get_program());
    shell.current_dir(folder.path()).stdin(Stdio::null());
    shell.env("ZIMG_CONFIG", "").env("ZIMG_SOCKET", folder.path().join("none"));
    let output = shell.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_closed_descriptor_is_74_before_anything_is_generated() {
    for arguments in [
        "x -o - >&-",
        "x -o /dev/stdout >&-",
        "x -o /dev/fd/1 >&-",
        "x -o /proc/self/fd/1 >&-",
        "x -o - --grid -n 2 >&-",
        "x -o - 1</dev/null",
        "x -o /dev/fd/9",
        "x -o /dev/fd/0 </dev/null",
        "x -o /dev/fd/3 3</",
        "x -o a.png -n2 --grid=/dev/fd/9",
        "x --json -o a.png >&-",
        "x --detach >&-",
        "status >&-",
        "jobs >&-",
        "config show >&-",
        "man >&-",
        "--help >&-",
        "--version >&-",
        "show a.png >&-",
    ] {
        let (code, text) = redirected(arguments);
        assert_eq!(code, Some(74), "{arguments}: {text}");
        assert!(text.contains("expected one that is open for writing"), "{arguments}: {text}");
    }
    // These get as far as to the daemon, which does not run.
    for arguments in
        ["x -o a.png >&-", "x -o - >/dev/null", "x -o - <>/dev/null 1>&0", "x <&- -o a.png"]
    {
        let (code, text) = redirected(arguments);
        assert_eq!(code, Some(69), "{arguments}: {text}");
    }
    assert_eq!(redirected("x -o /dev/stdout --json >/dev/null").0, Some(64));
}

#[test]
fn names_of_descriptors_are_written_to() {
    for (output, redirection) in [
        ("/dev/stdout", ">a"),
        ("/dev/stdout", ">a 2>&1"),
        ("/dev/fd/1", ">>a"),
        ("/proc/self/fd/1", "| cat >a"),
        ("/dev/fd/3", "3>a"),
        ("/dev/fd/3", "3>a 4>&3"),
        ("/dev/fd/7", "7>&1 | cat >a"),
        ("/dev/stderr", "2>a"),
        ("link", "3>a"),
        ("link", "-f 3>a"),
    ] {
        let fake = Fake::honest();
        symlink("/dev/fd/3", fake.out().join("link")).unwrap();
        fs::write(fake.out().join("a"), "").unwrap();
        let inner = fake.zimg(&[]);
        let mut shell = Command::new("sh");
        let line = format!("\"$0\" 'a fox' --seed=7 --format=raw -o {output} {redirection}");
        let quiet = if redirection.contains("2>&1") { line.replace("-o ", "-q -o ") } else { line };
        shell.arg("-c").arg(&quiet).arg(inner.get_program()).current_dir(fake.out());
        for (name, value) in inner.get_envs() {
            value.map(|value| shell.env(name, value));
        }
        let output = shell.output().unwrap();
        let ran = fake.finish(output);
        assert_eq!(ran.code, Some(0), "{quiet}: {}", ran.stderr);
        assert!(fs::read(ran.path("a")).unwrap() == pixels(7, 64, 64), "{quiet}");
        assert_eq!(ran.files, ["a", "link"], "{quiet}");
        assert!(ran.path("link").is_symlink(), "{quiet}");
    }
}

#[test]
fn a_socket_may_be_standard_output() {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let fake = Fake::honest();
    let mut command = fake.zimg(&["a fox", "--seed=7", "--format=raw", "-qo", "/dev/stdout"]);
    command.stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut bytes = Vec::new();
    ours.read_to_end(&mut bytes).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(bytes == pixels(7, 64, 64));
    fake.joined();
}

#[test]
fn an_image_that_a_full_stream_does_not_take_is_rescued() {
    for output in ["-", "/dev/stdout"] {
        let fake = Fake::honest_until_image();
        let mut command = fake.zimg(&["a fox", "--seed=7", "-o", output]);
        let output = command.stdout(File::create("/dev/full").unwrap()).output().unwrap();
        let ran = fake.finish(output);
        assert_eq!(ran.code, Some(74), "{}", ran.stderr);
        ran.assert_image("state/zimg/unsaved/zimg-7.png", 7, 64, 64);
    }
}

/// Devices that would refuse the image are found before anything is generated: opened as they are
/// after.
#[test]
fn a_device_that_takes_no_image_is_refused_before() {
    let folder = tempfile::tempdir().unwrap();
    symlink("/dev/tty", folder.path().join("tty.png")).unwrap();
    for (output, said) in [
        ("/dev/full", "cannot write to /dev/full: No space left on device"),
        ("/dev/tty", "cannot write to /dev/tty: No such device or address"),
        ("tty.png", "cannot write to tty.png: No such device or address"),
    ] {
        for (option, count) in [("--output=", "-n1"), ("--grid=", "-n2")] {
            let fake = Fake::many(|_, request| panic!("{request:?}"));
            let plain = fake.zimg(&["a fox", count]);
            // Without a controlling terminal.
            let mut command = Command::new("setsid");
            command.args(["--wait".as_ref(), plain.get_program()]).args(plain.get_args());
            command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.arg(format!("{option}{output}")).current_dir(folder.path());
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(73), "{text}");
            assert!(text.starts_with(&format!("zimg: {said}")), "{text}");
        }
    }
}

#[test]
fn devices_that_take_anything_take_an_image() {
    for output in ["/dev/null", "/dev/zero"] {
        let ran = Fake::honest().run(&["a fox", "-o", output]);
        assert_eq!((ran.code, &ran.files[..]), (Some(0), &[][..]), "{}", ran.stderr);
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let fake = Fake::honest_until_image();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = fake.zimg(&["a fox", "-o", "-"]);
    let output = command.stdout(writer).output().unwrap();
    drop(command);
    let ran = fake.finish(output);
    assert_eq!((ran.code, &ran.files[..]), (Some(0), &[][..]), "{}", ran.stderr);
}
