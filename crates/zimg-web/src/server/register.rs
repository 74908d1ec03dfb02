//! The open connections: at most so many, and when all places are taken the oldest one without a
//! request gives up its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// All open connections.
#[derive(Clone, Debug)]
pub(super) struct Register(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    most: usize,
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

/// What is known of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection {
    /// Requests whose responses are not sent whole.
    requests: Arc<AtomicUsize>,
    /// Ends it.
    pub evicted: Arc<Notify>,
}

/// A place in the register; dropping it gives it up.
#[derive(Debug)]
pub(super) struct Place {
    register: Register,
    number: u64,
    pub connection: Connection,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl Register {
    pub(super) fn new(most: usize) -> Self {
        let open = Open { most: most.max(1), next: 0, connections: BTreeMap::new() };
        Self(Arc::new(Mutex::new(open)))
    }

    /// A place for a new connection; none if all have requests under way.
    pub(super) fn enter(&self) -> Option<Place> {
        let mut open = self.open();
        if open.connections.len() >= open.most {
            let idle = |connection: &Connection| connection.requests.load(Ordering::Relaxed) == 0;
            let oldest = open.connections.iter().find(|(_, connection)| idle(connection));
            let number = oldest.map(|(number, _)| *number)?;
            if let Some(connection) = open.connections.remove(&number) {
                connection.evicted.notify_one();
            }
        }
        let number = open.next;
        open.next += 1;
        let connection = Connection::default();
        open.connections.insert(number, connection.clone());
        Some(Place { register: self.clone(), number, connection })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open().connections.len()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.register.open().connections.remove(&self.number);
    }
}

impl Connection {
    /// Notes a request; it is under way until the value is dropped.
    pub(super) fn request(&self) -> UnderWay {
        self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.requests))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_idle_connection_makes_room() {
        let register = Register::new(2);
        let first = register.enter().unwrap();
        let second = register.enter().unwrap();
        let request = first.connection.request();
        let third = register.enter().unwrap();
        assert_eq!(register.len(), 2);
        assert!(register.0.lock().unwrap().connections.contains_key(&first.number));
        assert!(!register.0.lock().unwrap().connections.contains_key(&second.number));
        let _busy = third.connection.request();
        assert!(register.enter().is_none());
        drop(request);
        assert!(register.enter().is_some());
        drop(second);
        assert_eq!(register.len(), 1, "the fourth was dropped, the third stays");
    }
}
