//! Jobs' numbers. The store hands them out in blocks, so that none is ever given twice and not
//! each costs a write.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use zimg_protocol::messages::JobId;

/// How many numbers are asked for at a time.
pub(crate) const BLOCK: u32 = 1000;
/// With fewer than this more are asked for.
const FEW: u64 = 100;

/// The numbers at hand.
#[derive(Debug, Default)]
pub(crate) struct JobIds {
    block: Range<JobId>,
    asked: bool,
    /// The last one that was made up.
    made_up: JobId,
}

impl JobIds {
    /// The next job's number. Without the store it is made up from the seconds since 1970, which
    /// no counter of jobs comes to.
    pub(crate) fn next(&mut self) -> JobId {
        self.next_for_ever().unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            self.made_up = now.max(self.made_up + 1);
            self.made_up
        })
    }

    /// The next job's number, if it is one that no other job will ever have.
    pub(crate) fn next_for_ever(&mut self) -> Option<JobId> {
        self.block.next()
    }

    /// Whether more are to be asked for now.
    pub(crate) fn want(&mut self) -> bool {
        let few = self.block.end - self.block.start < FEW;
        few && !std::mem::replace(&mut self.asked, few)
    }

    /// More of them have come; or they have not, and are asked for again when somebody says so.
    pub(crate) fn come(&mut self, block: Option<Range<JobId>>) {
        self.asked = false;
        if let Some(block) = block {
            self.block = block;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_blocks_and_none_comes_twice() {
        let mut numbers = JobIds::default();
        assert!(numbers.want());
        assert!(!numbers.want(), "asked once");
        numbers.come(Some(1..1001));
        let first: Vec<_> = (0..900).map(|_| numbers.next()).collect();
        assert_eq!((first[0], first[899]), (1, 900));
        assert!(!numbers.want());
        numbers.next();
        assert!(numbers.want());
        // Those that are left are not lost on anybody: a block replaces it when it comes.
        numbers.come(Some(1001..2001));
        assert_eq!(numbers.next_for_ever(), Some(1001));
    }

    #[test]
    fn without_blocks_numbers_are_high_and_differ() {
        let mut numbers = JobIds::default();
        assert_eq!(numbers.next_for_ever(), None);
        let (one, other) = (numbers.next(), numbers.next());
        assert!(one > 1_700_000_000 && other > one);
        assert!(numbers.want());
        numbers.come(None);
        assert!(numbers.want(), "asked again");
        numbers.come(Some(1..2));
        assert_eq!(numbers.next(), 1);
    }
}
