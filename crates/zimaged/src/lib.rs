//! The daemon as a library, so that `tests/` can fuzz its parsers; not a stable API.

mod args;
pub mod config;
mod connection;
mod events;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod image_input;
mod image_upload;
mod jobs;
mod lock;
pub mod log;
mod outbox;
mod owner;
mod request_images;
mod retention;
mod scheduler;
mod socket;
mod store;
mod supervisor;
mod systemd;
mod timeouts;
mod workers;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use zimage_checkpoint::{Checkpoint, MeasuredRates, PlanPreview};
use zimg_protocol::{Failure, Kind};

pub use crate::args::Args;
use crate::config::{DaemonConfig, Device, Resolved, StateDir};
use crate::connection::ConnectionSlots;
pub use crate::events::START_FAILED;
use crate::owner::TrustedGroup;
use crate::supervisor::{Acceptor, MESSAGES_MAX, Supervisor, SupervisorConfig};
use crate::workers::process::{RATES, WorkerCommand};

/// The fewest open files with which the daemon can listen and start a worker.
const OPEN_FILES_MIN: u64 = 32;

/// At shutdown, how long clients have to read what they were promised.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the daemon to its end. Listening comes first: a client that connects early waits and is
/// told why.
///
/// # Errors
///
/// The configuration is invalid, the socket is in use, or the system has no resources left.
pub fn serve(args: &Args) -> Result<(), Failure> {
    let config = load(args)?;
    require_open_files(zimg_system::processes::open_files())?;
    let passed = socket::passed()?;
    let (listener, guard) = match passed.listener {
        Some(listener) => listener,
        None => {
            let root = nix::unistd::geteuid().is_root();
            let path = socket_path(&config, root);
            socket::claim(&path, socket::is_shared(root, &path))?
        }
    };
    tracing::info!(
        event = events::LISTENING,
        version = env!("CARGO_PKG_VERSION"),
        model = %config.model,
        socket = %guard.path.display(),
        "listening at {}",
        guard.path.display()
    );
    let workers = WorkerCommand::for_devices(&config, &program_directory()?, std::env::vars_os());
    let folder = state_directory(&config.state_dir);
    let stateful = |command: WorkerCommand| match &folder {
        Ok(folder) => command.with_state(folder),
        Err(_) => command,
    };
    let supervisor = SupervisorConfig {
        config: config.file.clone(),
        model: config.model.clone(),
        workers: workers
            .into_iter()
            .map(|command| command.map(stateful).map_err(Failure::from))
            .collect(),
        limits: config.limits,
        trusted_group: trusted_group(&config)?,
        idle_unload: config.idle_unload,
        timeouts: config.timeouts,
        folder,
        retention: config.retention,
        weights: passed.weights,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(run(listener, guard.is_passed(), supervisor)))
        .map_err(internal)
}

/// Refuses a limit with which the daemon would end in the middle of its start.
fn require_open_files(allowed: Option<u64>) -> Result<(), Failure> {
    let Some(allowed) = allowed.filter(|allowed| *allowed < OPEN_FILES_MIN) else { return Ok(()) };
    let message = format!(
        "{allowed} open files are allowed here (ulimit -n), expected at least {OPEN_FILES_MIN}"
    );
    Err(Failure::new(Kind::Config, message).hint("raise `ulimit -n` (`LimitNOFILE=` of the unit)"))
}

