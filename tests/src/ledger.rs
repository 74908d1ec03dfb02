//! A client of detached jobs that records every answer, and so notices jobs that are lost, come
//! twice or come back, whatever is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use zimg_client::{
    Client, Failure, Generate, Image, ImageRole, ImageUpload, JobId, Params, PixelLayout, Priority,
    Update, UploadMethod,
};

use crate::daemon::{Daemon, finish};
use crate::mock::{chance, colour, coloured};

/// Sides of all images.
const SIDE: u32 = 64;

/// Numbers that are the same in every run.
#[derive(Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next one, from 0 to `end`, which it is not.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 += 1;
        chance(self.0) % end
    }
}

/// The answers that a client has had.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Jobs that were accepted, with the seed and the number of their images.
    accepted: BTreeMap<JobId, (u64, u32)>,
    /// Jobs that are to be forgotten, or are.
    forgotten: BTreeSet<JobId>,
    /// The same, and that they are was acknowledged.
    gone: BTreeSet<JobId>,
    seeds: u64,
}

impl Ledger {
    /// Asks, fetches and forgets while there is `more` to be done and the daemon answers.
    ///
    /// # Errors
    ///
    /// Why it did not answer.
    pub fn go_on(
        &mut self,
        daemon: &Daemon,
        seeded: &mut Seeded,
        mut more: impl FnMut() -> bool,
    ) -> Result<(), Failure> {
        while more() {
            let left = self.left();
            match seeded.below(4) {
                _ if left.len() < 3 => self.submit(daemon, seeded)?,
                0 if left.len() < 20 => self.submit(daemon, seeded)?,
                1 => {
                    let jobs = connect(daemon)?.jobs()?;
                    self.check_list(jobs.iter().filter(|info| info.detached).map(|info| info.job));
                }
                _ => {
                    let place = seeded.below(left.len() as u64);
                    self.fetch(daemon, left[usize::try_from(place).unwrap()])?;
                }
            }
        }
        Ok(())
    }

    /// Takes over jobs that the daemon has stored without an answer to their client: they count as accepted.
    ///
    /// # Errors
    ///
    /// Why the daemon did not answer.
    pub fn take_over(&mut self, daemon: &Daemon) -> Result<(), Failure> {
        let mut jobs = connect(daemon)?.jobs()?;
        jobs.retain(|info| info.detached);
        self.check_list(jobs.iter().map(|info| info.job));
        for info in jobs {
            self.accepted.entry(info.job).or_insert((info.seed, info.count));
            // It was fetched, and whether the daemon has deleted it is not known.
            self.forgotten.remove(&info.job);
        }
        Ok(())
    }

    /// Fetches all that is left and has it forgotten.
    ///
    /// # Errors
    ///
    /// Why the daemon did not answer.
    pub fn fetch_all(&mut self, daemon: &Daemon) -> Result<(), Failure> {
        self.take_over(daemon)?;
        self.left().into_iter().try_for_each(|job| self.fetch(daemon, job))
    }

    /// How many jobs were accepted, and how many of those asked for were not.
    pub fn counts(&self) -> (u64, u64) {
        let accepted = self.accepted.len() as u64;
        (accepted, self.seeds / 0x10 - accepted)
    }

    /// How many images all accepted jobs have.
    pub fn images(&self) -> u64 {
        self.accepted.values().map(|(_, count)| u64::from(*count)).sum()
    }

    fn submit(&mut self, daemon: &Daemon, seeded: &mut Seeded) -> Result<(), Failure> {
        // A seed of its own also for the one that the daemon may or may not have stored.
        self.seeds += 0x10;
        let (seed, count) = (self.seeds, 1 + u32::try_from(seeded.below(3)).unwrap());
        let priority = if seeded.below(2) == 0 { Priority::Interactive } else { Priority::Batch };
        let draw = Params {
            seed: Some(seed),
            count: Some(count),
            width: Some(SIDE),
            height: Some(SIDE),
            ..Params::new("a fox")
        };
        let submit = Generate {
            params: draw,
            priority,
            detach: true,
            previews: false,
            ..Generate::default()
        };
        let inputs = inputs(seed);
        let upload =
            |role, layout, pixels| ImageUpload { role, layout, width: SIDE, height: SIDE, pixels };
        let uploads = inputs.as_ref().map(|(initial, mask)| {
            let initial = upload(ImageRole::Initial, PixelLayout::Rgb8, initial);
            [initial, upload(ImageRole::Mask, PixelLayout::L8, mask)]
        });
        let uploads = uploads.iter().flatten().copied().collect::<Vec<_>>();
        let asked = connect(daemon)?.generate_from(submit, &uploads, UploadMethod::default());
        match asked?.next() {
            Some(Ok(Update::Accepted { job, .. })) => {
                assert_eq!(self.accepted.insert(job, (seed, count)), None, "{job} came twice");
                Ok(())
            }
            Some(Err(failure)) => Err(failure),
            other => panic!("not accepted but {other:?}"),
        }
    }

    fn fetch(&mut self, daemon: &Daemon, job: JobId) -> Result<(), Failure> {
        let (seed, count) = self.accepted[&job];
        check(&finish(connect(daemon)?.wait(job)?)?, seed, count);
        self.forgotten.insert(job);
        connect(daemon)?.forget(job)?;
        self.gone.insert(job);
        Ok(())
    }

    /// Jobs that the daemon must have.
    fn left(&self) -> Vec<JobId> {
        self.accepted.keys().filter(|job| !self.forgotten.contains(job)).copied().collect()
    }

    /// That the daemon has these jobs: all that it must have, and none that is gone.
    fn check_list(&self, jobs: impl Iterator<Item = JobId>) {
        let jobs: BTreeSet<_> = jobs.collect();
        let lost: Vec<_> = self.left().into_iter().filter(|job| !jobs.contains(job)).collect();
        assert!(lost.is_empty(), "{lost:?} are lost");
        let back: Vec<_> = jobs.intersection(&self.gone).collect();
        assert!(back.is_empty(), "{back:?} are back");
    }
}

/// A connection, if the daemon lives.
fn connect(daemon: &Daemon) -> Result<Client, Failure> {
    Client::connect("test 1.0", daemon.socket())
}

/// The initial image and the mask of the request with this seed; every second request has them.
fn inputs(seed: u64) -> Option<(Vec<u8>, Vec<u8>)> {
    if (seed / 0x10).is_multiple_of(2) {
        return None;
    }
    let pixels = u64::from(SIDE * SIDE);
    let bytes = |count: u64, salt: u64| {
        (0..count).map(|at| chance((seed + salt) ^ (at << 32)).to_be_bytes()[0]).collect()
    };
    Some((bytes(3 * pixels, 0), bytes(pixels, 1)))
}

/// That these are the images of the mock worker.
fn check(images: &[Image], seed: u64, count: u32) {
    assert_eq!(images.len(), count as usize);
    let inputs = inputs(seed);
    for (index, image) in (0..).zip(images) {
        assert_eq!((u64::from(image.info.index), image.info.seed), (index, seed + index));
        let colour = colour(seed + index);
        let expected = match &inputs {
            Some((initial, mask)) => coloured(initial, Some(mask), colour),
            None => colour.repeat(SIDE as usize * SIDE as usize),
        };
        assert!(image.pixels == expected, "the image of seed {} is another", seed + index);
    }
}
