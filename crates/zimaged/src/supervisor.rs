//! The one owner of the daemon's state: clients, jobs, the worker. It receives messages and never
//! waits for anybody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use zimg_protocol::messages::{
    Command, Draw, Event, JobId, ModelInfo, Report, Request, Status, Timings, Waiting, WorkerState,
};
use zimg_protocol::{Failure, Kind};

use crate::job::{Job, Wrong};
use crate::notify::Notifier;
use crate::outbox::Outbox;
use crate::queue::{Full, Limits, Queue};
use crate::worker::link::{FromWorker, Link};
use crate::worker::process::Plan;
use crate::worker::state::{Action, Input, Life, State};

/// Accepted and unfinished jobs.
const JOBS: Limits = Limits { total: 64, per_user: 8 };
/// Bytes of pixels that wait for one client; a client that lets more gather is dropped.
const PIXELS_PER_CLIENT: usize = 64 << 20;
/// The same for all clients together; the one with the most is dropped.
const PIXELS_IN_ALL: usize = 128 << 20;
/// How long the running job may go on after the daemon was told to end.
const DRAIN: Duration = Duration::from_secs(60);
/// How long the worker has to end after its input did.
const WORKER_END: Duration = Duration::from_secs(3);
/// Messages that may wait for the supervisor.
pub(crate) const MESSAGES_MAX: usize = 64;

/// A connection's number.
pub(crate) type ClientId = u64;

/// What comes from clients.
#[derive(Debug)]
pub(crate) enum FromClient {
    /// A connection is open.
    Joined { id: ClientId, uid: u32, outbox: Outbox },
    /// It asks something.
    Asked { id: ClientId, request: Request },
    /// It is closed.
    Left { id: ClientId },
}

#[derive(Debug)]
struct Client {
    uid: u32,
    outbox: Outbox,
    /// Its unfinished job.
    job: Option<JobId>,
}

/// The daemon's state.
#[derive(Debug)]
pub(crate) struct Supervisor {
    started: Instant,
    plan: Result<Plan, Failure>,
    clients: HashMap<ClientId, Client>,
    queue: Queue,
    jobs: HashMap<JobId, Job>,
    last_job: JobId,
    life: Life,
    link: Option<Link>,
    to_supervisor: mpsc::Sender<FromWorker>,
    from_worker: mpsc::Receiver<FromWorker>,
    /// When the pause before the next start ends.
    pause_until: Option<Instant>,
    worker_started: Instant,
    model: Option<ModelInfo>,
    load_s: Option<f32>,
    done: u64,
    failed: u64,
    /// Until when the running job may go on, once the daemon ends.
    stop_by: Option<Instant>,
    notifier: Notifier,
}

/// What woke the supervisor.
enum Woken {
    Client(FromClient),
    Worker(FromWorker),
    PauseOver,
    Terminate,
    HangUp,
    TimeUp,
}

impl Supervisor {
    /// A supervisor of a worker started as planned, or, without a plan, of none: every job is
    /// refused with the plan's failure.
    pub(crate) fn new(plan: Result<Plan, Failure>) -> Self {
        let (to_supervisor, from_worker) = mpsc::channel(MESSAGES_MAX);
        Self {
            started: Instant::now(),
            plan,
            clients: HashMap::new(),
            queue: Queue::new(JOBS),
            jobs: HashMap::new(),
            last_job: 0,
            life: Life::new(),
            link: None,
            to_supervisor,
            from_worker,
            pause_until: None,
            worker_started: Instant::now(),
            model: None,
            load_s: None,
            done: 0,
            failed: 0,
            stop_by: None,
            notifier: Notifier::default(),
        }
    }

