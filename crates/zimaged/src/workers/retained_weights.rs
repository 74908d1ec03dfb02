//! Weights that outlive the worker: descriptors of memory, held here for the next one.
//!
//! They are a manifest and memory of a GPU or of the host; here nobody knows what is in them, and
//! nobody maps it. The service manager gets copies, so that they outlive the daemon too. Closing
//! the last one frees the memory.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::fcntl_get_seals;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zimg_protocol::Handover;
use zimg_protocol::handover::DESCRIPTORS_MAX;

use super::oom;
use crate::systemd;

/// What they are called in the service manager's store, before their number.
const NAME: &str = "zimaged-weights-";
/// So many workers may die before they are ready with weights that were kept; then these are
/// suspected.
const TRIES: u32 = 2;

/// What is kept, and the present worker's way to change it.
#[derive(Debug, Default)]
pub(crate) struct RetainedWeights {
    held: Vec<OwnedFd>,
    /// No stream but a socket of packets: only when it can be read is asked of it.
    channel: Option<UnixStream>,
    /// Workers that were given them since one was ready with them.
    tries: u32,
    /// Processes that the kernel had ended for want of memory when the worker was started.
    oom_kills: Option<u64>,
}

impl RetainedWeights {
    /// Those that the service manager kept, by their numbers.
    pub(crate) fn stored(mut stored: Vec<(usize, OwnedFd)>) -> Self {
        stored.sort_by_key(|(number, _)| *number);
        let whole = stored.iter().enumerate().all(|(place, (number, _))| place == *number);
        if !whole || stored.len() > DESCRIPTORS_MAX {
            tracing::warn!("the service manager kept only some of the weights");
            stored.drain(..).for_each(|(number, _)| systemd::remove_fds(&name(number)));
        }
        let held = stored.into_iter().map(|(_, descriptor)| descriptor).collect();
        Self { held, ..Self::default() }
    }

    /// A way to a worker that is about to be started: its end. On it lies what is kept.
    ///
    /// # Errors
    ///
    /// The system has no room; then the worker reads its weights.
    pub(crate) fn open(&mut self) -> io::Result<OwnedFd> {
        self.channel = None;
        self.oom_kills = oom::kills();
        let (ours, theirs) = Handover::pair()?;
        let copies = self.held.iter().map(OwnedFd::try_clone).collect::<io::Result<Vec<_>>>()?;
        if copies.is_empty() {
            Handover::Nothing.send(&ours)?;
        } else {
            Handover::Weights(copies).send(&ours)?;
            self.tries += 1;
        }
        let ours = std::os::unix::net::UnixStream::from(ours);
        ours.set_nonblocking(true)?;
        self.channel = Some(UnixStream::from_std(ours)?);
        Ok(theirs)
    }

    /// Waits until the worker has said what is to be kept, and does it; for ever without a worker.
    pub(crate) async fn heard(&mut self) {
        let Some(channel) = &self.channel else { return pending().await };
        let said = channel.async_io(Interest::READABLE, || Handover::receive(channel)).await;
        self.take(said);
    }

    /// The worker is ready: what it was given is good.
    pub(crate) fn ready(&mut self) {
        self.tries = 0;
    }

    /// The worker is gone. What it said last counts.
    pub(crate) fn ended(&mut self) {
        while let Some(channel) = &self.channel {
            self.take(Handover::receive(channel));
        }
        if self.is_of_the_host() && oom::kills() > self.oom_kills {
            // Nobody is charged for it: the kernel would end one process after the other.
            tracing::warn!("the machine has too little memory to keep the weights");
            self.forget();
        }
        if self.tries >= TRIES {
            tracing::warn!("workers end before they are ready with the kept weights");
            self.forget();
        }
    }

    /// Lets go of everything: once the worker is gone too, the memory is free.
    pub(crate) fn forget(&mut self) {
        for number in 0..self.held.len() {
            systemd::remove_fds(&name(number));
        }
        self.held.clear();
        self.tries = 0;
    }

    /// Whether it is the machine's own memory and not a GPU's: only that has seals.
    fn is_of_the_host(&self) -> bool {
        self.held.last().is_some_and(|memory| fcntl_get_seals(memory).is_ok())
    }

    fn take(&mut self, said: io::Result<Option<Handover>>) {
        match said {
            Ok(Some(Handover::Weights(descriptors))) => {
                self.forget();
                self.held = descriptors;
                for (number, descriptor) in self.held.iter().enumerate() {
                    systemd::store_fd(&name(number), descriptor);
                }
                tracing::debug!("{} descriptors of weights are kept", self.held.len());
            }
            Ok(Some(Handover::Nothing)) => {
                self.forget();
                let answered = self.channel.as_ref().map(|channel| Handover::Nothing.send(channel));
                if let Some(Err(error)) = answered {
                    tracing::debug!("the worker does not hear that weights are gone: {error}");
                }
            }
            Ok(None) => self.channel = None,
            // It died without having read everything: told once, before what it said last.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::warn!("the worker says nonsense about weights: {error}");
                }
                self.channel = None;
            }
        }
    }
}

