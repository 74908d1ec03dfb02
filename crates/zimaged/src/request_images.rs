//! Pixels of requests' images in the daemon's memory, and the room that all of them share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use zimg_protocol::messages::Generate;
use zimg_protocol::{Failure, Kind};

use crate::owner::Owner;

/// Bytes of all images that unfinished requests have in memory.
const TOTAL: usize = 256 << 20;
/// Of one user id: three quarters, so that no user can lock out the others.
const PER_UID: usize = TOTAL / 4 * 3;
/// Of one owner: eight of the largest images with their masks. A front end has several owners.
const PER_OWNER: usize = TOTAL / 2;

/// The room for images in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageRoom(Arc<Mutex<HashMap<Owner, usize>>>);

/// A part of the room, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct ReservedRoom {
    room: ImageRoom,
    owner: Owner,
    bytes: usize,
}

/// The pixels of a request's images, in their order.
#[derive(Debug, Default)]
pub(crate) struct RequestImages {
    pixels: Vec<Bytes>,
    /// Free again when the images are dropped.
    _room: Option<ReservedRoom>,
}

/// A request with the pixels of its images.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub request: Generate,
    pub images: RequestImages,
}

impl From<Generate> for NewJob {
    /// A request without images.
    fn from(request: Generate) -> Self {
        Self { request, images: RequestImages::default() }
    }
}

impl ImageRoom {
    /// Takes room for a request's images.
    ///
    /// # Errors
    ///
    /// `Kind::Busy`: there is too little.
    pub(crate) fn reserve(&self, owner: Owner, bytes: usize) -> Result<ReservedRoom, Failure> {
        let mut used = self.used();
        let sum = |own: &dyn Fn(&Owner) -> bool| {
            used.iter().filter(|(other, _)| own(other)).map(|(_, bytes)| bytes).sum::<usize>()
        };
        let limits = [
            ("your unfinished requests", PER_OWNER, sum(&|other| *other == owner)),
            ("your unfinished requests", PER_UID, sum(&|other| other.uid == owner.uid)),
            ("all unfinished requests", TOTAL, sum(&|_| true)),
        ];
        for (whose, limit, used) in limits {
            if used + bytes > limit {
                return Err(Failure::new(
                    Kind::Busy,
                    format!(
                        "images of {whose} have {} MiB in the daemon's memory, and with these {} \
                         MiB they would exceed {} MiB",
                        used.div_ceil(1 << 20),
                        bytes.div_ceil(1 << 20),
                        limit >> 20
                    ),
                )
                .hint("try again when a job has ended; images of detached jobs wait on the disk"));
            }
        }
        *used.entry(owner.clone()).or_default() += bytes;
        drop(used);
        Ok(ReservedRoom { room: self.clone(), owner, bytes })
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ReservedRoom {
    fn drop(&mut self) {
        let mut used = self.room.used();
        if let Some(bytes) = used.get_mut(&self.owner) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                used.remove(&self.owner);
            }
        }
    }
}

impl RequestImages {
    /// Images that have come with a request.
    pub(crate) fn received(pixels: Vec<Bytes>, room: ReservedRoom) -> Self {
        Self { pixels, _room: Some(room) }
    }

    /// Images that are in the store, too: the job table limits how many are in memory.
    pub(crate) fn stored(pixels: Vec<Bytes>) -> Self {
        Self { pixels, _room: None }
    }

    pub(crate) fn pixels(&self) -> &[Bytes] {
        &self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn owner(uid: u32, user: &str) -> Owner {
        Owner::new(uid, Some(user).filter(|user| !user.is_empty()))
    }

    #[test]
    fn no_owner_and_no_user_takes_all_of_the_room() {
        let room = ImageRoom::default();
        let take = |owner: Owner, bytes| room.reserve(owner, bytes);
        let of_one: Vec<_> = (0..8).map(|_| take(owner(7, ""), 16 * MIB).unwrap()).collect();
        let failure = take(owner(7, ""), 3 * MIB).unwrap_err();
        assert_eq!(failure.kind, Kind::Busy);
        assert_eq!(
            failure.message,
            "images of your unfinished requests have 128 MiB in the daemon's memory, and with \
             these 3 MiB they would exceed 128 MiB"
        );
        // Another user behind the same front end, but not any number of them.
        let behind = take(owner(7, "ann"), 64 * MIB).unwrap();
        let failure = take(owner(7, "bob"), 1).unwrap_err();
        assert!(failure.message.ends_with("would exceed 192 MiB"), "{failure}");
        let other = take(owner(8, ""), 64 * MIB).unwrap();
        let failure = take(owner(9, ""), 1).unwrap_err();
        assert!(failure.message.starts_with("images of all unfinished requests have 256 MiB"));
        drop(behind);
        let again = take(owner(9, ""), 64 * MIB).unwrap();
        drop((of_one, other, again));
        assert!(room.used().is_empty());
    }
}