    /// Works until told to end by SIGTERM or SIGINT; then the running job may finish, while who
    /// comes is told why nothing is drawn. `stop_accepting` is called when it has, and the worker
    /// is gone when this returns. A second signal cuts it short.
    ///
    /// # Errors
    ///
    /// Signals cannot be received.
    pub(crate) async fn run(
        mut self,
        mut clients: mpsc::Receiver<FromClient>,
        stop_accepting: impl FnOnce(),
    ) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        self.spawn();
        loop {
            self.settle();
            if self.stop_by.is_some() && self.queue.running().is_none() {
                break;
            }
            let woken = tokio::select! {
                Some(message) = clients.recv() => Woken::Client(message),
                Some(message) = self.from_worker.recv() => Woken::Worker(message),
                () = at(self.pause_until) => Woken::PauseOver,
                () = at(self.stop_by) => Woken::TimeUp,
                () = either(&mut terminate, &mut interrupt) => Woken::Terminate,
                _ = hang_up.recv() => Woken::HangUp,
            };
            match woken {
                Woken::Client(message) => self.client(message),
                Woken::Worker(message) => self.worker(message),
                Woken::PauseOver => {
                    self.pause_until = None;
                    self.happened(Input::PauseOver);
                }
                Woken::HangUp => tracing::info!("SIGHUP: a new configuration needs a restart"),
                Woken::Terminate if self.stop_by.is_none() => self.stop(),
                Woken::Terminate | Woken::TimeUp => {
                    tracing::info!("the running job is given up");
                    if let Some(job) = self.queue.running() {
                        self.end(job, Err(shutting_down()));
                    }
                }
            }
        }
        stop_accepting();
        for client in self.clients.values() {
            client.outbox.close();
        }
        // What connections still say is of no interest, but each must end.
        clients.close();
        while let Some(message) = clients.recv().await {
            if let FromClient::Joined { outbox, .. } = message {
                outbox.close();
            }
        }
        self.end_worker().await;
        Ok(())
    }

    /// No more jobs; those that wait are refused.
    fn stop(&mut self) {
        tracing::info!(
            queued = self.queue.len(),
            running = self.queue.running(),
            "shutting down; the running job has {} s, a second signal ends it",
            DRAIN.as_secs()
        );
        self.notifier.stopping();
        self.stop_by = Some(Instant::now() + DRAIN);
        self.happened(Input::Stop);
        self.refuse_waiting(&shutting_down());
    }

    /// Closes the worker's input, which ends it, and waits; kills it when that takes long.
    async fn end_worker(&mut self) {
        let Some(link) = self.link.take() else { return };
        let kill = link.into_kill();
        let patience = tokio::time::Instant::now() + WORKER_END;
        loop {
            tokio::select! {
                message = self.from_worker.recv() => match message {
                    Some(FromWorker::Exited(_)) | None => return,
                    Some(_) => {}
                },
                () = sleep_until(patience) => {
                    kill.notify_one();
                    // A killed process is reaped in a moment, or the kernel is stuck with it.
                    let last = tokio::time::timeout(WORKER_END, async {
                        while !matches!(
                            self.from_worker.recv().await,
                            Some(FromWorker::Exited(_)) | None
                        ) {}
                    });
                    if last.await.is_err() {
                        tracing::warn!("the worker does not end");
                    }
                    return;
                }
            }
        }
    }

    fn client(&mut self, message: FromClient) {
        match message {
            FromClient::Joined { id, uid, outbox } => {
                self.clients.insert(id, Client { uid, outbox, job: None });
            }
            FromClient::Left { id } => {
                if let Some(client) = self.clients.remove(&id)
                    && let Some(job) = client.job
                {
                    self.cancel(job);
                }
            }
            FromClient::Asked { id, request } => {
                let Some(client) = self.clients.get(&id) else { return };
                match request {
                    Request::Draw(draw) => self.draw(id, draw),
                    Request::Submit(submit) if !submit.detach => self.draw(id, submit.draw),
                    Request::Cancel => {
                        // A job that has just ended has been answered already.
                        if let Some(job) = client.job {
                            self.cancel(job);
                        }
                    }
                    Request::Status => {
                        client.outbox.event(Event::Status(Box::new(self.status())));
                    }
                    _ => client
                        .outbox
                        .error(&Failure::new(Kind::Usage, "this zimaged does not do that yet")),
                }
            }
        }
    }

    fn draw(&mut self, id: ClientId, draw: Draw) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.job.is_some() {
            client.outbox.error(&Failure::new(
                Kind::Usage,
                "one connection has one job at a time: wait for its end or open another connection",
            ));
            return;
        }
        let job = self.last_job + 1;
        let taken = match (self.life.state(), self.stop_by) {
            (_, Some(_)) => Err(shutting_down()),
            (State::Failed(failure), _) => Err(failure.clone()),
            _ => draw.check().and_then(|()| self.queue.push(client.uid, job).map_err(busy)),
        };
        match taken {
            Ok(()) => {
                self.last_job = job;
                client.job = Some(job);
                let positions = self.queue.positions();
                let position = positions.iter().find(|(other, _)| *other == job);
                let position = position.map_or(0, |(_, position)| *position);
                client.outbox.event(Event::Accepted { job, position });
                self.jobs.insert(job, Job::new(job, id, client.uid, draw, position));
            }
            Err(failure) => {
                tracing::info!(
                    uid = client.uid,
                    result = failure.kind.exit_code(),
                    "refused: {failure}"
                );
                self.failed += 1;
                client.outbox.event(Event::Failed(failure));
            }
        }
    }

    /// Ends a job: at once while it waits, at the next step while it runs.
    fn cancel(&mut self, job: JobId) {
        if self.queue.remove(job) {
            self.end(job, Err(Failure::new(Kind::Cancelled, "cancelled while waiting")));
        } else if let (Some(running), Some(link)) = (self.jobs.get_mut(&job), &self.link)
            && !running.cancelled
        {
            running.cancelled = true;
            link.command(Command::Cancel { job });
        }
    }

    fn worker(&mut self, message: FromWorker) {
        match message {
            FromWorker::Report(report) => self.report(report),
            FromWorker::Pixels(chunk) => {
                let running = self.queue.running().and_then(|job| self.jobs.get_mut(&job));
                match running.map(|job| (job.pixels(chunk.len()), job.client)) {
                    Some((Ok(()), client)) => self.hand_over(client, chunk),
                    Some((Err(Wrong(what)), _)) => self.happened(Input::Nonsense(what.into())),
                    None => self.happened(Input::Nonsense("pixels without a job".into())),
                }
            }
            FromWorker::Latents => {}
            FromWorker::Nonsense(what) => self.happened(Input::Nonsense(what)),
            FromWorker::Exited(exit) => {
                self.link = None;
                self.model = None;
                self.load_s = None;
                self.happened(Input::Exited(exit));
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Loading { done, total } => self.happened(Input::Loading { done, total }),
            Report::Warming => self.happened(Input::Warming),
            Report::Ready(model) => {
                let load_s = self.worker_started.elapsed().as_secs_f32();
                tracing::info!(
                    model = model.name,
                    device = model.device,
                    dtype = model.dtype,
                    load_s = format_args!("{load_s:.2}"),
                    "ready"
                );
                self.load_s = Some(load_s);
                self.model = Some(model);
                self.happened(Input::Ready);
            }
            Report::Started { job, started } => {
                self.happened(Input::Step { job, step: 0, of: started.steps });
                if let Some(running) = self.running(job) {
                    running.started(&started);
                    self.tell(job, Event::Started(started));
                }
            }
            Report::Step { job, step } => {
                self.happened(Input::Step { job, step: step.step, of: step.of });
                if self.running(job).is_some() {
                    self.tell(job, Event::Step(step));
                }
            }
            Report::Decoding { job, picture } => {
                if self.running(job).is_some() {
                    self.tell(job, Event::Decoding { picture });
                }
            }
            Report::Picture { job, picture } => {
                match self.running(job).map(|running| running.picture(&picture)) {
                    Some(Ok(())) => self.tell(job, Event::Picture(picture)),
                    Some(Err(Wrong(what))) => self.happened(Input::Nonsense(what.into())),
                    None => self.happened(Input::Nonsense("a picture without a job".into())),
                }
            }
            Report::Done { job, timings } => match self.running(job).map(|job| job.complete()) {
                Some(Err(Wrong(what))) => self.happened(Input::Nonsense(what.into())),
                _ => {
                    self.happened(Input::Ended { job, drawn: true });
                    self.end(job, Ok(timings));
                }
            },
            Report::Failed { job, failure } => {
                self.happened(Input::Ended { job, drawn: false });
                self.end(job, Err(failure));
            }
            Report::Fatal(failure) => self.happened(Input::Fatal(failure)),
            Report::Latents { .. }
            | Report::Paused { .. }
            | Report::Preview { .. }
            | Report::Weights(_)
            | Report::Memory(_) => {}
        }
    }

    /// The job if it is the one that the worker draws.
    fn running(&mut self, job: JobId) -> Option<&mut Job> {
        match self.life.state() {
            State::Busy { job: present, .. } if *present == job => self.jobs.get_mut(&job),
            _ => None,
        }
    }

    /// Pixels for a client, or the end of the client that holds too many.
    fn hand_over(&mut self, id: ClientId, chunk: bytes::Bytes) {
        let Some(client) = self.clients.get(&id) else { return };
        client.outbox.pixels(chunk);
        if client.outbox.held() > PIXELS_PER_CLIENT {
            client.outbox.cut();
        }
        let held: usize = self.clients.values().map(|client| client.outbox.held()).sum();
        if held > PIXELS_IN_ALL
            && let Some(most) = self.clients.values().max_by_key(|client| client.outbox.held())
        {
            most.outbox.cut();
        }
    }

    fn tell(&self, job: JobId, event: Event) {
        if let Some(client) = self.jobs.get(&job).and_then(|job| self.clients.get(&job.client)) {
            client.outbox.event(event);
        }
    }

    /// A job's only end: the queue, the counters, the log and the client learn of it. A job that
    /// has ended already is left in peace.
    fn end(&mut self, job: JobId, result: Result<Timings, Failure>) {
        let Some(ended) = self.jobs.remove(&job) else { return };
        if self.queue.running() == Some(job) {
            self.queue.finish();
        }
        ended.log(&result);
        let event = match result {
            Ok(timings) => {
                self.done += 1;
                Event::Done(ended.timings(timings))
            }
            Err(failure) => {
                self.failed += 1;
                Event::Failed(failure)
            }
        };
        if let Some(client) = self.clients.get_mut(&ended.client) {
            client.job = None;
            client.outbox.event(event);
        }
    }

    /// Applies what happened to the worker's life and does what that asks for.
    fn happened(&mut self, input: Input) {
        for action in self.life.apply(input) {
            match action {
                Action::Spawn => self.spawn(),
                Action::Kill => {
                    if let Some(link) = &self.link {
                        link.kill();
                    }
                }
                Action::Pause(pause) => {
                    tracing::warn!(
                        pause_s = pause.as_secs_f32(),
                        "{}; it is started again",
                        self.life.last_error().unwrap_or("the worker ended")
                    );
                    self.pause_until = Some(Instant::now() + pause);
                }
                Action::LoseJob { job, reason } => self.lose(job, reason),
                Action::RefuseAll(failure) => {
                    match &failure.hint {
                        Some(hint) => tracing::error!("cannot draw: {failure}; {hint}"),
                        None => tracing::error!("cannot draw: {failure}"),
                    }
                    self.refuse_waiting(&failure);
                }
            }
        }
    }

    /// The worker died and the job with it, unless it had not begun.
    fn lose(&mut self, job: JobId, reason: String) {
        let Some(lost) = self.jobs.get(&job) else { return };
        if lost.may_go_back() && self.stop_by.is_none() {
            self.queue.put_back();
            return;
        }
        let kind = if lost.cancelled { Kind::Cancelled } else { Kind::Internal };
        let failure = Failure::new(kind, reason);
        let failure = match kind {
            Kind::Internal => {
                failure.hint("a new worker is started: try again; the daemon's log may say more")
            }
            _ => failure,
        };
        self.end(job, Err(failure));
    }

    fn spawn(&mut self) {
        self.worker_started = Instant::now();
        match self.plan.as_ref().map_err(Clone::clone).and_then(Plan::spawn) {
            Ok((child, socket)) => match socket
                .set_nonblocking(true)
                .and_then(|()| tokio::net::UnixStream::from_std(socket))
            {
                Ok(socket) => {
                    self.link = Some(Link::new(child, socket, self.to_supervisor.clone()));
                }
                Err(error) => {
                    let failure = Failure::new(Kind::Internal, format!("no socket: {error}"));
                    self.happened(Input::NotStarted(failure));
                }
            },
            Err(failure) => self.happened(Input::NotStarted(failure)),
        }
    }

    fn refuse_waiting(&mut self, failure: &Failure) {
        for (job, _) in self.queue.positions() {
            self.queue.remove(job);
            self.end(job, Err(failure.clone()));
        }
    }

    /// After every message: a ready worker gets the next job, and who waits learns why.
    fn settle(&mut self) {
        if *self.life.state() == State::Ready
            && self.stop_by.is_none()
            && let Some(job) = self.queue.start_next()
            && let (Some(next), Some(link)) = (self.jobs.get_mut(&job), &self.link)
        {
            link.command(Command::Draw { job, draw: next.begin(), previews: false, from: None });
            self.happened(Input::Given(job));
        }
        let worker = self.life.told();
        let ready = matches!(worker, WorkerState::Ready | WorkerState::Busy { .. });
        for (job, position) in self.queue.positions() {
            let waiting =
                if ready { Waiting::Queue { position } } else { Waiting::Worker(worker.clone()) };
            if let Some(job) = self.jobs.get_mut(&job)
                && job.told.as_ref() != Some(&waiting)
                && let Some(client) = self.clients.get(&job.client)
            {
                client.outbox.event(Event::Waiting(waiting.clone()));
                job.told = Some(waiting);
            }
        }
        if self.stop_by.is_none() {
            self.notifier.worker(&worker);
        }
    }

    fn status(&self) -> Status {
        let mut worker = self.life.told();
        if let (WorkerState::Restarting { in_ms, .. }, Some(until)) =
            (&mut worker, self.pause_until)
        {
            let left = until.saturating_duration_since(Instant::now());
            *in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        }
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            worker,
            worker_pid: self.link.as_ref().and_then(|link| link.pid),
            restarts: self.life.restarts(),
            model: self.model.clone(),
            load_s: self.load_s,
            queued: u32::try_from(self.queue.len()).unwrap_or(u32::MAX),
            done: self.done,
            failed: self.failed,
            last_error: self.life.last_error().map(str::to_owned),
        }
    }
}

fn shutting_down() -> Failure {
    Failure::new(Kind::Busy, "zimaged is shutting down").hint("try again once it is back")
}

fn busy(full: Full) -> Failure {
    let message = match full {
        Full::Total(jobs) => format!("the queue is full with {jobs} jobs"),
        Full::User(jobs) => format!("you already have {jobs} jobs in the queue"),
    };
    Failure::new(Kind::Busy, message).hint("try again when one has ended")
}

/// Waits until then, or for ever.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
