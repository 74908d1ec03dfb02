//! Passing of weight descriptors: retained weights, on a socket of their own.
//!
//! The supervisor sends a new worker the retained descriptors; the worker sends those to retain.
//! Each message is one packet of one byte with the descriptors beside it. The supervisor treats
//! their contents as opaque.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair, sockopt,
};

/// The most descriptors of a message: a manifest and the memory of each component.
pub const DESCRIPTORS_MAX: usize = 8;

const WEIGHTS: u8 = b'W';
const NOTHING: u8 = b'N';

/// A message about retained weights.
#[derive(Debug)]
pub enum Handover {
    /// From the supervisor: these are retained. From the worker: retain these instead of all others.
    Weights(Vec<OwnedFd>),
    /// From the supervisor: nothing is retained. From the worker: close what is retained; answered by
    /// the same message once that is done.
    Nothing,
}

impl Handover {
    /// Two connected sockets, closed on exec.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
    }

    /// Whether a descriptor is a socket of the kind that [`Handover::pair`] makes.
    pub fn is_socket(socket: impl AsFd) -> bool {
        sockopt::socket_type(socket).is_ok_and(|kind| kind == SocketType::SEQPACKET)
    }

    /// Sends a message, and never waits: a socket that has room for none has a dead reader.
    ///
    /// # Errors
    /// When the other end is closed, or there are too many descriptors.
    pub fn send(&self, socket: impl AsFd) -> io::Result<()> {
        let (kind, descriptors): (_, Vec<BorrowedFd<'_>>) = match self {
            Self::Weights(descriptors) => (WEIGHTS, descriptors.iter().map(AsFd::as_fd).collect()),
            Self::Nothing => (NOTHING, Vec::new()),
        };
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        if !descriptors.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(socket, &[IoSlice::new(&[kind])], &mut beside, flags)?;
        Ok(())
    }

    /// The next message, or none when the other end is closed. Waits, unless the socket does not.
    ///
    /// # Errors
    /// `WouldBlock`; or `InvalidData` for anything that is not a message; the
    /// descriptors that came with it are closed.
    pub fn receive(socket: impl AsFd) -> io::Result<Option<Self>> {
        // One byte more than there may be, so that a longer packet is seen.
        let mut bytes = [0; 2];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let found = recvmsg(socket, into, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        let mut descriptors = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
        if found.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
            || descriptors.len() > DESCRIPTORS_MAX
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match (&bytes[..found.bytes], descriptors.is_empty()) {
            ([], true) => Ok(None),
            ([WEIGHTS], false) => Ok(Some(Self::Weights(descriptors))),
            ([NOTHING], true) => Ok(Some(Self::Nothing)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;

    /// The reading ends of pipes that say their number, and nothing else holds.
    fn pipes(count: u8) -> Vec<OwnedFd> {
        let pipe = |number| {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(&[number]).unwrap();
            OwnedFd::from(reader)
        };
        (0..count).map(pipe).collect()
    }

    fn numbers(descriptors: Vec<OwnedFd>) -> Vec<u8> {
        let number = |descriptor| {
            let mut bytes = Vec::new();
            File::from(descriptor).read_to_end(&mut bytes).unwrap();
            bytes[0]
        };
        descriptors.into_iter().map(number).collect()
    }

    #[test]
    fn descriptors_arrive_in_their_order_though_their_sender_is_gone() {
        for count in [1, 4, DESCRIPTORS_MAX as u8] {
            let (ours, theirs) = Handover::pair().unwrap();
            Handover::Weights(pipes(count)).send(&ours).unwrap();
            drop(ours);
            let Some(Handover::Weights(found)) = Handover::receive(&theirs).unwrap() else {
                panic!("no weights");
            };
            assert_eq!(numbers(found), (0..count).collect::<Vec<_>>());
            assert!(Handover::receive(&theirs).unwrap().is_none());
        }
    }

    #[test]
    fn nothing_is_a_message_too() {
        let (ours, theirs) = Handover::pair().unwrap();
        Handover::Nothing.send(&theirs).unwrap();
        assert!(matches!(Handover::receive(&ours), Ok(Some(Handover::Nothing))));
    }

    #[test]
    fn what_is_no_message_is_an_error_and_its_descriptors_are_closed() {
        for (bytes, count) in [
            (&b"W"[..], 0),
            (b"N", 1),
            (b"X", 1),
            (b"WW", 1),
            (b"", 1),
            (b"W", DESCRIPTORS_MAX + 1),
        ] {
            let (ours, theirs) = Handover::pair().unwrap();
            let (mut reader, writer) = io::pipe().unwrap();
            let passed = vec![writer.as_fd(); count];
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut beside = SendAncillaryBuffer::new(&mut room);
            if count > 0 {
                assert!(beside.push(SendAncillaryMessage::ScmRights(&passed)));
            }
            sendmsg(&ours, &[IoSlice::new(bytes)], &mut beside, SendFlags::empty()).unwrap();
            let error = Handover::receive(&theirs).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?} {count}");
            drop(writer);
            // It would wait for ever if the receiver still held the pipe's other end.
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        }
    }

    #[test]
    fn a_dead_reader_is_an_error_not_a_signal_and_a_full_socket_is_not_waited_for() {
        let (ours, theirs) = Handover::pair().unwrap();
        let full = (0..100_000).find_map(|_| Handover::Nothing.send(&ours).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(theirs);
        assert!(Handover::Nothing.send(&ours).is_err());
        let (ours, theirs) = Handover::pair().unwrap();
        let error = Handover::Weights(pipes(9)).send(&ours).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        drop(theirs);
        assert_eq!(Handover::Nothing.send(&ours).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_file_is_no_such_socket() {
        let (ours, _theirs) = Handover::pair().unwrap();
        assert!(Handover::is_socket(&ours));
        assert!(!Handover::is_socket(File::open("/dev/null").unwrap()));
        assert!(!Handover::is_socket(std::os::unix::net::UnixStream::pair().unwrap().0));
    }
}