fn name(number: usize) -> String {
    format!("{NAME}{number}")
}

/// The number of a descriptor in the service manager's store, if it is one of weights.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix(NAME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    /// A descriptor, and what reads an end once nobody holds it any more.
    fn held() -> (OwnedFd, File) {
        let (reader, writer) = io::pipe().unwrap();
        (writer.into(), File::from(OwnedFd::from(reader)))
    }

    /// Waits for ever if somebody still holds it.
    fn is_let_go(mut reader: File) {
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    fn given(worker: &OwnedFd) -> Vec<OwnedFd> {
        match Handover::receive(worker).unwrap() {
            Some(Handover::Weights(given)) => given,
            Some(Handover::Nothing) => Vec::new(),
            None => panic!("the supervisor closed its end"),
        }
    }

    /// A worker starts, finds so many descriptors and ends.
    fn starts_with(kept: &mut RetainedWeights, count: usize) {
        let worker = kept.open().unwrap();
        assert_eq!(given(&worker).len(), count);
        drop(worker);
        kept.ended();
    }

    #[tokio::test]
    async fn what_a_worker_offers_the_next_one_finds() {
        let mut kept = RetainedWeights::default();
        let worker = kept.open().unwrap();
        assert!(given(&worker).is_empty());
        let (descriptor, reader) = held();
        Handover::Weights(vec![descriptor]).send(&worker).unwrap();
        kept.heard().await;
        drop(worker);
        kept.heard().await;
        kept.ended();
        let worker = kept.open().unwrap();
        drop(given(&worker));
        // Another offer takes the place of the first.
        let (another, _reader) = held();
        Handover::Weights(vec![another]).send(&worker).unwrap();
        kept.heard().await;
        is_let_go(reader);
    }

    #[tokio::test]
    async fn a_dead_workers_last_offer_counts() {
        let mut kept = RetainedWeights::default();
        let worker = kept.open().unwrap();
        Handover::Weights(vec![held().0]).send(&worker).unwrap();
        drop(worker);
        kept.ended();
        starts_with(&mut kept, 1);
    }

    #[tokio::test]
    async fn a_refusal_is_answered_once_they_are_gone() {
        let (descriptor, reader) = held();
        let mut kept = RetainedWeights::stored(vec![(0, descriptor)]);
        let worker = kept.open().unwrap();
        assert_eq!(given(&worker).len(), 1);
        Handover::Nothing.send(&worker).unwrap();
        kept.heard().await;
        assert!(matches!(Handover::receive(&worker), Ok(Some(Handover::Nothing))));
        is_let_go(reader);
        drop(worker);
        kept.ended();
        starts_with(&mut kept, 0);
    }

    #[tokio::test]
    async fn workers_that_die_of_them_are_given_them_twice_and_not_again() {
        let mut kept = RetainedWeights::stored(vec![(0, held().0)]);
        for _ in 0..3 {
            starts_with(&mut kept, 1);
            let _worker = kept.open().unwrap();
            kept.ready();
            kept.ended();
        }
        starts_with(&mut kept, 1);
        starts_with(&mut kept, 1);
        starts_with(&mut kept, 0);
    }

    #[tokio::test]
    async fn nonsense_changes_nothing() {
        let mut kept = RetainedWeights::stored(vec![(0, held().0)]);
        let worker = kept.open().unwrap();
        rustix::net::send(&worker, b"garbage", rustix::net::SendFlags::empty()).unwrap();
        Handover::Nothing.send(&worker).unwrap();
        kept.heard().await;
        kept.ready();
        kept.ended();
        starts_with(&mut kept, 1);
    }

    #[tokio::test]
    async fn forgetting_frees_the_memory() {
        let (descriptor, reader) = held();
        let mut kept = RetainedWeights::stored(vec![(0, descriptor)]);
        kept.forget();
        is_let_go(reader);
        starts_with(&mut kept, 0);
    }

    #[tokio::test]
    async fn what_the_manager_stored_is_put_in_order_and_is_whole_or_nothing() {
        for (numbers, count) in
            [(vec![2, 0, 1], 3), (vec![0, 2], 0), (vec![1], 0), (vec![0, 0], 0), (vec![], 0)]
        {
            let stored = numbers.iter().map(|number| (*number, held().0)).collect();
            starts_with(&mut RetainedWeights::stored(stored), count);
        }
        assert_eq!(number("zimaged-weights-12"), Some(12));
        assert_eq!(number("zimaged-weights-"), None);
        assert_eq!(number("zimaged.socket"), None);
    }
}
