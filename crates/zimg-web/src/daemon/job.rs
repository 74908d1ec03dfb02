//! Jobs: submitting them, and following their updates.

use std::path::PathBuf;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::spawn_blocking;
use zimg_client::limits::USER_BYTES;
use zimg_client::{
    Canceller, Client, Failure, Generate, Job, JobId, Kind, Params, Update, UploadMethod,
};
use zimg_image::InputImages;

use super::Daemon;
use super::connection::connect;
use super::inputs::uploads;
use crate::access::User;
use crate::problem::{Problem, Reason};

/// Updates that may wait: an image's pixels are 12 MiB at most, and the daemon drops previews and
/// steps that are not read.
const UPDATES: usize = 2;

/// A job that runs or waits. Dropping it cancels an attached job, and ends the subscription to a
/// detached one.
#[derive(Debug)]
pub struct RunningJob {
    /// Its number.
    pub job: JobId,
    /// How many jobs were before it when it was accepted.
    pub position: u32,
    /// What is generated: the request's parameters.
    pub params: Params,
    updates: mpsc::Receiver<Result<Update, Problem>>,
    canceller: Canceller,
}

/// What a thread says when the daemon has accepted its request.
struct Accepted {
    job: JobId,
    position: u32,
    params: Option<Params>,
    canceller: Canceller,
}

type First = oneshot::Sender<Result<Accepted, Problem>>;

impl RunningJob {
    /// The next update; none after `Update::Done` and after a problem.
    pub async fn next(&mut self) -> Option<Result<Update, Problem>> {
        self.updates.recv().await
    }

    /// Requests its end at the next step. An attached job then ends with a problem: cancelled.
    pub fn cancel(&mut self) {
        // A connection that is gone has ended it.
        let _ = self.canceller.cancel();
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Daemon {
    /// Submits an attached job, with the images that it starts from; returns when it is accepted.
    ///
    /// # Errors
    ///
    /// The daemon refuses it, has no place, or does not answer.
    pub async fn generate(
        &self,
        user: &User,
        request: Generate,
        images: Option<InputImages>,
    ) -> Result<RunningJob, Problem> {
        let request = Generate { detach: false, ..for_user(user, request)? };
        let params = request.params.clone();
        self.converse(Some(params), starting(request, images)).await
    }

    /// Subscribes to a detached job of any user.
    ///
    /// # Errors
    ///
    /// There is no such job, or the daemon does not answer.
    pub(crate) async fn follow(&self, job: JobId) -> Result<RunningJob, Problem> {
        self.converse(None, move |client| client.wait(job)).await
    }

    /// Submits a detached job; returns its number and position when it is on the daemon's disk.
    ///
    /// # Errors
    ///
    /// As [`Self::generate`].
    pub async fn submit(
        &self,
        user: &User,
        request: Generate,
        images: Option<InputImages>,
    ) -> Result<(JobId, u32), Problem> {
        let request = Generate { detach: true, ..for_user(user, request)? };
        let params = request.params.clone();
        let running = self.converse(Some(params), starting(request, images)).await?;
        Ok((running.job, running.position))
    }

    async fn converse(
        &self,
        params: Option<Params>,
        start: impl FnOnce(Client) -> Result<Job, Failure> + Send + 'static,
    ) -> Result<RunningJob, Problem> {
        let permit = self.connection().await?;
        let (first, accepted) = oneshot::channel();
        let (sender, updates) = mpsc::channel(UPDATES);
        let socket = self.0.socket.clone();
        spawn_blocking(move || conversation(permit, socket, start, first, &sender));
        let accepted = accepted.await.map_err(|_| ended())??;
        let params = accepted.params.or(params).unwrap_or_default();
        let Accepted { job, position, canceller, .. } = accepted;
        Ok(RunningJob { job, position, params, updates, canceller })
    }
}

/// How a job is started on a connection.
fn starting(
    request: Generate,
    images: Option<InputImages>,
) -> impl FnOnce(Client) -> Result<Job, Failure> + Send + 'static {
    move |client| match &images {
        Some(images) => client.generate_from(request, &uploads(images), UploadMethod::Memory),
        None => client.generate(request),
    }
}

/// The thread: connects, starts a job, and passes its updates on until it ends or is not read.
fn conversation(
    permit: OwnedSemaphorePermit,
    socket: PathBuf,
    start: impl FnOnce(Client) -> Result<Job, Failure>,
    first: First,
    updates: &mpsc::Sender<Result<Update, Problem>>,
) {
    let _permit = permit;
    let begun = connect(&socket)
        .and_then(start)
        .and_then(|job| Ok((job.canceller()?, job)))
        .map_err(Problem::from)
        .and_then(|(canceller, mut job)| Ok((accepted(&mut job, canceller)?, job)));
    let job = match begun {
        Ok((accepted, job)) => {
            // A request whose client has left is dropped here, and with its connection its job.
            if first.send(Ok(accepted)).is_err() {
                return;
            }
            job
        }
        Err(problem) => {
            let _ = first.send(Err(problem));
            return;
        }
    };
    for update in job {
        if updates.blocking_send(update.map_err(Problem::from)).is_err() {
            return;
        }
    }
}

fn accepted(job: &mut Job, canceller: Canceller) -> Result<Accepted, Problem> {
    match job.next() {
        Some(Ok(Update::Accepted { job: id, position })) => {
            Ok(Accepted { job: id, position, params: job.asked().cloned(), canceller })
        }
        Some(Ok(_)) => Err(ended()),
        Some(Err(failure)) => Err(match job.busy() {
            Some(busy) => Problem::busy(busy),
            None => failure.into(),
        }),
        None => Err(ended()),
    }
}

fn ended() -> Problem {
    Problem::new(Reason::Internal, "the conversation with zimaged ended before its answer")
}

/// The request with the user for whom it is made.
fn for_user(user: &User, mut request: Generate) -> Result<Generate, Problem> {
    if let Some(name) = user.name().filter(|name| name.len() > USER_BYTES) {
        let message =
            format!("the name of the key has {} bytes, expected {USER_BYTES}", name.len());
        return Err(Failure::new(Kind::Config, message).into());
    }
    request.on_behalf_of = user.name().map(str::to_owned);
    Ok(request)
}
