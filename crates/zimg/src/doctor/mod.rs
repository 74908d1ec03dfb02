//! The checks of `zimg doctor`. Each returns findings with what to do; none needs a daemon or
//! changes anything.

mod checkpoint;
mod cpus;
mod daemon;
mod disk;
mod environment;
mod finding;
mod gpu;
mod groups;
mod plan;
mod program;
mod programs;
mod scope;
mod service;
mod settings;

use std::path::Path;

use zimg_client::service::Service;

pub(crate) use finding::{Finding, Level};
use scope::DaemonScope;

use crate::exit::Exit;

/// Runs all checks for the daemon at `path`, and passes each finding to `tell` at once.
///
/// # Errors
///
/// The error of `tell`.
pub(crate) fn examine(
    path: &Path,
    tell: &mut dyn FnMut(Finding) -> Result<(), Exit>,
) -> Result<(), Exit> {
    let service = Service::find();
    let scope = DaemonScope::of(path, &service);
    tell(programs::zimg())?;
    let (findings, seen) = daemon::look(path);
    findings.into_iter().try_for_each(&mut *tell)?;
    service::look(scope, &service).into_iter().try_for_each(&mut *tell)?;
    tell(groups::look(scope))?;
    let seen = seen.as_ref();
    let programs = programs::look(&service, scope, seen);
    programs.findings.iter().cloned().try_for_each(&mut *tell)?;
    let model =
        seen.map(|seen| seen.setup.model.clone()).or_else(|| programs.settings.text("model"));
    let loaded =
        seen.is_some_and(|seen| seen.status().workers.iter().any(|worker| worker.model.is_some()));
    let checkpoint =
        checkpoint::look(model.as_deref(), &programs.settings.named_files(), scope, loaded);
    let sound = checkpoint.bytes.is_some();
    tell(checkpoint.finding)?;
    let device = programs.settings.text("device").unwrap_or_else(|| "auto".to_owned());
    let held =
        seen.is_some_and(|seen| seen.status().workers.iter().any(|worker| worker.pid.is_some()));
    let weights = checkpoint.bytes.filter(|_| !held);
    gpu::look(programs.libtorch.as_ref(), &device, weights).into_iter().try_for_each(&mut *tell)?;
    // A worker has made its own, which `zimg status` shows.
    if !held && sound {
        let free = gpu::free(&device);
        plan::look(model.as_deref(), &programs.settings, free)
            .into_iter()
            .try_for_each(&mut *tell)?;
    }
    tell(cpus::look(seen.map(|seen| seen.status().pid), &device))?;
    tell(disk::look(&programs.settings, seen))?;
    tell(environment::look(seen.map(|seen| seen.status().pid)))
}
