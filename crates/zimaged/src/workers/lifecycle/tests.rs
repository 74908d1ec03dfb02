//! The transition function as a table: what happens → where the worker stands, what must be done.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A life with a clock that the test sets.
struct Clocked {
    life: Lifecycle,
    now: Instant,
}

impl Clocked {
    fn new() -> Self {
        let now = Instant::now();
        Self { life: Lifecycle::new(Timeouts::default(), None, 7, now), now }
    }

    fn ready() -> Self {
        let mut life = Self::new();
        assert_eq!(life.apply(WorkerInput::Loading { done: 1, total: 2 }), []);
        assert_eq!(life.apply(WorkerInput::Warming), []);
        assert_eq!(life.apply(WorkerInput::Ready), []);
        life
    }

    fn busy() -> Self {
        let mut life = Self::ready();
        assert_eq!(life.apply(WorkerInput::Given(3)), []);
        life
    }

    fn apply(&mut self, input: WorkerInput) -> Vec<WorkerAction> {
        self.life.apply(input, self.now)
    }

    /// Nothing happens until the deadline.
    fn time_up(&mut self) -> Vec<WorkerAction> {
        self.now = self.life.deadline(None).unwrap();
        self.apply(WorkerInput::TimeUp)
    }

    fn phase(&self) -> &WorkerPhase {
        self.life.phase()
    }
}

fn exit(code: i32) -> WorkerInput {
    WorkerInput::Exited(Exit { code: Some(code), ..Exit::default() })
}

fn killed(signal: i32, words: &str) -> WorkerInput {
    let stderr_tail = Some(words.into());
    WorkerInput::Exited(Exit { signal: Some(signal), stderr_tail, ..Exit::default() })
}

/// The pause after a death, in milliseconds.
fn pause(actions: &[WorkerAction]) -> u128 {
    match actions {
        [.., WorkerAction::BackOff { pause, .. }] => pause.as_millis(),
        other => panic!("expected a pause, got {other:?}"),
    }
}

#[test]
fn a_job_goes_through() {
    let mut life = Clocked::busy();
    assert_eq!(life.apply(WorkerInput::Step { job: 3, step: 2, of: 8 }), []);
    assert_eq!(life.life.shown(life.now), WorkerState::Busy { job: 3, step: 2, of: 8 });
    assert_eq!(life.life.job(), Some(3));
    assert_eq!(life.apply(WorkerInput::Ended(3)), []);
    assert_eq!(*life.phase(), WorkerPhase::Ready);
    assert_eq!(life.life.job(), None);
}

