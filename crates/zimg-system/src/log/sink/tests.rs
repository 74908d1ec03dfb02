//! Tests of [`LogSink`] with every descriptor that fails.

use std::io::{PipeReader, Read, Seek, SeekFrom, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::pty::openpty;
use rustix::fs::{MemfdFlags, memfd_create};

use super::*;

fn full() -> LogSink {
    LogSink::of(File::options().write(true).open("/dev/full").unwrap())
}

fn owned(descriptor: impl Into<OwnedFd>) -> LogSink {
    LogSink::of(File::from(descriptor.into()))
}

/// A pipe in which nothing has room any more, with its bytes.
fn full_pipe(nonblocking: bool) -> (PipeReader, LogSink, usize) {
    let (reader, writer) = pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let mut filled = 0;
    while let Ok(count) = rustix::io::write(&writer, &[b'x'; PIECE]) {
        filled += count;
    }
    if !nonblocking {
        rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    }
    (reader, owned(writer), filled)
}

#[test]
fn whatever_fails_is_counted() {
    let closed_pipe = owned(pipe().unwrap().1);
    let closed_socket = owned(UnixStream::pair().unwrap().0);
    let terminal = openpty(None, None).unwrap();
    let hung_up = owned(terminal.slave);
    drop(terminal.master);
    let not_for_writing = LogSink::of(File::open("/dev/null").unwrap());
    let folder = LogSink::of(File::open("/").unwrap());
    let cases = [
        ("a full disk", full()),
        ("a pipe without a reader", closed_pipe),
        ("a socket whose other end is closed", closed_socket),
        ("a terminal that hung up", hung_up),
        ("a descriptor that is not open for writing", not_for_writing),
        ("a folder", folder),
        ("a full pipe", full_pipe(false).1),
        ("a full pipe that does not block", full_pipe(true).1),
    ];
    for (what, mut sink) in cases {
        for count in 1..=3 {
            assert!(!sink.write(b"a line\n", Wait::Briefly), "{what}");
            assert_eq!(sink.lost(), count, "{what}");
        }
        assert_eq!((sink.take_unreported(), sink.take_unreported()), (3, 0), "{what}");
    }
}

#[test]
fn a_log_that_is_not_read_is_waited_for_once() {
    for nonblocking in [false, true] {
        let (mut reader, mut sink, filled) = full_pipe(nonblocking);
        let begun = Instant::now();
        (0..100).for_each(|_| assert!(!sink.write(b"a line\n", Wait::Briefly)));
        let waited = begun.elapsed();
        assert!(waited >= STALL && waited < 10 * STALL, "{waited:?}");
        reader.read_exact(&mut vec![0; filled]).unwrap();
        assert!(sink.write(b"a line\n", Wait::Briefly));
        assert_eq!(sink.take_unreported(), 100);
    }
}

#[test]
fn a_torn_line_is_ended_before_the_next_one() {
    let (mut reader, writer) = pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let mut sink = owned(writer);
    assert!(!sink.write(&[b'x'; 1 << 20], Wait::Briefly));
    let mut held = vec![0; 64 << 10];
    reader.read_exact(&mut held).unwrap();
    assert!(held.iter().all(|byte| *byte == b'x'));
    assert!(sink.write(b"a line\n", Wait::Briefly));
    drop(sink);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "\na line\n");
}

#[test]
fn a_slow_reader_gets_all_of_a_long_line() {
    let (mut reader, mut writer) = pipe().unwrap();
    writer.flush().unwrap();
    let mut sink = owned(writer);
    let reading = std::thread::spawn(move || {
        let mut found = Vec::new();
        reader.read_to_end(&mut found).unwrap();
        found.len()
    });
    assert!(sink.write(&[b'x'; 1 << 20], Wait::Briefly));
    drop(sink);
    assert_eq!(reading.join().unwrap(), 1 << 20);
}

#[test]
fn a_terminal_that_is_not_read_is_waited_for_once_although_it_has_some_room() {
    let terminal = openpty(None, None).unwrap();
    let mut sink = LogSink::of(nonblocking(terminal.slave.as_fd()).unwrap());
    let begun = Instant::now();
    while sink.write(&[b'x'; 1000], Wait::Briefly) {}
    assert!(begun.elapsed() < 10 * STALL);
    drop(terminal.master);
    assert!(!sink.write(b"a line\n", Wait::Briefly));
}

#[test]
fn only_pipes_and_terminals_get_a_description_of_their_own() {
    let (_reader, writer) = pipe().unwrap();
    assert!(nonblocking(writer.as_fd()).is_some());
    assert!(!rustix::fs::fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
    assert!(nonblocking(UnixStream::pair().unwrap().0.as_fd()).is_none());
    assert!(nonblocking(File::open("/").unwrap().as_fd()).is_none());
    // A second description of a file would have an offset of its own.
    let mut file = File::from(memfd_create("log", MemfdFlags::CLOEXEC).unwrap());
    assert!(nonblocking(file.as_fd()).is_none());
    file.write_all(b"one\n").unwrap();
    let mut sink = LogSink::of(file.try_clone().unwrap());
    assert!(sink.write(b"two\n", Wait::Briefly));
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\n");
}