/// The effective configuration in the form of the file, and what is wrong beyond its syntax.
///
/// # Errors
///
/// The configuration is invalid.
pub fn check(args: &Args) -> Result<(String, Option<Failure>), Failure> {
    let config = load(args)?;
    let workers = WorkerCommand::for_devices(&config, &program_directory()?, std::env::vars_os());
    let command: Result<Vec<_>, _> = workers.into_iter().collect();
    let socket = socket_path(&config, nix::unistd::geteuid().is_root());
    let state_dir = state_directory(&config.state_dir);
    let resolved = Resolved {
        socket: &socket,
        worker: command.as_ref().ok().and_then(|all| all.first()).map(WorkerCommand::program),
        state_dir: state_dir.as_deref().ok(),
    };
    let shown = config.shown(resolved);
    let wrong = command.err().map(Failure::from).or_else(|| trusted_group(&config).err());
    let (inventory, unsound) = match verify(&config, state_dir.as_deref().ok()) {
        Ok(lines) => (lines, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let inventory = inventory.iter().map(|line| format!("# {line}\n"));
    Ok((shown + &inventory.collect::<String>(), wrong.or(unsound)))
}

/// Checks that a checkpoint's files are there and sound, with every tensor that the model needs, and
/// returns its inventory and its memory plans on a GPU. `state_dir` may have the rates of one.
fn verify(config: &DaemonConfig, state_dir: Option<&Path>) -> Result<Vec<String>, Failure> {
    let Some(files) = config.model_files() else { return Ok(Vec::new()) };
    let lines = Checkpoint::open_files(&files).and_then(|checkpoint| {
        let mut lines = checkpoint.verify()?.lines();
        lines.extend(memory_plans(config, &checkpoint, state_dir)?);
        Ok(lines)
    });
    lines.map_err(|error| {
        let failure = Failure::new(Kind::Config, error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// What a worker would plan, unless there is no GPU among the devices.
fn memory_plans(
    config: &DaemonConfig,
    checkpoint: &Checkpoint,
    state_dir: Option<&Path>,
) -> Result<Vec<String>, zimage_checkpoint::Error> {
    if config.devices.iter().all(|device| *device == Device::Cpu) {
        return Ok(Vec::new());
    }
    let dtype = if config.dtype == "auto" { "bfloat16" } else { &config.dtype };
    let rates = state_dir.and_then(|folder| MeasuredRates::only(&folder.join(RATES), dtype));
    let sizes = config.warmup.iter().flatten();
    let pixels = sizes.map(|(width, height)| u64::from(*width) * u64::from(*height)).max();
    let preview = PlanPreview::new(checkpoint, dtype, pixels, rates.as_ref())?;
    Ok(preview.lines(config.memory))
}

fn load(args: &Args) -> Result<DaemonConfig, Failure> {
    let environment = |name| std::env::var_os(name);
    let files = config::default_files(environment("XDG_CONFIG_HOME"), environment("HOME"));
    Ok(config::load(args, std::env::vars_os(), &files)?)
}

/// The socket's path, unless a service manager passes the socket.
fn socket_path(config: &DaemonConfig, root: bool) -> PathBuf {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let default = || socket::default_path(root, runtime_dir.as_deref());
    config.socket.clone().unwrap_or_else(default)
}

/// The group that is trusted.
fn trusted_group(config: &DaemonConfig) -> Result<Option<TrustedGroup>, Failure> {
    let Some(name) = &config.trusted_group else { return Ok(None) };
    let found = TrustedGroup::find(name).map_err(|error| internal(error.into()))?;
    let missing = || {
        Failure::new(Kind::Config, format!("trusted_group is `{name}`, and there is no such group"))
            .hint(format!("create it with `groupadd --system {name}`, or remove the setting"))
    };
    found.ok_or_else(missing).map(Some)
}

/// The directory of this program.
fn program_directory() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().map_err(internal)?;
    Ok(program.parent().unwrap_or(&program).to_owned())
}

fn internal(error: std::io::Error) -> Failure {
    Failure::new(Kind::Internal, zimg_system::processes::explain(&error))
}

/// The directory of detached jobs, or why there is none.
fn state_directory(state_dir: &StateDir) -> Result<PathBuf, Failure> {
    match state_dir {
        StateDir::Path(path) => Ok(path.clone()),
        StateDir::Off => Err(Failure::new(Kind::Config, "this zimaged stores no detached jobs")
            .hint("leave --detach away and wait for the image")),
        StateDir::Default => {
            let root = nix::unistd::geteuid().is_root();
            store::default_path(root, |name| std::env::var_os(name)).ok_or_else(|| {
                Failure::new(Kind::Config, "there is no directory to store jobs in")
                    .hint("name one with --state-dir, or set HOME")
            })
        }
    }
}

async fn run(
    listener: UnixListener,
    is_passed: bool,
    config: SupervisorConfig,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (to_supervisor, from_clients) = mpsc::channel(MESSAGES_MAX);
    let slots = ConnectionSlots::new(config.limits.connections as usize);
    let accepting = tokio::spawn(connection::accept(listener, slots.clone(), to_supervisor));
    let acceptor = Acceptor { task: accepting.abort_handle(), is_kept_open: is_passed };
    Supervisor::new(config)?.run(from_clients, acceptor).await?;
    if tokio::time::timeout(FLUSH_TIMEOUT, slots.all_free()).await.is_err() {
        tracing::info!(
            event = events::CLIENTS_UNFINISHED,
            "some clients did not read all of their answers"
        );
    }
    tracing::info!(event = events::STOPPED, "stopped");
    Ok(())
}
