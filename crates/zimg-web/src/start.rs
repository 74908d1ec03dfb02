//! The start: options checked, listening, and serving until a signal ends the program.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zimg_client::{Failure, Kind, socket};

use crate::access::{self, Access, Hosts, Keys, Login, OneTimeToken, Secret};
use crate::browser::{self, Redirect};
use crate::daemon::{Daemon, DaemonConfig};
use crate::router::router;
use crate::server::{self, Listener, ListenerError};
use crate::tracker::Tracker;
use crate::{App, Args, Config, events};

/// How long responses under way may take after a signal.
const GRACE: Duration = Duration::from_secs(5);
/// Where it listens unless it is told otherwise.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7860);
/// Threads of conversations with the daemon and of encoders.
const THREADS: usize = 1100;
const THREAD_STACK: usize = 512 << 10;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// The options do not fit together, or it cannot listen.
pub fn serve(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .thread_stack_size(THREAD_STACK)
        .build()
        .map_err(|error| internal(&error))?;
    let served = runtime.block_on(run(args));
    // A thread may still wait for a daemon that does not answer.
    runtime.shutdown_background();
    served
}

async fn run(args: &Args) -> Result<(), Failure> {
    let listener = match Listener::passed()? {
        Some(listener) => listener,
        None => {
            require_keys(args)?;
            bind(args)?
        }
    };
    let socket = socket::find(args.socket.as_deref())?;
    let (login, link) = login(args, &listener)?;
    let access = Access::new(Hosts::new(listener.address(), &args.host), login, secret(args)?);
    let config = Config {
        obey_steps: args.obey_steps,
        public_url: args.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
        page_dir: args.page_dir.clone(),
    };
    let daemon = Daemon::new(DaemonConfig {
        socket: socket.clone(),
        connections: args.daemon_connections.into(),
    });
    let follow = usize::from(args.daemon_connections) / 2;
    let tracker = Tracker::new(daemon.clone(), config.front(), follow);
    let tracker = tracker.map_err(|error| internal(&error))?;
    tokio::spawn(tracker.clone().run());
    let app = App { daemon, tracker, access, config: Arc::new(config) };
    tracing::info!(
        event = events::LISTENING,
        version = env!("CARGO_PKG_VERSION"),
        socket = %socket.display(),
        "listening at {}",
        shown(&listener)
    );
    let _redirect = match &link {
        Some(link) => announce(link, args.open)?,
        None => None,
    };
    // Without a service manager there is nothing to notify.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    if let Some(period) = sd_notify::watchdog_enabled() {
        tokio::spawn(report_life(period));
    }
    let (ends, end) = watch::channel(false);
    let signals = ended_by_signal().map_err(|error| internal(&error))?;
    tokio::spawn(async move {
        signals.await;
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        let _ = ends.send(true);
    });
    server::serve(listener, router(app), args.connections.into(), end, GRACE).await;
    Ok(())
}

/// An address that other machines reach is served with keys only.
fn require_keys(args: &Args) -> Result<(), Failure> {
    if args.listen.ip().is_loopback() || args.keys.is_some() {
        return Ok(());
    }
    let message = format!(
        "--listen is {}, which other machines reach, and there are no keys: every program there \
         could generate images",
        args.listen
    );
    Err(Failure::new(Kind::Config, message)
        .hint("name a file of keys with --keys, or listen on 127.0.0.1 behind a proxy with keys"))
}

/// How users sign in, and the link that the user opens.
fn login(args: &Args, listener: &Listener) -> Result<(Login, Option<String>), Failure> {
    if let Some(path) = &args.keys {
        return Ok((Login::Keys(Keys::open(path)?), None));
    }
    let address = listener.address();
    if !args.link {
        // A service manager's socket can be one that other machines reach.
        return match address.filter(|at| !at.ip().is_loopback()) {
            Some(at) => Err(Failure::new(
                Kind::Config,
                format!("the service manager listens at {at}, and there are no keys"),
            )
            .hint("name a file of keys with --keys")),
            None => Ok((Login::None, None)),
        };
    }
    let (token, text) = OneTimeToken::new().map_err(|error| internal(&error))?;
    let link = address.map(|at| format!("http://{at}/#token={text}"));
    Ok((Login::Token(token), link))
}

/// The secret of the state directory, or one that ends with this process.
fn secret(args: &Args) -> Result<Secret, Failure> {
    let directory = args.state_dir.clone().or_else(state_directory);
    let Some(directory) = directory else {
        return Secret::random().map_err(|error| internal(&error));
    };
    Secret::in_directory(&directory).map_err(|error| {
        let at = directory.display();
        Failure::new(Kind::CannotCreate, format!("cannot use the state directory {at}: {error}"))
            .hint("--state-dir chooses another directory")
    })
}

/// systemd's, else the user's.
fn state_directory() -> Option<PathBuf> {
    let variable = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    variable("ZIMG_WEB_STATE_DIR").or_else(|| variable("STATE_DIRECTORY")).or_else(|| {
        let state = variable("XDG_STATE_HOME");
        let state = state.or_else(|| Some(variable("HOME")?.join(".local/state")))?;
        Some(state.join("zimg-web"))
    })
}

fn shown(listener: &Listener) -> String {
    match (listener.address(), listener.path()) {
        (Some(address), _) => format!("http://{address}"),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => "a socket of the service manager".to_owned(),
    }
}

/// Prints the link, and opens it.
fn announce(link: &str, open: bool) -> Result<Option<Redirect>, Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{link}").and_then(|()| out.flush()).map_err(|error| {
        Failure::new(Kind::Io, format!("cannot write to standard output: {error}"))
    })?;
    Ok(if open { browser::open(link) } else { None })
}

/// Listens where it is asked to. Other programs of this field have the same usual port: a link
/// that is printed may name another.
fn bind(args: &Args) -> Result<Listener, ListenerError> {
    match Listener::bind(args.listen) {
        Err(ListenerError::Bind(at, error))
            if args.link && at == USUAL && error.kind() == ErrorKind::AddrInUse =>
        {
            Listener::bind(SocketAddr::new(at.ip(), 0))
        }
        other => other,
    }
}

/// Tells the service manager that the event loop runs, twice in its period.
async fn report_life(period: Duration) {
    loop {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        tokio::time::sleep(period / 2).await;
    }
}

/// Completes with the first signal that ends the program.
fn ended_by_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}

/// Adds a key to the file of `--keys`, and returns it.
///
/// # Errors
///
/// The name is not possible or there already, or the file cannot be written.
pub fn new_key(args: &Args, name: &str) -> Result<String, Failure> {
    let path = args.keys.clone().unwrap_or_default();
    if path.exists() && Keys::open(&path)?.named(name).is_some() {
        let message = format!("{} has a key for {name} already", path.display());
        return Err(Failure::new(Kind::CannotCreate, message).hint("remove its line first"));
    }
    let (key, line) = access::new_key(name)?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| {
            let at = path.display();
            Failure::new(Kind::CannotCreate, format!("cannot write the key to {at}: {error}"))
        })?;
    Ok(key)
}

fn internal(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Internal, error.to_string())
}
