//! Retained weights: descriptors of weight memory that outlive a worker's process, for the next one.
//!
//! They are a manifest and memory of a GPU or of the host. The supervisor treats them as opaque and
//! never maps them. The service manager's fd store gets copies, so that they outlive the daemon
//! too. Closing the last descriptor frees the memory.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::fs::fcntl_get_seals;
use tokio::io::Interest;
use tokio::net::UnixStream;
use zimage_ipc::DESCRIPTORS_MAX;
use zimage_ipc::Handover;
use zimg_system::memory;

use super::WorkerId;
use crate::events;
use crate::systemd;

/// After so many workers that died before they were ready with retained weights, the weights are
/// suspected.
const TRIES: u32 = 2;

/// The descriptors, and the present worker's channel to change them.
#[derive(Debug)]
pub(crate) struct RetainedWeights {
    worker: WorkerId,
    retained: Vec<Retained>,
    /// No stream but a socket of packets: only when it can be read is asked of it.
    channel: Option<UnixStream>,
    /// Workers that were given them since one was ready with them.
    tries: u32,
    /// Processes that the kernel had ended for want of memory when the worker was started.
    oom_kills: Option<u64>,
}

/// One descriptor, with its name in the service manager's store.
#[derive(Debug)]
struct Retained {
    name: FdName,
    descriptor: OwnedFd,
}

/// The name of a descriptor of weights in the service manager's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FdName {
    /// Whose weights.
    pub worker: WorkerId,
    /// Which descriptor; 0 is the manifest.
    pub number: usize,
    /// As version 0.1 named it, when there was one worker.
    is_legacy: bool,
}

impl FdName {
    fn new(worker: WorkerId, number: usize) -> Self {
        Self { worker, number, is_legacy: false }
    }

    /// The name as the service manager has it, if it is one of weights.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if let Some(number) = name.strip_prefix("zimaged-weights-") {
            let (worker, number) = (WorkerId(0), number.parse().ok()?);
            return Some(Self { worker, number, is_legacy: true });
        }
        let (worker, number) = name.strip_prefix("zimaged-worker-")?.split_once("-weights-")?;
        Some(Self::new(WorkerId(worker.parse().ok()?), number.parse().ok()?))
    }
}

impl fmt::Display for FdName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_legacy {
            true => write!(f, "zimaged-weights-{}", self.number),
            false => write!(f, "zimaged-worker-{}-weights-{}", self.worker, self.number),
        }
    }
}

