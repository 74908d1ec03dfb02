//! What one user may know and do of another's jobs, without connections and without a worker.

use tokio::runtime::{Builder, Runtime};
use zimage_checkpoint::ModelLocation;
use zimg_protocol::Frame;
use zimg_protocol::messages::{
    Capabilities, Generate, ImageInfo, JobState, ModelInfo, Params, Priority, Started,
};

use super::*;

const ROOT: u32 = 0;
const ANN: u32 = 1000;
const BOB: u32 = 1001;

/// A supervisor without a worker, and its clients' outboxes by their numbers.
struct Office {
    supervisor: Supervisor,
    outboxes: Vec<Outbox>,
    runtime: Runtime,
}

impl Office {
    fn new(places: Places) -> Self {
        Self::store(places, Err(Failure::new(Kind::Config, "this zimaged keeps no jobs")))
    }

    /// One that keeps detached jobs in this folder.
    fn store(places: Places, folder: Result<PathBuf, Failure>) -> Self {
        let plan = Err(Failure::new(Kind::Config, "there is no worker"));
        let (timeouts, terms) = (Timeouts::default(), Retention::default());
        let weights = RetainedWeights::default();
        let config = SupervisorConfig {
            config: None,
            model: ModelLocation::BuiltIn,
            plan,
            places,
            idle_unload: None,
            timeouts,
            folder,
            terms,
            weights,
        };
        let mut supervisor = Supervisor::new(config).unwrap();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(supervisor.open_store());
        // Where nothing is kept they are made up.
        supervisor.store.numbers.come(Some(1..1000));
        Self { supervisor, outboxes: Vec::new(), runtime }
    }

    /// Hears what the store says, once.
    fn hear_of_the_store(&mut self) {
        let answer = self.runtime.block_on(self.supervisor.store.answers.recv()).unwrap();
        self.supervisor.kept(answer);
    }

