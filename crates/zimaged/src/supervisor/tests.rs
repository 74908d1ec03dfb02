//! Permissions, fairness and limits between users, without connections and without a worker.

use tokio::runtime::{Builder, Runtime};
use zimage_checkpoint::ModelLocation;
use zimg_protocol::messages::{Event, Generate, JobState, Params, Priority};
use zimg_protocol::{Frame, Kind};

use super::*;

const ROOT: u32 = 0;
const ANN: u32 = 1000;
const FRONT: u32 = 99;
const BOB: u32 = 1001;

/// A supervisor without a worker, and its clients' outboxes by their numbers.
struct Fixture {
    supervisor: Supervisor,
    outboxes: Vec<Outbox>,
    runtime: Runtime,
}

impl Fixture {
    fn new(limits: DaemonLimits) -> Self {
        Self::storing(limits, Err(Failure::new(Kind::Config, "this zimaged keeps no jobs")))
    }

    /// One that keeps detached jobs in this folder.
    fn storing(limits: DaemonLimits, folder: Result<PathBuf, Failure>) -> Self {
        let config = SupervisorConfig {
            config: None,
            model: ModelLocation::BuiltIn,
            workers: vec![Err(Failure::new(Kind::Config, "there is no worker"))],
            limits,
            trusted_group: Some(TrustedGroup::running_as(FRONT)),
            idle_unload: None,
            timeouts: Timeouts::default(),
            folder,
            retention: Retention::default(),
            weights: Vec::new(),
        };
        let mut supervisor = Supervisor::new(config).unwrap();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(supervisor.open_store());
        // Without a store they are made up.
        supervisor.store_event(StoreEvent::IdsReserved(Ok(1..1000)));
        Self { supervisor, outboxes: Vec::new(), runtime }
    }

    /// The next event of the store.
    fn store_answers(&mut self) {
        let answer = self.runtime.block_on(self.supervisor.store.events.recv()).unwrap();
        self.supervisor.store_event(answer);
    }

    /// A connection of this user.
    fn join(&mut self, uid: u32) -> ClientId {
        let (id, outbox) = (self.outboxes.len() as ClientId, Outbox::default());
        self.outboxes.push(outbox.clone());
        self.supervisor.client(FromClient::Joined { id, peer: Peer { uid, gid: uid }, outbox });
        id
    }

    /// Asks, and hears the next answer.
    fn ask(&mut self, id: ClientId, request: Request) -> Event {
        self.supervisor.client(FromClient::Asked { id, request });
        self.next(id)
    }

    /// The next that this client is told.
    fn next(&mut self, id: ClientId) -> Event {
        let outbox = &self.outboxes[usize::try_from(id).unwrap()];
        match self.runtime.block_on(outbox.next()) {
            Ok(Some(Frame::Event(event))) => event,
            other => panic!("not an event but {other:?}"),
        }
    }

    /// A job of this user, on a connection of its own.
    fn submit(&mut self, uid: u32) -> (ClientId, Event) {
        let id = self.join(uid);
        (id, self.ask(id, Request::Generate(usual_submit())))
    }
}

