//! LRU cache: values by key, up to a total cost.

/// Values by key; the least recently used ones are evicted.
#[derive(Debug)]
pub(crate) struct LruCache<K, V> {
    /// The most recently used one is last.
    entries: Vec<(K, V, usize)>,
    limit: usize,
}

impl<K: PartialEq, V> LruCache<K, V> {
    /// Holds values whose costs add up to at most `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), limit }
    }

    /// The value of `key`, made by `make`, with its cost, if it is not cached.
    ///
    /// A value that costs more than the limit stays alone until the next one comes.
    ///
    /// # Errors
    /// Those of `make`; then nothing changes.
    pub(crate) fn get_or_make<E>(
        &mut self,
        key: K,
        make: impl FnOnce() -> Result<(V, usize), E>,
    ) -> Result<&mut V, E> {
        let entry = match self.entries.iter().position(|(k, ..)| *k == key) {
            Some(at) => self.entries.remove(at),
            None => {
                let (value, cost) = make()?;
                while !self.entries.is_empty() && self.cost() + cost > self.limit {
                    self.entries.remove(0);
                }
                (key, value, cost)
            }
        };
        let last = self.entries.len();
        self.entries.push(entry);
        Ok(&mut self.entries[last].1)
    }

    /// Whether the value of `key` is cached.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.iter().any(|(k, ..)| k == key)
    }

    /// Evicts all.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    fn cost(&self) -> usize {
        self.entries.iter().map(|(_, _, cost)| cost).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(lru: &mut LruCache<u8, u8>, key: u8, cost: usize) -> bool {
        let mut made = false;
        let value = lru.get_or_make(key, || {
            made = true;
            Ok::<_, ()>((key + 1, cost))
        });
        assert_eq!(value, Ok(&mut (key + 1)));
        made
    }

    #[test]
    fn the_least_recently_used_is_evicted_first() {
        let mut lru = LruCache::new(3);
        assert!(make(&mut lru, 1, 1) && make(&mut lru, 2, 1) && make(&mut lru, 3, 1));
        assert!(lru.contains(&1) && !lru.contains(&4));
        assert!(!make(&mut lru, 1, 1), "it is cached, and now the most recently used");
        assert!(make(&mut lru, 4, 1), "2 is evicted for it");
        assert!(!make(&mut lru, 1, 1) && !make(&mut lru, 3, 1) && make(&mut lru, 2, 1));
        assert!(make(&mut lru, 9, 100) && !make(&mut lru, 9, 100) && make(&mut lru, 1, 1));
        assert!(make(&mut lru, 9, 100), "too expensive to stay beside another");
        lru.clear();
        assert!(make(&mut lru, 9, 100));
    }

    #[test]
    fn an_error_changes_nothing() {
        let mut lru = LruCache::new(1);
        make(&mut lru, 1, 1);
        assert_eq!(lru.get_or_make(2, || Err::<(u8, usize), _>("no")), Err("no"));
        assert!(!make(&mut lru, 1, 1));
    }
}
