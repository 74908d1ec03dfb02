//! What `zimg doctor` looks at. Each look is a finding, with what to type where something is wrong;
//! none needs a daemon, and none changes anything.

mod checkpoint;
mod daemon;
mod disk;
mod environment;
mod gpu;
mod groups;
mod program;
mod programs;
mod service;
mod settings;

use std::path::Path;

use zimg_client::service::Service;
use zimg_client::{Kind, socket};

use crate::stop::Stop;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Ok,
    /// It may be meant so.
    Warn,
    /// Nothing is drawn like that.
    Fail,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The thing, one word.
    pub(crate) topic: &'static str,
    pub(crate) level: Level,
    /// One sentence.
    pub(crate) text: String,
    /// What to type or change.
    pub(crate) fix: Option<String>,
    /// Of a failure, what it is one of: `Config` or `Unavailable`.
    pub(crate) kind: Kind,
}

impl Finding {
    fn ok(topic: &'static str, text: impl Into<String>) -> Self {
        Self { topic, level: Level::Ok, text: text.into(), fix: None, kind: Kind::Unavailable }
    }

    fn warn(topic: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warn, fix: Some(fix.into()), ..Self::ok(topic, text) }
    }

    /// Something that is not there.
    fn fail(topic: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(topic, text, fix) }
    }

    /// Something that is set wrongly, or damaged.
    fn wrong(topic: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { kind: Kind::Config, ..Self::fail(topic, text, fix) }
    }
}

/// Whose daemon it is that one would draw with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    /// The system's service.
    System,
    /// The user's own, as a service or from a terminal.
    User,
    /// One with a socket elsewhere.
    ByHand,
}

impl Setting {
    /// By the socket, and by what is installed where there is no socket at all.
    fn of(path: &Path, service: &Service) -> Self {
        if path != Path::new(socket::SYSTEM) {
            let is_own = socket::user().is_some_and(|own| own == path);
            return if is_own { Self::User } else { Self::ByHand };
        }
        let system = service.system.is_some() || service.supervisord.is_some() || path.exists();
        if system || service.user.is_none() { Self::System } else { Self::User }
    }
}

/// Looks at everything that drawing with the daemon at `path` needs, and tells each finding as it
/// comes.
///
/// # Errors
///
/// What `tell` says.
pub(crate) fn examine(
    path: &Path,
    tell: &mut dyn FnMut(Finding) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let service = Service::find();
    let setting = Setting::of(path, &service);
    tell(programs::zimg())?;
    let (findings, seen) = daemon::look(path);
    findings.into_iter().try_for_each(&mut *tell)?;
    service::look(setting, &service).into_iter().try_for_each(&mut *tell)?;
    tell(groups::look(setting))?;
    let seen = seen.as_ref();
    let programs = programs::look(&service, setting, seen);
    programs.findings.iter().cloned().try_for_each(&mut *tell)?;
    let model = seen
        .and_then(|seen| Some(seen.setup.as_ref()?.model.clone()))
        .or_else(|| programs.settings.text("model"));
    let loaded = seen.is_some_and(|seen| seen.status.model.is_some());
    let checkpoint = checkpoint::look(model.as_deref(), setting, loaded);
    tell(checkpoint.finding)?;
    let device = programs.settings.text("device").unwrap_or_else(|| "auto".to_owned());
    let held = seen.is_some_and(|seen| seen.status.worker_pid.is_some());
    let weights = checkpoint.bytes.filter(|_| !held);
    gpu::look(programs.libtorch.as_ref(), &device, weights).into_iter().try_for_each(&mut *tell)?;
    tell(disk::look(&programs.settings, seen))?;
    tell(environment::look(seen.map(|seen| seen.status.pid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_daemon_it_is_shows_in_the_socket_and_in_what_is_installed() {
        let system = Path::new(socket::SYSTEM);
        let unit = || Some("/u".into());
        let nothing = Service::default();
        assert_eq!(Setting::of(Path::new("/tmp/x"), &nothing), Setting::ByHand);
        if !system.exists() {
            let user = Service { user: unit(), ..Service::default() };
            assert_eq!(Setting::of(system, &user), Setting::User);
            assert_eq!(Setting::of(system, &nothing), Setting::System);
            let both = Service { system: unit(), ..user };
            assert_eq!(Setting::of(system, &both), Setting::System);
        }
    }
}
