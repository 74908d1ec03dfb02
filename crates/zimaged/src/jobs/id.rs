//! Job ids. The store reserves them in blocks, so that none is used twice and not each costs a
//! write.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use zimg_protocol::messages::JobId;

/// With fewer ids than this more are reserved.
const FEW: u64 = 100;

/// The ids that may be given out.
#[derive(Debug, Default)]
pub(crate) struct JobIds {
    block: Range<JobId>,
    /// A reservation is under way.
    requested: bool,
    /// The last id that did not come from the store.
    made_up: JobId,
}

impl JobIds {
    /// The next id. Without the store it is made up from the seconds since 1970, which no counter
    /// of jobs reaches.
    pub(crate) fn next(&mut self) -> JobId {
        self.next_unique().unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            self.made_up = now.max(self.made_up + 1);
            self.made_up
        })
    }

    /// The next id, if it is one that no other job will ever have.
    pub(crate) fn next_unique(&mut self) -> Option<JobId> {
        self.block.next()
    }

    /// Whether more are to be reserved now.
    pub(crate) fn needs_more(&mut self) -> bool {
        let few = self.block.end - self.block.start < FEW;
        few && !std::mem::replace(&mut self.requested, few)
    }

    /// A block was reserved, or could not be: then it is requested again at the next occasion.
    pub(crate) fn reserved(&mut self, block: Option<Range<JobId>>) {
        self.requested = false;
        if let Some(block) = block {
            self.block = block;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_blocks_and_none_comes_twice() {
        let mut ids = JobIds::default();
        assert!(ids.needs_more());
        assert!(!ids.needs_more(), "asked once");
        ids.reserved(Some(1..1001));
        let first: Vec<_> = (0..900).map(|_| ids.next()).collect();
        assert_eq!((first[0], first[899]), (1, 900));
        assert!(!ids.needs_more());
        ids.next();
        assert!(ids.needs_more());
        // A new block replaces what is left of the old one.
        ids.reserved(Some(1001..2001));
        assert_eq!(ids.next_unique(), Some(1001));
    }

    #[test]
    fn without_blocks_ids_are_high_and_differ() {
        let mut ids = JobIds::default();
        assert_eq!(ids.next_unique(), None);
        let (one, other) = (ids.next(), ids.next());
        assert!(one > 1_700_000_000 && other > one);
        assert!(ids.needs_more());
        ids.reserved(None);
        assert!(ids.needs_more(), "asked again");
        ids.reserved(Some(1..2));
        assert_eq!(ids.next(), 1);
    }
}
