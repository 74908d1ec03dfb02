//! The channel for retained weights: the supervisor passes them at the start, or gets them once they
//! are read.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use zimage::WeightDescriptors;
use zimage_ipc::Handover;

use crate::log;

/// The supervisor answers within this time, or not at all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The socket to the supervisor; none if it retains no weights.
#[derive(Debug)]
pub(crate) struct WeightsChannel(Option<OwnedFd>);

impl WeightsChannel {
    /// Takes ownership of a descriptor that the supervisor passed: to be called once.
    pub(crate) fn new(passed: Option<RawFd>) -> Self {
        let socket = passed.map(take).filter(|socket| {
            Handover::is_socket(socket)
                && set_socket_timeout(socket, Timeout::Recv, Some(TIMEOUT)).is_ok()
        });
        if passed.is_some() && socket.is_none() {
            log::line("weights are not retained: --weights-fd is not a socket for them");
        }
        Self(socket)
    }

    /// The weights of an earlier worker.
    pub(crate) fn retained(&self) -> Option<WeightDescriptors> {
        match Handover::receive(self.0.as_ref()?) {
            Ok(Some(Handover::Weights(descriptors))) => Some(WeightDescriptors::new(descriptors)),
            Ok(_) => None,
            Err(e) => {
                log::line(format_args!("the retained weights cannot be received: {e}"));
                None
            }
        }
    }

    /// Makes the supervisor release the weights it passed, and waits for that: there may be no memory
    /// for both.
    pub(crate) fn refuse(&self) {
        let Some(socket) = &self.0 else { return };
        let answered = Handover::Nothing.send(socket).and_then(|()| Handover::receive(socket));
        if let Err(e) = answered {
            log::line(format_args!("the release of the refused weights is not confirmed: {e}"));
        }
    }

    /// Offers weights to be retained.
    pub(crate) fn offer(&self, weights: zimage::Result<WeightDescriptors>) {
        let Some(socket) = &self.0 else { return };
        let offered = weights.map_err(|e| e.to_string()).and_then(|weights| {
            let weights = Handover::Weights(weights.into_descriptors());
            weights.send(socket).map_err(|e| e.to_string())
        });
        if let Err(why) = offered {
            log::line(format_args!("the next worker will read the weights again: {why}"));
        }
    }
}

#[expect(unsafe_code, reason = "a passed descriptor is only a number")]
fn take(number: RawFd) -> OwnedFd {
    // SAFETY: the supervisor says that it passed the descriptor to this process, and nothing else
    // here takes it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use super::*;

    fn channel() -> (OwnedFd, WeightsChannel) {
        let (ours, theirs) = Handover::pair().unwrap();
        (ours, WeightsChannel::new(Some(theirs.into_raw_fd())))
    }

    fn descriptors() -> Vec<OwnedFd> {
        vec![File::open("/dev/null").unwrap().into()]
    }

    #[test]
    fn retained_weights_are_received_and_none_is_none() {
        let (supervisor, channel) = channel();
        Handover::Weights(descriptors()).send(&supervisor).unwrap();
        assert!(channel.retained().is_some());
        Handover::Nothing.send(&supervisor).unwrap();
        assert!(channel.retained().is_none());
        drop(supervisor);
        assert!(channel.retained().is_none());
    }

    #[test]
    fn a_refusal_waits_for_its_answer() {
        let (supervisor, channel) = channel();
        let answering = std::thread::spawn(move || {
            assert!(matches!(Handover::receive(&supervisor), Ok(Some(Handover::Nothing))));
            Handover::Nothing.send(&supervisor).unwrap();
            // Nothing is left to be read.
            assert!(matches!(Handover::receive(&supervisor), Ok(None)));
        });
        channel.refuse();
        drop(channel);
        answering.join().unwrap();
    }

    #[test]
    fn an_offer_arrives() {
        let (supervisor, channel) = channel();
        channel.offer(Ok(WeightDescriptors::new(descriptors())));
        let heard = Handover::receive(&supervisor).unwrap();
        assert!(matches!(heard, Some(Handover::Weights(found)) if found.len() == 1));
    }

    #[test]
    fn without_a_socket_nothing_is_retained_and_nothing_blocks() {
        let file = File::open("/dev/null").unwrap();
        for channel in [WeightsChannel::new(None), WeightsChannel::new(Some(file.into_raw_fd()))] {
            assert!(channel.retained().is_none());
            channel.refuse();
            channel.offer(Ok(WeightDescriptors::new(descriptors())));
        }
    }
}