impl RetainedWeights {
    /// None yet.
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self { worker, retained: Vec::new(), channel: None, tries: 0, oom_kills: None }
    }

    /// Those of this worker that the service manager has stored; the others stay in `stored`.
    pub(crate) fn restore(worker: WorkerId, stored: &mut Vec<(FdName, OwnedFd)>) -> Self {
        let own = stored.extract_if(.., |(name, _)| name.worker == worker);
        let mut own: Vec<_> = own.map(|(name, descriptor)| Retained { name, descriptor }).collect();
        own.sort_by_key(|retained| retained.name.number);
        let numbers = own.iter().map(|retained| retained.name.number);
        if !numbers.eq(0..own.len()) || own.len() > DESCRIPTORS_MAX {
            tracing::warn!(
                event = events::WEIGHTS_INCOMPLETE,
                worker = worker.0,
                "the service manager returned only part of the retained weights"
            );
            own.drain(..).for_each(|retained| systemd::remove_fds(&retained.name.to_string()));
        }
        Self { retained: own, ..Self::new(worker) }
    }

    /// The worker's end of a channel for a process that is about to be started; the retained
    /// descriptors are already in it.
    ///
    /// # Errors
    ///
    /// The system has no room; then the worker reads its weights.
    pub(crate) fn open(&mut self) -> io::Result<OwnedFd> {
        self.channel = None;
        self.oom_kills = memory::oom_kills();
        let (ours, theirs) = Handover::pair()?;
        let copies = self
            .retained
            .iter()
            .map(|retained| retained.descriptor.try_clone())
            .collect::<io::Result<Vec<_>>>()?;
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

    /// Ready when the worker has offered weights, or refused the old ones, and that is done; never
    /// without a worker.
    pub(crate) fn poll_offer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(channel) = &self.channel else { return Poll::Pending };
            let said = match ready!(channel.poll_read_ready(context)) {
                Ok(()) => channel.try_io(Interest::READABLE, || Handover::receive(channel)),
                Err(error) => Err(error),
            };
            // It was not readable after all: polled again.
            if !matches!(&said, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                self.receive(said);
                return Poll::Ready(());
            }
        }
    }

    /// The worker is ready: the weights that it was given are good.
    pub(crate) fn ready(&mut self) {
        self.tries = 0;
    }

    /// The worker is gone. Its last offer counts.
    pub(crate) fn ended(&mut self) {
        while let Some(channel) = &self.channel {
            self.receive(Handover::receive(channel));
        }
        if self.is_of_the_host() && memory::oom_kills() > self.oom_kills {
            // No process is charged for it: the kernel would end one process after the other.
            tracing::warn!(
                event = events::WEIGHTS_DROPPED_FOR_MEMORY,
                worker = self.worker.0,
                "the machine has too little memory to keep the weights"
            );
            self.forget();
        }
        if self.tries >= TRIES {
            tracing::warn!(
                event = events::WEIGHTS_REJECTED,
                worker = self.worker.0,
                "workers end before they are ready with the retained weights"
            );
            self.forget();
        }
    }

    /// Closes all descriptors: once the worker is gone too, the memory is free.
    pub(crate) fn forget(&mut self) {
        for retained in self.retained.drain(..) {
            systemd::remove_fds(&retained.name.to_string());
        }
        self.tries = 0;
    }

    /// Whether it is the machine's own memory and not a GPU's: only that has seals.
    fn is_of_the_host(&self) -> bool {
        self.retained.last().is_some_and(|memory| fcntl_get_seals(&memory.descriptor).is_ok())
    }

    fn receive(&mut self, said: io::Result<Option<Handover>>) {
        match said {
            Ok(Some(Handover::Weights(descriptors))) => {
                self.forget();
                for (number, descriptor) in descriptors.into_iter().enumerate() {
                    let name = FdName::new(self.worker, number);
                    systemd::store_fd(&name.to_string(), &descriptor);
                    self.retained.push(Retained { name, descriptor });
                }
                let (worker, count) = (self.worker.0, self.retained.len());
                tracing::debug!(
                    event = events::WEIGHTS_RETAINED,
                    worker,
                    count,
                    "{count} descriptors of weights are retained"
                );
            }
            Ok(Some(Handover::Nothing)) => {
                self.forget();
                let answered = self.channel.as_ref().map(|channel| Handover::Nothing.send(channel));
                if let Some(Err(error)) = answered {
                    tracing::debug!(
                        event = events::WEIGHTS_REPLY_FAILED,
                        worker = self.worker.0,
                        "the worker does not hear that weights are gone: {error}"
                    );
                }
            }
            Ok(None) => self.channel = None,
            // It died without having read everything: told once, before what it said last.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::warn!(
                        event = events::WEIGHTS_MESSAGE_INVALID,
                        worker = self.worker.0,
                        "the worker says nonsense about weights: {error}"
                    );
                }
                self.channel = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::future::poll_fn;
    use std::io::Read;

    use super::*;

    /// A descriptor, and a reader that finds an end once all copies of it are closed.
    fn held() -> (OwnedFd, File) {
        let (reader, writer) = io::pipe().unwrap();
        (writer.into(), File::from(OwnedFd::from(reader)))
    }

    /// Blocks while a copy is open.
    fn is_let_go(mut reader: File) {
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    async fn offer(weights: &mut RetainedWeights) {
        poll_fn(|context| weights.poll_offer(context)).await;
    }

    /// What the service manager has stored of the first worker.
    fn stored(stored: Vec<(usize, OwnedFd)>) -> RetainedWeights {
        let worker = WorkerId(0);
        let mut all = stored
            .into_iter()
            .map(|(number, descriptor)| (FdName::new(worker, number), descriptor))
            .collect();
        RetainedWeights::restore(worker, &mut all)
    }

    fn given(worker: &OwnedFd) -> Vec<OwnedFd> {
        match Handover::receive(worker).unwrap() {
            Some(Handover::Weights(given)) => given,
            Some(Handover::Nothing) => Vec::new(),
            None => panic!("the supervisor closed its end"),
        }
    }

    /// A worker starts, finds so many descriptors and ends.
    fn starts_with(weights: &mut RetainedWeights, count: usize) {
        let worker = weights.open().unwrap();
        assert_eq!(given(&worker).len(), count);
        drop(worker);
        weights.ended();
    }

    #[tokio::test]
    async fn what_a_worker_offers_the_next_one_finds() {
        let mut weights = RetainedWeights::new(WorkerId(0));
        let worker = weights.open().unwrap();
        assert!(given(&worker).is_empty());
        let (descriptor, reader) = held();
        Handover::Weights(vec![descriptor]).send(&worker).unwrap();
        offer(&mut weights).await;
        drop(worker);
        offer(&mut weights).await;
        weights.ended();
        let worker = weights.open().unwrap();
        drop(given(&worker));
        // Another offer takes the place of the first.
        let (another, _reader) = held();
        Handover::Weights(vec![another]).send(&worker).unwrap();
        offer(&mut weights).await;
        is_let_go(reader);
    }

    #[tokio::test]
    async fn a_dead_workers_last_offer_counts() {
        let mut weights = RetainedWeights::new(WorkerId(0));
        let worker = weights.open().unwrap();
        Handover::Weights(vec![held().0]).send(&worker).unwrap();
        drop(worker);
        weights.ended();
        starts_with(&mut weights, 1);
    }

    #[tokio::test]
    async fn a_refusal_is_answered_once_they_are_gone() {
        let (descriptor, reader) = held();
        let mut weights = stored(vec![(0, descriptor)]);
        let worker = weights.open().unwrap();
        assert_eq!(given(&worker).len(), 1);
        Handover::Nothing.send(&worker).unwrap();
        offer(&mut weights).await;
        assert!(matches!(Handover::receive(&worker), Ok(Some(Handover::Nothing))));
        is_let_go(reader);
        drop(worker);
        weights.ended();
        starts_with(&mut weights, 0);
    }

    #[tokio::test]
    async fn workers_that_die_of_them_are_given_them_twice_and_not_again() {
        let mut weights = stored(vec![(0, held().0)]);
        for _ in 0..3 {
            starts_with(&mut weights, 1);
            let _worker = weights.open().unwrap();
            weights.ready();
            weights.ended();
        }
        starts_with(&mut weights, 1);
        starts_with(&mut weights, 1);
        starts_with(&mut weights, 0);
    }

    #[tokio::test]
    async fn nonsense_changes_nothing() {
        let mut weights = stored(vec![(0, held().0)]);
        let worker = weights.open().unwrap();
        rustix::net::send(&worker, b"garbage", rustix::net::SendFlags::empty()).unwrap();
        Handover::Nothing.send(&worker).unwrap();
        offer(&mut weights).await;
        weights.ready();
        weights.ended();
        starts_with(&mut weights, 1);
    }

    #[tokio::test]
    async fn forgetting_frees_the_memory() {
        let (descriptor, reader) = held();
        let mut weights = stored(vec![(0, descriptor)]);
        weights.forget();
        is_let_go(reader);
        starts_with(&mut weights, 0);
    }

    #[tokio::test]
    async fn what_the_manager_stored_is_put_in_order_and_is_whole_or_nothing() {
        for (numbers, count) in
            [(vec![2, 0, 1], 3), (vec![0, 2], 0), (vec![1], 0), (vec![0, 0], 0), (vec![], 0)]
        {
            let stored = numbers.iter().map(|number| (*number, held().0)).collect();
            starts_with(&mut self::stored(stored), count);
        }
    }

    #[test]
    fn names_are_understood_and_those_of_the_first_version_too() {
        let [first, second] = [0, 1].map(WorkerId);
        let legacy = FdName { worker: first, number: 12, is_legacy: true };
        assert_eq!(FdName::parse("zimaged-weights-12"), Some(legacy));
        assert_eq!(FdName::parse("zimaged-worker-1-weights-3"), Some(FdName::new(second, 3)));
        for name in ["zimaged-weights-12", "zimaged-worker-1-weights-3"] {
            assert_eq!(FdName::parse(name).unwrap().to_string(), name);
        }
        for other in ["zimaged-weights-", "zimaged-worker-1-weights-", "zimaged.socket"] {
            assert_eq!(FdName::parse(other), None);
        }
    }

    #[test]
    fn each_worker_finds_its_own() {
        let mut all: Vec<_> = [(1, 0), (0, 0), (1, 1)]
            .map(|(worker, number)| (FdName::new(WorkerId(worker), number), held().0))
            .into();
        let first = RetainedWeights::restore(WorkerId(0), &mut all);
        assert_eq!((first.retained.len(), all.len()), (1, 2));
        let second = RetainedWeights::restore(WorkerId(1), &mut all);
        assert_eq!((second.retained.len(), all.len()), (2, 0));
    }
}
