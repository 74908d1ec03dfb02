//! Terminal's other end: everything that was written to a pseudo-terminal. A file without
//! dependencies of this crate, so that the tests of `zimg` include it too.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;

use nix::libc::EIO;

/// Everything written to a terminal until its last writer has gone.
pub fn written_to(terminal: OwnedFd) -> String {
    let mut terminal = File::from(terminal);
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match terminal.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // That is how a pseudo-terminal says that its other end is closed.
            Err(error) if error.raw_os_error() == Some(EIO) => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8(text).unwrap()
}
