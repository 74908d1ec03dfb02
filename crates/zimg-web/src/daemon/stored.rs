//! Images of detached jobs, read from the daemon's job store.

use zimg_client::{Image, ImageInfo, JobId, Params, Started, Update};

use super::{Daemon, JobContext};
use crate::access::User;
use crate::problem::{Problem, Reason};

/// An image of the job store with what its file's metadata needs.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// Parameters and the values of the model's defaults.
    pub context: JobContext,
    /// The image.
    pub image: Image,
}

impl Daemon {
    /// What a detached job was asked for, and how it started if it did.
    pub(crate) async fn details(
        &self,
        job: JobId,
        has_started: bool,
    ) -> Result<(Params, Option<Started>), Problem> {
        let mut running = self.follow(job).await?;
        let params = running.params.clone();
        if !has_started {
            return Ok((params, None));
        }
        let started = match running.next().await {
            Some(Ok(Update::Started(started))) => Some(started),
            _ => None,
        };
        Ok((params, started))
    }

    /// Image `index` (from 0) of a user's detached job.
    ///
    /// # Errors
    ///
    /// There is no such image (yet), or no daemon answers.
    pub async fn image(&self, user: &User, job: JobId, index: u32) -> Result<StoredImage, Problem> {
        let missing = || {
            Problem::not_found(format!("there is no image {} of job {job}", u64::from(index) + 1))
        };
        let info = self.job(user, job).await?;
        if !info.detached || index >= info.generated {
            return Err(missing());
        }
        let mut running = self.follow(job).await?;
        let mut started: Option<Started> = None;
        while let Some(update) = running.next().await {
            match update? {
                Update::Started(values) => started = Some(values),
                Update::Image(Image { info: ImageInfo { index: this, .. }, .. })
                    if this < index => {}
                Update::Image(image) => {
                    let started = started.ok_or_else(|| {
                        Problem::new(Reason::Internal, "zimaged did not say how the job started")
                    })?;
                    let params = running.params.clone();
                    return Ok(StoredImage { context: JobContext { params, started }, image });
                }
                _ => {}
            }
        }
        Err(missing())
    }
}
