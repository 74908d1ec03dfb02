//! Raw connection: sends what no client library would send.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use zimg_protocol::limits::TO_CLIENT_BYTES;
use zimg_protocol::messages::{Event, Request};
use zimg_protocol::{Frame, Hello, Welcome, hello};

/// Bytes out, frames in.
#[derive(Debug)]
pub struct Raw(pub UnixStream);

impl Raw {
    /// Connects and says nothing.
    pub fn connect(socket: &Path) -> Self {
        Self(UnixStream::connect(socket).unwrap())
    }

    /// Connects and does the hello.
    pub fn greeted(socket: &Path) -> Self {
        let mut raw = Self::connect(socket);
        raw.0.write_all(&Hello::OURS.to_bytes()).unwrap();
        assert_eq!(raw.welcome().major, hello::MAJOR);
        raw
    }

    /// The daemon's sixteen bytes.
    pub fn welcome(&mut self) -> Welcome {
        let mut bytes = [0; hello::BYTES];
        self.0.read_exact(&mut bytes).unwrap();
        Welcome::from_bytes(bytes).unwrap()
    }

    /// Sends a request.
    pub fn ask(&mut self, request: Request) {
        Frame::Request(request).write(&mut self.0).unwrap();
    }

    /// The next event.
    pub fn event(&mut self) -> Event {
        match self.frame() {
            Some(Frame::Event(event)) => event,
            other => panic!("not an event but {other:?}"),
        }
    }

    /// The next frame; `None` at the end.
    pub fn frame(&mut self) -> Option<Frame> {
        Frame::read(&mut self.0, TO_CLIENT_BYTES).unwrap()
    }

    /// The daemon's last word: an error frame's code and text, and then the end.
    pub fn last_word(&mut self) -> (u16, String) {
        let Some(Frame::Error(error)) = self.frame() else { panic!("not an error frame") };
        // Bytes that were never read turn the end into a reset.
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        assert_eq!(rest, [0u8; 0], "nothing comes after an error frame");
        (error.code, error.text)
    }
}
