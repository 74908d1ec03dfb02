//! The inside of zimaged. A library so that what reads foreign bytes can be fuzzed; the program is
//! `main.rs`, and nobody else is promised anything here.

mod args;
pub mod config;
mod connection;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod jobs;
mod lock;
mod outbox;
mod scheduler;
mod socket;
mod store;
mod supervisor;
mod systemd;
mod timeouts;
mod workers;

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use zimg_protocol::{Failure, Kind};

pub use crate::args::Args;
use crate::config::{Found, Settings, State};
use crate::connection::ConnectionSlots;
use crate::supervisor::{Acceptor, MESSAGES_MAX, Supervisor, SupervisorConfig};
use crate::workers::process::WorkerCommand;
use crate::workers::retained_weights::RetainedWeights;

/// How long clients have, once the daemon ends, to take what they were promised.
const LAST_BYTES: Duration = Duration::from_secs(10);

/// Listens first, then everything else: a client that comes early waits and is told why.
///
/// # Errors
///
/// Settings that are wrong, a socket that is taken, or a system that has no room.
pub fn serve(args: &Args) -> Result<(), Failure> {
    let settings = load(args)?;
    let passed = socket::passed()?;
    let (listener, place) = match passed.listener {
        Some(listener) => listener,
        None => {
            let root = nix::unistd::geteuid().is_root();
            let path = socket_of(&settings, root);
            socket::claim(&path, socket::is_shared(root, &path))?
        }
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        model = settings.model,
        "listening at {}",
        place.path.display()
    );
    let folder = own_folder()?;
    let config = SupervisorConfig {
        config: settings.file.clone(),
        model: settings.model.clone(),
        plan: WorkerCommand::new(&settings, &folder, std::env::vars_os()),
        places: settings.places,
        idle_unload: settings.idle_unload,
        timeouts: settings.timeouts,
        folder: folder_of(&settings.state),
        terms: settings.terms,
        weights: RetainedWeights::stored(passed.weights),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(work(listener, place.is_passed(), config)))
        .map_err(internal)
}

/// What the settings come to in the form of the file, and what is wrong with them beyond.
///
/// # Errors
///
/// Settings that cannot be understood.
pub fn check(args: &Args) -> Result<(String, Option<Failure>), Failure> {
    let settings = load(args)?;
    let plan = WorkerCommand::new(&settings, &own_folder()?, std::env::vars_os());
    let socket = socket_of(&settings, nix::unistd::geteuid().is_root());
    let state_dir = folder_of(&settings.state);
    let found = Found {
        socket: &socket,
        worker: plan.as_ref().ok().map(WorkerCommand::program),
        state_dir: state_dir.as_deref().ok(),
    };
    Ok((settings.shown(found), plan.err()))
}

fn load(args: &Args) -> Result<Settings, Failure> {
    let environment = |name| std::env::var_os(name);
    let files = config::usual_files(environment("XDG_CONFIG_HOME"), environment("HOME"));
    config::load(args, std::env::vars_os(), &files)
}

/// Where it listens, unless a service manager does.
fn socket_of(settings: &Settings, root: bool) -> PathBuf {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = || socket::usual_path(root, runtime_dir.as_deref());
    settings.socket.clone().unwrap_or_else(usual)
}

/// The folder that this program lies in.
fn own_folder() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().map_err(internal)?;
    Ok(program.parent().unwrap_or(&program).to_owned())
}

fn internal(error: std::io::Error) -> Failure {
    Failure::new(Kind::Internal, error.to_string())
}

/// Where detached jobs are kept, or why nowhere.
fn folder_of(state: &State) -> Result<PathBuf, Failure> {
    match state {
        State::Folder(folder) => Ok(folder.clone()),
        State::Off => Err(Failure::new(Kind::Config, "this zimaged keeps no jobs")
            .hint("leave --detach away and wait for the image")),
        State::Usual => {
            let root = nix::unistd::geteuid().is_root();
            store::default_path(root, |name| std::env::var_os(name)).ok_or_else(|| {
                Failure::new(Kind::Config, "there is no folder to keep jobs in")
                    .hint("name one with --state-dir, or set HOME")
            })
        }
    }
}

async fn work(
    listener: UnixListener,
    is_passed: bool,
    config: SupervisorConfig,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (to_supervisor, from_clients) = mpsc::channel(MESSAGES_MAX);
    let slots = ConnectionSlots::new(config.places.connections as usize);
    let accepting = tokio::spawn(connection::accept(listener, slots.clone(), to_supervisor));
    let acceptor = Acceptor { accepting: accepting.abort_handle(), is_kept_open: is_passed };
    Supervisor::new(config)?.run(from_clients, acceptor).await?;
    if tokio::time::timeout(LAST_BYTES, slots.all_free()).await.is_err() {
        tracing::info!("some clients did not take all of their answer");
    }
    tracing::info!("ended");
    Ok(())
}