/// A state's name and the way to it.
type Reached = (&'static str, fn() -> Clocked);

/// Each state, and the state that an input leads to from it, by name.
#[test]
fn the_table() {
    let states: [Reached; 11] = [
        ("Spawning", Clocked::new),
        ("Loading", || {
            let mut life = Clocked::new();
            life.apply(WorkerInput::Loading { done: 5, total: 9 });
            life
        }),
        ("Warming", || {
            let mut life = Clocked::new();
            life.apply(WorkerInput::Warming);
            life
        }),
        ("Ready", Clocked::ready),
        ("Busy", Clocked::busy),
        ("Draining", || {
            let mut life = Clocked::ready();
            life.apply(WorkerInput::Sleep);
            life
        }),
        ("Reaping", || {
            let mut life = Clocked::busy();
            life.apply(WorkerInput::Violation("x".into()));
            life
        }),
        ("BackingOff", || {
            let mut life = Clocked::busy();
            life.apply(killed(11, "x"));
            life
        }),
        ("Failed", || {
            let mut life = Clocked::new();
            life.apply(exit(78));
            life
        }),
        ("Asleep", || {
            let mut life = Clocked::ready();
            life.apply(WorkerInput::Sleep);
            life.apply(exit(0));
            life
        }),
        ("Gone", || {
            let mut life = Clocked::new();
            life.apply(WorkerInput::Stop);
            life.apply(exit(0));
            life
        }),
    ];
    // In the order of the states above: where each input leads. "=" stays, "-" cannot happen.
    let loading = WorkerInput::Loading { done: 6, total: 9 };
    let step = WorkerInput::Step { job: 3, step: 1, of: 8 };
    let nonsense = WorkerInput::Violation("y".into());
    let table = [
        (loading, "Loading = Reaping Reaping Reaping = = = = = ="),
        (WorkerInput::Warming, "Warming Warming = Reaping Reaping = = = = = ="),
        (WorkerInput::Ready, "Ready Ready Ready Reaping Reaping = = = = = ="),
        (step, "Reaping Reaping Reaping Reaping = = = = = = ="),
        (WorkerInput::Ended(3), "Reaping Reaping Reaping Reaping Ready = = = = = ="),
        (nonsense, "Reaping Reaping Reaping Reaping Reaping = = = = = ="),
        (
            killed(9, "x"),
            "BackingOff BackingOff BackingOff BackingOff BackingOff Asleep BackingOff - - - -",
        ),
        (WorkerInput::TimeUp, "Reaping Reaping Reaping - Reaping Reaping = Spawning - = ="),
        (WorkerInput::Sleep, "Draining Draining Draining Draining = = = Asleep = = ="),
        (WorkerInput::Wake, "= = = = = = = Spawning Spawning Spawning ="),
        (WorkerInput::Stop, "= = = = = = = Gone Gone Gone ="),
    ];
    let name = |life: &Clocked| {
        let shown = format!("{:?}", life.phase());
        shown.split([' ', '(']).next().unwrap().to_owned()
    };
    for (input, expected) in table {
        assert_eq!(expected.split(' ').count(), states.len());
        for ((from, life), to) in states.iter().zip(expected.split(' ')) {
            let mut life = life();
            assert_eq!(name(&life), *from);
            if to != "-" {
                let actions = life.apply(input.clone());
                let to = if to == "=" { *from } else { to };
                assert_eq!(name(&life), to, "{from} + {input:?}");
                let spawns = actions.contains(&WorkerAction::Spawn);
                assert_eq!(spawns, to == "Spawning" && *from != to, "{from} + {input:?}");
                let kills = actions.contains(&WorkerAction::Kill);
                assert_eq!(kills, to == "Reaping" && *from != to, "{from} + {input:?}");
                let closes = actions.contains(&WorkerAction::Close);
                assert_eq!(closes, to == "Draining" && *from != to, "{from} + {input:?}");
            }
        }
    }
}

#[test]
fn a_death_while_generating_loses_the_job_and_starts_again_at_once() {
    let mut life = Clocked::busy();
    let reason = "the worker was ended by SIGSEGV: illegal address".to_owned();
    assert_eq!(
        life.apply(killed(11, "illegal address")),
        [
            WorkerAction::LoseJob { job: 3, fault: Fault::Own, reason: reason.clone() },
            WorkerAction::BackOff { pause: Duration::ZERO, reason: reason.clone() }
        ]
    );
    assert_eq!(life.life.shown(life.now), WorkerState::Restarting { in_ms: 0, reason });
    assert_eq!(life.life.deadline(None), Some(life.now));
    assert_eq!(life.time_up(), [WorkerAction::Spawn]);
    assert_eq!(life.life.restarts(), 1);
}

#[test]
fn an_operators_kill_is_not_the_jobs_doing() {
    for signal in [9, 15] {
        let mut life = Clocked::busy();
        let actions = life.apply(killed(signal, "x"));
        assert!(matches!(actions[0], WorkerAction::LoseJob { job: 3, fault: Fault::Outside, .. }));
    }
}

#[test]
fn pauses_double_to_a_minute_and_an_image_resets_them() {
    let mut life = Clocked::ready();
    let mut pauses = vec![pause(&life.apply(exit(1)))];
    for _ in 0..9 {
        life.time_up();
        life.apply(WorkerInput::Ready);
        pauses.push(pause(&life.apply(exit(1))));
    }
    let shares = [0, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000];
    for (pause, share) in pauses.iter().zip(shares) {
        assert!((share * 8 / 10..=share * 12 / 10).contains(pause), "{pauses:?}");
    }
    assert_ne!(pauses[8], pauses[9], "two daemons do not stay in step");
    life.time_up();
    life.apply(WorkerInput::Ready);
    life.apply(WorkerInput::Given(1));
    life.apply(WorkerInput::ImageComplete);
    assert_eq!(pause(&life.apply(exit(1))), 0);
}

#[test]
fn the_same_seed_has_the_same_pauses() {
    let pauses = |seed| {
        let now = Instant::now();
        let mut life = Lifecycle::new(Timeouts::default(), None, seed, now);
        life.apply(WorkerInput::Ready, now);
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(pause(&life.apply(exit(1), now)));
            life.apply(WorkerInput::TimeUp, now);
            life.apply(WorkerInput::Ready, now);
        }
        all
    };
    assert_eq!(pauses(1), pauses(1));
    assert_ne!(pauses(1), pauses(2));
}