fn message(event: Event) -> String {
    match event {
        Event::Failed(failure) => {
            assert_eq!(failure.kind, Kind::Permission);
            failure.message
        }
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn only_the_owner_and_root_see_a_job_and_end_it() {
    let mut fixture = Fixture::new(DaemonLimits::default());
    let (anns, accepted) = fixture.submit(ANN);
    assert_eq!(accepted, Event::Accepted { job: 1, position: 0 });
    fixture.submit(BOB);
    let bob = fixture.join(BOB);
    let seen = |event| match event {
        Event::Jobs(jobs) => jobs.iter().map(|job| job.job).collect::<Vec<_>>(),
        other => panic!("no jobs but {other:?}"),
    };
    assert_eq!(seen(fixture.ask(bob, Request::Jobs)), [2]);
    // Another user's job is refused in the same words as one that does not exist.
    let others = message(fixture.ask(bob, Request::CancelJob { job: 1 }));
    let missing = message(fixture.ask(bob, Request::CancelJob { job: 99 }));
    assert_eq!(others.replace('1', "99"), missing);
    let root = fixture.join(ROOT);
    assert_eq!(seen(fixture.ask(root, Request::Jobs)), [1, 2]);
    assert_eq!(fixture.ask(root, Request::CancelJob { job: 1 }), Event::Acknowledged);
    assert_eq!(fixture.ask(bob, Request::CancelJob { job: 2 }), Event::Acknowledged);
    assert!(seen(fixture.ask(root, Request::Jobs)).is_empty());
    let told = fixture.runtime.block_on(fixture.outboxes[anns as usize].next());
    assert!(
        matches!(told, Ok(Some(Frame::Event(Event::Failed(failure)))) if failure.kind == Kind::Cancelled)
    );
}

#[test]
fn users_take_turns() {
    let mut fixture = Fixture::new(DaemonLimits::default());
    for uid in [ANN, ANN, ANN, BOB] {
        fixture.submit(uid);
    }
    let root = fixture.join(ROOT);
    let Event::Jobs(jobs) = fixture.ask(root, Request::Jobs) else { panic!("no jobs") };
    let order: Vec<_> = jobs.iter().map(|job| (job.uid, job.state.clone())).collect();
    let expected = [(ANN, 0), (BOB, 1), (ANN, 2), (ANN, 3)]
        .map(|(uid, position)| (uid, JobState::Waiting { position }));
    assert_eq!(order, expected);
}

#[test]
fn users_behind_a_trusted_front_end_take_turns_and_have_limits_of_their_own() {
    let mut fixture = Fixture::new(DaemonLimits { jobs: 9, jobs_per_user: 2, connections: 32 });
    let mut ask = |uid, user: &str| {
        let id = fixture.join(uid);
        let request = Generate { on_behalf_of: Some(user.to_owned()), ..usual_submit() };
        fixture.ask(id, Request::Generate(request))
    };
    assert_eq!(
        message(ask(ANN, "bob")),
        "user 1000 may not ask on behalf of others: `on_behalf_of` is refused"
    );
    for user in ["ann", "ann", "bob"] {
        assert!(matches!(ask(FRONT, user), Event::Accepted { .. }));
    }
    let Event::Busy(busy) = ask(FRONT, "ann") else { panic!("not refused") };
    assert_eq!(busy.failure.message, "you already have 2 jobs in the queue");
    let front = fixture.join(FRONT);
    let Event::Jobs(jobs) = fixture.ask(front, Request::Jobs) else { panic!("no jobs") };
    let order: Vec<_> = jobs.iter().map(|job| job.on_behalf_of.as_deref().unwrap()).collect();
    assert_eq!(order, ["ann", "bob", "ann"]);
}

#[test]
fn one_user_cannot_take_all_places_and_all_together_no_more_than_there_are() {
    let mut fixture = Fixture::new(DaemonLimits { jobs: 3, jobs_per_user: 2, connections: 32 });
    let mut refused = |uid| match fixture.submit(uid).1 {
        Event::Accepted { .. } => None,
        Event::Busy(busy) => Some((busy.failure.message, busy.depth)),
        other => panic!("{other:?}"),
    };
    assert_eq!([refused(ANN), refused(ANN)], [None, None]);
    assert_eq!(refused(ANN), Some(("you already have 2 jobs in the queue".into(), 2)));
    assert_eq!(refused(BOB), None);
    assert_eq!(refused(BOB), Some(("the queue is full with 3 jobs".into(), 3)));
}

#[test]
fn a_closed_connection_cancels_its_job() {
    let mut fixture = Fixture::new(DaemonLimits::default());
    let (anns, _) = fixture.submit(ANN);
    fixture.supervisor.client(FromClient::Left { id: anns });
    let root = fixture.join(ROOT);
    assert_eq!(fixture.ask(root, Request::Jobs), Event::Jobs(Vec::new()));
}

#[test]
fn a_detached_job_is_its_owners_and_roots() {
    let folder = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::storing(DaemonLimits::default(), Ok(folder.path().to_owned()));
    let ann = fixture.join(ANN);
    let submit = Generate { detach: true, ..usual_submit() };
    fixture.supervisor.client(FromClient::Asked { id: ann, request: Request::Generate(submit) });
    fixture.store_answers();
    let job = 1;
    assert_eq!(fixture.next(ann), Event::Accepted { job, position: 0 });
    let [bob, root] = [BOB, ROOT].map(|uid| fixture.join(uid));
    assert_eq!(fixture.ask(bob, Request::Jobs), Event::Jobs(Vec::new()));
    for request in [
        |job| Request::Wait { job },
        |job| Request::Forget { job },
        |job| Request::CancelJob { job },
    ] {
        let [others, missing] = [job, 99].map(|job| match fixture.ask(bob, request(job)) {
            Event::Failed(failure) => failure.message,
            other => panic!("not refused but {other:?}"),
        });
        assert_eq!(others.replace('1', "99"), missing);
    }
    for id in [ann, root] {
        let Event::Jobs(jobs) = fixture.ask(id, Request::Jobs) else { panic!("no jobs") };
        assert!(jobs.len() == 1 && jobs[0].job == job && jobs[0].detached && jobs[0].uid == ANN);
    }
    assert_eq!(fixture.ask(root, Request::CancelJob { job }), Event::Acknowledged);
    fixture.store_answers();
    assert_eq!(fixture.ask(ann, Request::Jobs), Event::Jobs(Vec::new()));
}

#[test]
fn detached_jobs_outlive_their_connection_and_count() {
    let folder = tempfile::tempdir().unwrap();
    let limits = DaemonLimits { jobs: 9, jobs_per_user: 2, connections: 32 };
    let mut fixture = Fixture::storing(limits, Ok(folder.path().to_owned()));
    let ann = fixture.join(ANN);
    for _ in 0..2 {
        let submit = Generate { detach: true, ..usual_submit() };
        fixture
            .supervisor
            .client(FromClient::Asked { id: ann, request: Request::Generate(submit) });
    }
    // Both have a place, though neither is on the disk.
    let (_, refused) = fixture.submit(ANN);
    assert!(matches!(refused, Event::Busy(busy) if busy.depth == 2), "of two");
    fixture.supervisor.client(FromClient::Left { id: ann });
    fixture.store_answers();
    fixture.store_answers();
    let root = fixture.join(ROOT);
    let Event::Jobs(jobs) = fixture.ask(root, Request::Jobs) else { panic!("no jobs") };
    assert_eq!(jobs.iter().map(|job| job.job).collect::<Vec<_>>(), [1, 2]);
}

fn usual_submit() -> Generate {
    let (draw, priority) = (Params::new("a secret"), Priority::Interactive);
    Generate { params: draw, priority, detach: false, previews: false, ..Generate::default() }
}
