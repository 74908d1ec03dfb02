//! What the service manager is told (sd_notify(3)); nothing happens without one.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use zimg_protocol::messages::WorkerState;

/// While loading goes on, the start may take this much longer (microseconds).
const EXTENSION_US: u32 = 30_000_000;
/// Progress is told at most this often.
const PACE: Duration = Duration::from_secs(1);

/// Remembers what was told, so that each thing is told once.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    ready: bool,
    status: String,
    progress: Option<Instant>,
}

impl Notifier {
    /// The worker's state: `STATUS=`, and `READY=1` once jobs can be answered, be it with a
    /// refusal that says what is wrong with the configuration.
    pub(crate) fn worker(&mut self, state: &WorkerState) {
        if let WorkerState::Loading { .. } = state {
            if self.progress.is_some_and(|told| told.elapsed() < PACE) {
                return;
            }
            self.progress = Some(Instant::now());
        }
        let status = sentence(state);
        if status == self.status {
            return;
        }
        let mut said = vec![NotifyState::Status(&status)];
        match state {
            WorkerState::Loading { .. } if !self.ready => {
                said.push(NotifyState::ExtendTimeoutUsec(EXTENSION_US));
            }
            WorkerState::Ready | WorkerState::Failed(_) if !self.ready => {
                said.push(NotifyState::Ready);
                self.ready = true;
            }
            _ => {}
        }
        tell(&said);
        self.status = status;
    }

    /// The daemon ends.
    pub(crate) fn stopping(&mut self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("shutting down")]);
    }
}

/// The `STATUS=` line of a state; steps are not told, so there is one line for each job.
fn sentence(state: &WorkerState) -> String {
    match state {
        WorkerState::Starting => "starting the worker".into(),
        WorkerState::Loading { done, total } => {
            let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(0);
            format!("loading the model, {percent} %")
        }
        WorkerState::Warming => "warming up".into(),
        WorkerState::Ready => "ready".into(),
        WorkerState::Busy { job, .. } => format!("drawing job {job}"),
        WorkerState::Draining => "shutting down".into(),
        WorkerState::Restarting { reason, .. } => format!("restarting the worker: {reason}"),
        WorkerState::Failed(failure) => format!("cannot draw: {}", failure.message),
    }
    .replace('\n', " ")
}

fn tell(said: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(said) {
        tracing::debug!("cannot tell the service manager: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_one_line_and_say_percent() {
        assert_eq!(
            sentence(&WorkerState::Loading { done: 1, total: 4 }),
            "loading the model, 25 %"
        );
        assert_eq!(sentence(&WorkerState::Loading { done: 0, total: 0 }), "loading the model, 0 %");
        let state = WorkerState::Restarting { in_ms: 1, reason: "a\nb".into() };
        assert_eq!(sentence(&state), "restarting the worker: a b");
    }
}