#[test]
fn a_worker_that_was_long_ready_dies_for_the_first_time() {
    let mut life = Clocked::ready();
    life.apply(exit(1));
    life.time_up();
    life.apply(WorkerInput::Ready);
    life.now += Timeouts::default().stable - SECOND;
    assert!(pause(&life.apply(exit(1))) > 0);
    life.time_up();
    life.apply(WorkerInput::Ready);
    life.now += Timeouts::default().stable;
    assert_eq!(pause(&life.apply(exit(1))), 0);
}

#[test]
fn five_starts_that_come_to_nothing_are_enough_until_a_request_comes() {
    let mut life = Clocked::new();
    for _ in 0..4 {
        pause(&life.apply(killed(6, "no memory")));
        life.time_up();
    }
    // Even if the last was killed from outside, as by the kernel for lack of memory.
    let actions = life.apply(killed(9, "no memory"));
    let [WorkerAction::RefuseAll(failure)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(failure.kind, Kind::Internal);
    assert_eq!(
        failure.message,
        "the worker did not get ready 5 times in a row; the worker was ended by SIGKILL: no memory"
    );
    assert_eq!(life.apply(WorkerInput::Wake), [WorkerAction::Spawn]);
    assert_eq!(pause(&life.apply(exit(1))), 0, "counted from zero");
}

#[test]
fn what_may_pass_is_tried_again_every_minute() {
    let mut life = Clocked::new();
    for _ in 0..4 {
        life.apply(exit(1));
        life.time_up();
    }
    assert!(matches!(&life.apply(exit(1))[..], [WorkerAction::RefuseAll(_)]));
    assert_eq!(life.life.deadline(None), Some(life.now + 60 * SECOND));
    assert_eq!(life.time_up(), [WorkerAction::Spawn]);
    assert!(matches!(&life.apply(exit(1))[..], [WorkerAction::RefuseAll(_)]), "still");
    assert_eq!(life.time_up(), [WorkerAction::Spawn]);
    life.apply(WorkerInput::Ready);
    assert_eq!(*life.phase(), WorkerPhase::Ready);
}

#[test]
fn a_ready_worker_resets_the_count_of_loads() {
    let mut life = Clocked::new();
    for _ in 0..20 {
        for _ in 0..4 {
            pause(&life.apply(exit(1)));
            life.time_up();
        }
        life.apply(WorkerInput::Ready);
        pause(&life.apply(exit(1)));
        life.time_up();
    }
}

#[test]
fn a_wrong_configuration_ends_the_attempts_until_a_request_comes() {
    let failure = Failure::new(Kind::Config, "no weights in /models");
    let mut life = Clocked::new();
    assert_eq!(life.apply(WorkerInput::Fatal(failure.clone())), []);
    assert_eq!(life.apply(exit(78)), [WorkerAction::RefuseAll(failure.clone())]);
    assert_eq!(*life.phase(), WorkerPhase::Failed(failure));
    assert_eq!(life.life.deadline(None), None);
    assert_eq!(life.apply(WorkerInput::Wake), [WorkerAction::Spawn]);
}

#[test]
fn exit_78_alone_is_a_wrong_configuration_with_the_last_words_as_reason() {
    let mut life = Clocked::new();
    let actions = life.apply(WorkerInput::Exited(Exit {
        code: Some(78),
        stderr_tail: Some("no such folder".into()),
        ..Exit::default()
    }));
    assert_eq!(actions, [WorkerAction::RefuseAll(Failure::new(Kind::Config, "no such folder"))]);
}

#[test]
fn another_fatal_reason_is_told_and_tried_again() {
    let mut life = Clocked::busy();
    life.apply(WorkerInput::Fatal(Failure::new(Kind::Internal, "an illegal address")));
    let actions = life.apply(exit(71));
    let reason = "an illegal address".to_owned();
    assert_eq!(actions[0], WorkerAction::LoseJob { job: 3, fault: Fault::Own, reason });
    assert_eq!(pause(&actions), 0);
    assert_eq!(life.life.last_error(), Some("an illegal address"));
}

#[test]
fn a_process_that_cannot_start_is_judged_by_its_kind() {
    let mut life = Clocked::new();
    let failure = Failure::new(Kind::Config, "there is no worker");
    assert_eq!(
        life.apply(WorkerInput::NotStarted(failure.clone())),
        [WorkerAction::RefuseAll(failure)]
    );

    let mut life = Clocked::new();
    let failure = Failure::new(Kind::Internal, "no memory for a process");
    assert_eq!(pause(&life.apply(WorkerInput::NotStarted(failure))), 0);
}

#[test]
fn nonsense_ends_the_process_and_its_job() {
    for nonsense in [
        WorkerInput::Violation("a frame of kind 9".into()),
        WorkerInput::Ready,
        WorkerInput::Step { job: 4, step: 1, of: 8 },
        WorkerInput::Ended(4),
    ] {
        let mut life = Clocked::busy();
        assert_eq!(life.apply(nonsense.clone()), [WorkerAction::Kill], "{nonsense:?}");
        assert_eq!(life.life.job(), None, "what it says counts no more");
        assert_eq!(life.apply(nonsense), [], "said once more while it ends");
        let actions = life.apply(killed(9, "bye"));
        assert!(matches!(
            &actions[..],
            [WorkerAction::LoseJob { job: 3, fault: Fault::Own, reason }, WorkerAction::BackOff { .. }]
                if reason.starts_with("the worker broke the protocol: ") && reason.ends_with(": bye")
        ));
    }
}

#[test]
fn who_says_nothing_hangs_and_who_says_something_does_not() {
    let mut life = Clocked::new();
    life.apply(WorkerInput::Loading { done: 5, total: 9 });
    let deadline = life.life.deadline(None);
    life.now += SECOND;
    life.apply(WorkerInput::Loading { done: 5, total: 9 });
    assert_eq!(life.life.deadline(None), deadline, "the same bytes are no progress");
    life.apply(WorkerInput::Loading { done: 6, total: 9 });
    assert_eq!(life.life.deadline(None), Some(life.now + 60 * SECOND));

    let mut life = Clocked::busy();
    let within = |life: &Clocked, step| life.life.deadline(Some(step)).unwrap() - life.now;
    assert_eq!(within(&life, SECOND / 10), 30 * SECOND);
    assert_eq!(within(&life, 2 * SECOND), 40 * SECOND);
    life.now += 20 * SECOND;
    life.apply(WorkerInput::Alive);
    assert_eq!(within(&life, SECOND / 10), 30 * SECOND);
    life.now += 31 * SECOND;
    assert_eq!(life.apply(WorkerInput::TimeUp), [WorkerAction::Kill]);
    // What it had said before it was killed still counts.
    assert_eq!(life.life.job(), Some(3));
    assert_eq!(life.apply(WorkerInput::Ended(3)), []);
    let actions = life.apply(killed(9, "deep in a kernel"));
    let reason = "the worker hung while generating, for 31 s: deep in a kernel".to_owned();
    assert_eq!(
        actions,
        [WorkerAction::BackOff { pause: Duration::ZERO, reason }],
        "its job was done"
    );
}

#[test]
fn a_process_that_cannot_be_killed_is_stuck() {
    let mut life = Clocked::busy();
    life.apply(WorkerInput::Violation("x".into()));
    life.now += 30 * SECOND;
    assert!(!life.life.is_stuck(life.now));
    life.now += SECOND;
    assert!(life.life.is_stuck(life.now));
    life.apply(killed(9, ""));
    assert!(!life.life.is_stuck(life.now));
}

#[test]
fn time_in_which_the_daemon_slept_is_nobodys_fault() {
    let mut life = Clocked::busy();
    life.now += 3600 * SECOND;
    life.life.excuse(life.now);
    assert_eq!(life.life.deadline(Some(SECOND)), Some(life.now + 30 * SECOND));
}

#[test]
fn sleep_waits_for_the_running_job_and_a_prompt_wakes() {
    let mut life = Clocked::busy();
    assert_eq!(life.apply(WorkerInput::Sleep), []);
    assert_eq!(life.apply(WorkerInput::Ended(3)), [WorkerAction::Close]);
    assert_eq!(life.life.shown(life.now), WorkerState::Asleep);
    assert_eq!(life.apply(exit(0)), []);
    assert_eq!(*life.phase(), WorkerPhase::Asleep);
    assert_eq!(life.life.last_error(), None);
    assert_eq!(life.apply(WorkerInput::Wake), [WorkerAction::Spawn]);
    assert_eq!(life.life.restarts(), 0, "nothing had gone wrong");
    // Another prompt comes before the running job has ended.
    let mut life = Clocked::busy();
    life.apply(WorkerInput::Sleep);
    life.apply(WorkerInput::Wake);
    assert_eq!(life.apply(WorkerInput::Ended(3)), []);
    assert_eq!(*life.phase(), WorkerPhase::Ready);
    // Or while the worker goes.
    life.apply(WorkerInput::Sleep);
    life.apply(WorkerInput::Wake);
    assert_eq!(life.apply(exit(0)), [WorkerAction::Spawn]);
}

#[test]
fn who_does_not_go_to_sleep_is_made_to() {
    let mut life = Clocked::ready();
    life.apply(WorkerInput::Sleep);
    assert_eq!(life.time_up(), [WorkerAction::Kill]);
    assert_eq!(life.apply(killed(9, "")), []);
    assert_eq!(*life.phase(), WorkerPhase::Asleep);
}

#[test]
fn an_idle_worker_is_sent_to_sleep_if_so_configured() {
    let mut life = Clocked::ready();
    assert_eq!(life.life.deadline(None), None);
    life.life.idle = Some(60 * SECOND);
    assert_eq!(life.time_up(), [WorkerAction::Close]);
}

#[test]
fn a_stopping_daemon_starts_nothing() {
    let mut life = Clocked::busy();
    assert_eq!(life.apply(WorkerInput::Stop), []);
    assert_eq!(life.life.shown(life.now), WorkerState::Draining);
    assert!(matches!(&life.apply(killed(11, "x"))[..], [WorkerAction::LoseJob { job: 3, .. }]));
    assert_eq!(*life.phase(), WorkerPhase::Gone);
}

#[test]
fn a_smaller_memory_plan_is_made_at_once_and_is_no_failure() {
    let mut life = Clocked::busy();
    for round in 1..=3 {
        assert_eq!(life.apply(WorkerInput::Replan("it is full".into())), []);
        let lost =
            WorkerAction::LoseJob { job: 3, fault: Fault::Replan, reason: "it is full".into() };
        assert_eq!(life.apply(exit(72)), [lost, WorkerAction::Spawn]);
        assert_eq!((life.phase(), life.life.restarts()), (&WorkerPhase::Spawning, round));
        assert_eq!(life.life.last_error(), None);
        life.apply(WorkerInput::Ready);
        life.apply(WorkerInput::Given(3));
    }
    // Also while it loads, and more often than loading may fail.
    let mut life = Clocked::new();
    for _ in 0..2 * LOADS_MAX {
        life.apply(WorkerInput::Loading { done: 1, total: 2 });
        life.apply(WorkerInput::Replan("it is full".into()));
        assert_eq!(life.apply(exit(72)), [WorkerAction::Spawn]);
    }
    // A worker that never stops asking is one that dies.
    let asked = (0..2 * REPLANS_MAX).find(|_| {
        life.apply(WorkerInput::Replan("it is full".into()));
        life.apply(exit(72)) != [WorkerAction::Spawn]
    });
    assert_eq!(asked, Some(REPLANS_MAX - 2 * LOADS_MAX));
}

#[test]
fn a_worker_that_is_to_sleep_or_stop_makes_no_smaller_plan() {
    let mut life = Clocked::busy();
    life.apply(WorkerInput::Stop);
    life.apply(WorkerInput::Replan("it is full".into()));
    let actions = life.apply(exit(72));
    assert!(!actions.contains(&WorkerAction::Spawn), "{actions:?}");
    assert_eq!(life.phase(), &WorkerPhase::Gone);
}