    /// A connection of this user.
    fn join(&mut self, uid: u32) -> ClientId {
        let (id, outbox) = (self.outboxes.len() as ClientId, Outbox::default());
        self.outboxes.push(outbox.clone());
        self.supervisor.client(FromClient::Joined { id, uid, outbox });
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
    fn draw(&mut self, uid: u32) -> (ClientId, Event) {
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
    let mut office = Office::new(Places::default());
    let (anns, accepted) = office.draw(ANN);
    assert_eq!(accepted, Event::Accepted { job: 1, position: 0 });
    office.draw(BOB);
    let bob = office.join(BOB);
    let seen = |event| match event {
        Event::Jobs(jobs) => jobs.iter().map(|job| job.job).collect::<Vec<_>>(),
        other => panic!("no jobs but {other:?}"),
    };
    assert_eq!(seen(office.ask(bob, Request::Jobs)), [2]);
    // Of another's job he learns as little as of one that is not there.
    let others = message(office.ask(bob, Request::CancelJob { job: 1 }));
    let nobodys = message(office.ask(bob, Request::CancelJob { job: 99 }));
    assert_eq!(others.replace('1', "99"), nobodys);
    let root = office.join(ROOT);
    assert_eq!(seen(office.ask(root, Request::Jobs)), [1, 2]);
    assert_eq!(office.ask(root, Request::CancelJob { job: 1 }), Event::Acknowledged);
    assert_eq!(office.ask(bob, Request::CancelJob { job: 2 }), Event::Acknowledged);
    assert!(seen(office.ask(root, Request::Jobs)).is_empty());
    let told = office.runtime.block_on(office.outboxes[anns as usize].next());
    assert!(
        matches!(told, Ok(Some(Frame::Event(Event::Failed(failure)))) if failure.kind == Kind::Cancelled)
    );
}

#[test]
fn users_take_turns() {
    let mut office = Office::new(Places::default());
    for uid in [ANN, ANN, ANN, BOB] {
        office.draw(uid);
    }
    let root = office.join(ROOT);
    let Event::Jobs(jobs) = office.ask(root, Request::Jobs) else { panic!("no jobs") };
    let order: Vec<_> = jobs.iter().map(|job| (job.uid, job.state.clone())).collect();
    let expected = [(ANN, 0), (BOB, 1), (ANN, 2), (ANN, 3)]
        .map(|(uid, position)| (uid, JobState::Waiting { position }));
    assert_eq!(order, expected);
}

#[test]
fn one_user_cannot_take_all_places_and_all_together_no_more_than_there_are() {
    let mut office = Office::new(Places { jobs: 3, jobs_per_user: 2, connections: 32 });
    let mut refused = |uid| match office.draw(uid).1 {
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
fn who_goes_takes_his_jobs_along() {
    let mut office = Office::new(Places::default());
    let (anns, _) = office.draw(ANN);
    office.supervisor.client(FromClient::Left { id: anns });
    let root = office.join(ROOT);
    assert_eq!(office.ask(root, Request::Jobs), Event::Jobs(Vec::new()));
}

#[test]
fn a_detached_job_is_its_owners_and_roots() {
    let folder = tempfile::tempdir().unwrap();
    let mut office = Office::store(Places::default(), Ok(folder.path().to_owned()));
    let ann = office.join(ANN);
    let submit = Generate { detach: true, ..usual_submit() };
    office.supervisor.client(FromClient::Asked { id: ann, request: Request::Generate(submit) });
    office.hear_of_the_store();
    let job = 1;
    assert_eq!(office.next(ann), Event::Accepted { job, position: 0 });
    let [bob, root] = [BOB, ROOT].map(|uid| office.join(uid));
    assert_eq!(office.ask(bob, Request::Jobs), Event::Jobs(Vec::new()));
    for request in [
        |job| Request::Wait { job },
        |job| Request::Forget { job },
        |job| Request::CancelJob { job },
    ] {
        let [others, nobodys] = [job, 99].map(|job| match office.ask(bob, request(job)) {
            Event::Failed(failure) => failure.message,
            other => panic!("not refused but {other:?}"),
        });
        assert_eq!(others.replace('1', "99"), nobodys);
    }
    for id in [ann, root] {
        let Event::Jobs(jobs) = office.ask(id, Request::Jobs) else { panic!("no jobs") };
        assert!(jobs.len() == 1 && jobs[0].job == job && jobs[0].detached && jobs[0].uid == ANN);
    }
    assert_eq!(office.ask(root, Request::CancelJob { job }), Event::Acknowledged);
    office.hear_of_the_store();
    assert_eq!(office.ask(ann, Request::Jobs), Event::Jobs(Vec::new()));
}

#[test]
fn who_goes_leaves_his_detached_jobs_and_they_take_up_places() {
    let folder = tempfile::tempdir().unwrap();
    let places = Places { jobs: 9, jobs_per_user: 2, connections: 32 };
    let mut office = Office::store(places, Ok(folder.path().to_owned()));
    let ann = office.join(ANN);
    for _ in 0..2 {
        let submit = Generate { detach: true, ..usual_submit() };
        office.supervisor.client(FromClient::Asked { id: ann, request: Request::Generate(submit) });
    }
    // Both have a place, though neither is on the disk.
    let (_, refused) = office.draw(ANN);
    assert!(matches!(refused, Event::Busy(busy) if busy.depth == 2), "of two");
    office.supervisor.client(FromClient::Left { id: ann });
    office.hear_of_the_store();
    office.hear_of_the_store();
    let root = office.join(ROOT);
    let Event::Jobs(jobs) = office.ask(root, Request::Jobs) else { panic!("no jobs") };
    assert_eq!(jobs.iter().map(|job| job.job).collect::<Vec<_>>(), [1, 2]);
}

fn usual_submit() -> Generate {
    let (draw, priority) = (Params::new("a secret"), Priority::Interactive);
    Generate { params: draw, priority, detach: false, previews: false, ..Generate::default() }
}

/// An office with one detached job, which is accepted.
fn with_a_detached_job(folder: &tempfile::TempDir) -> Office {
    let mut office = Office::store(Places::default(), Ok(folder.path().to_owned()));
    let ann = office.join(ANN);
    let draw =
        Params { width: Some(64), height: Some(64), count: Some(3), ..Params::new("a secret") };
    let submit = Generate { params: draw, detach: true, ..usual_submit() };
    office.supervisor.client(FromClient::Asked { id: ann, request: Request::Generate(submit) });
    office.hear_of_the_store();
    assert_eq!(office.next(ann), Event::Accepted { job: 1, position: 0 });
    office
}

/// A worker with this model draws the image of the job, which is the next one.
fn drawn(office: &mut Office, model: &str, index: u32) {
    let supervisor = &mut office.supervisor;
    let model = ModelInfo { name: model.into(), ..ModelInfo::default() };
    let started = Started { model, width: 64, height: 64, steps: 8, guidance: 0.0 };
    let progress = &mut supervisor.jobs.get_mut(&1).unwrap().progress;
    progress.started(&started).unwrap();
    let bytes = 3 * 64 * 64;
    let image = ImageInfo { index, seed: index.into(), width: 64, height: 64, bytes };
    progress.image(&image).unwrap();
    progress.pixels(3 * 64 * 64).unwrap();
    supervisor.image_comes(1, &image);
    supervisor.pixels_to_keep(1, &[7; 3 * 64 * 64], true);
}

#[test]
fn a_disk_that_is_slower_than_the_worker_holds_the_job_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut office = with_a_detached_job(&folder);
    drawn(&mut office, "mock", 0);
    let waits = |office: &Office| office.supervisor.queue.len();
    assert_eq!(waits(&office), 1, "one image is soon written");
    office.supervisor.store.jobs.get_mut(1).unwrap().under_way += 24 << 20;
    drawn(&mut office, "mock", 1);
    assert_eq!(waits(&office), 0);
    let held = office.supervisor.store.jobs.get(1).unwrap().held.clone().unwrap();
    assert_eq!(held.message, "the disk is slower than the worker");
    // What is under way comes to the disk all the same.
    office.hear_of_the_store();
    office.hear_of_the_store();
    let entry = office.supervisor.store.jobs.get_mut(1).unwrap();
    assert_eq!(entry.images(), 2);
    entry.under_way -= 24 << 20;
    assert_eq!(entry.under_way, 0);
    office.supervisor.look_after_kept();
    office.hear_of_the_store();
    assert_eq!(waits(&office), 1);
    assert_eq!(office.supervisor.jobs[&1].progress.point().image, 2, "it goes on after them");
    assert!(office.supervisor.store.trouble().is_none());
}

#[test]
fn all_images_of_a_job_are_of_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut office = with_a_detached_job(&folder);
    drawn(&mut office, "old", 0);
    office.hear_of_the_store();
    let supervisor = &mut office.supervisor;
    let model = |name: &str| ModelInfo {
        name: name.into(),
        device: "cpu".into(),
        dtype: "float32".into(),
        width: 64,
        height: 64,
        steps: 8,
        guidance: 0.0,
        max_tokens: 512,
        capabilities: Capabilities::default(),
    };
    for (name, kept) in [("old", 1), ("new", 0)] {
        supervisor.worker.model = Some(model(name));
        supervisor.one_model(1);
        assert_eq!(supervisor.store.jobs.get(1).unwrap().images(), kept, "{name}");
        assert_eq!(supervisor.jobs[&1].progress.whole(), kept);
    }
}
