//! Starting the worker: which program, with which arguments and which environment.
//!
//! StartOptions it from the main thread only (the runtime is single-threaded): a worker that asks for
//! a signal at its parent's death gets it when the *thread* that started it ends.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::io::FdFlags;
use tokio::process::{Child, Command};
use zimg_protocol::{Failure, Kind};

use crate::config::{Device, Settings};

/// The worker's file name.
const PROGRAM: &str = "zimage-worker";
/// From the folder of zimaged to an installed worker.
const INSTALLED: &str = "../libexec/zimaged";

/// Variables that reach the worker, by the beginning of their names: settings of the GPU and of
/// libtorch. Service-manager and session variables are none of its business.
const PASSED_PREFIXES: [&str; 9] =
    ["CUDA_", "NVIDIA_", "OMP_", "GOMP_", "KMP_", "MKL_", "PYTORCH_", "TORCH_", "LC_"];
/// The same by their whole names.
const PASSED: [&str; 8] = [
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TMPDIR",
    "XDG_CACHE_HOME",
];

/// How libtorch's threads wait for each other, unless the administrator says so.
const WAIT_POLICY: &str = "OMP_WAIT_POLICY";
/// How often they look before they sleep: for some tens of microseconds, the time between two
/// operations. Without looking an image of the built-in model takes twice as long on an idle
/// machine; with libgomp's own 300,000 it takes ten times as long on a busy one.
const SPIN_COUNT: (&str, &str) = ("GOMP_SPINCOUNT", "10000");

/// How libtorch keeps a GPU's memory, unless the administrator says so: steps and decoding share
/// what they need one after the other, 1 GiB less at 1024² and no slower.
const ALLOCATOR: (&str, &str) = ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True");

/// Everything needed to start a worker, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// What is different at each start.
#[derive(Debug, Default)]
pub(crate) struct StartOptions {
    /// The worker's end of the channel for weights that outlive it.
    pub weights: Option<OwnedFd>,
    /// Width and height of the image that a job waits for whom the last worker left: nothing is
    /// drawn before it.
    pub awaited: Option<(u32, u32)>,
}

impl WorkerCommand {
    /// What the settings come to, given the folder of zimaged and the environment.
    ///
    /// # Errors
    ///
    /// `Config`: there is no such program, or no such GPU among the visible ones.
    pub(crate) fn new(
        settings: &Settings,
        own_folder: &Path,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Failure> {
        let program = find(settings.worker.as_deref(), own_folder)?;
        let mut passed: Vec<_> = environment.filter(|(name, _)| is_passed(name)).collect();
        if !passed.iter().any(|(name, _)| name == WAIT_POLICY || name == SPIN_COUNT.0) {
            passed.push((SPIN_COUNT.0.into(), SPIN_COUNT.1.into()));
        }
        let mut set = |name: &str, value: OsString| {
            passed.retain(|(other, _)| other != name);
            passed.push((name.into(), value));
        };
        set("CUDA_MODULE_LOADING", "LAZY".into());
        if let Some(conf) = &settings.cuda_alloc_conf {
            set(ALLOCATOR.0, conf.into());
        }
        if !passed.iter().any(|(name, _)| name == ALLOCATOR.0) {
            passed.push((ALLOCATOR.0.into(), ALLOCATOR.1.into()));
        }
        let device = pin(settings.device, &mut passed)?;
        let mut arguments: Vec<OsString> = vec![
            "--parent-pid".into(),
            std::process::id().to_string().into(),
            "--model".into(),
            settings.model.clone().into(),
            "--device".into(),
            device.to_string().into(),
            "--dtype".into(),
            settings.dtype.clone().into(),
        ];
        if let Some(sizes) = &settings.warmup {
            let sizes: Vec<_> = sizes.iter().map(|(w, h)| format!("{w}x{h}")).collect();
            arguments.extend(["--warmup".into(), sizes.join(",").into()]);
        }
        if let Some(threads) = settings.threads {
            arguments.extend(["--threads".into(), threads.to_string().into()]);
        }
        if settings.plain {
            arguments.push("--plain".into());
        }
        Ok(Self { program, arguments, environment: passed })
    }

    /// The worker's program.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Starts a process; its standard input is the other end of the socket.
    ///
    /// # Errors
    ///
    /// `Config` when the program cannot be run at all, `Internal` when the system has no room.
    pub(crate) fn spawn(&self, start: StartOptions) -> Result<(Child, UnixStream), Failure> {
        let failed = |error: std::io::Error| {
            use std::io::ErrorKind::{ExecutableFileBusy, NotFound, PermissionDenied};
            let kind = match error.kind() {
                NotFound | PermissionDenied => Kind::Config,
                ExecutableFileBusy => Kind::Internal,
                _ if error.raw_os_error() == Some(nix::libc::ENOEXEC) => Kind::Config,
                _ => Kind::Internal,
            };
            Failure::new(kind, format!("cannot start {}: {error}", self.program.display()))
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut more: Vec<OsString> = Vec::new();
        if let Some(weights) = &start.weights {
            // Nothing else is started before this is: on the runtime's only thread.
            rustix::io::fcntl_setfd(weights, FdFlags::empty()).map_err(|e| failed(e.into()))?;
            more.extend(["--weights-fd".into(), weights.as_raw_fd().to_string().into()]);
        }
        if let Some((width, height)) = start.awaited {
            more.extend(["--awaited".into(), format!("{width}x{height}").into()]);
        }
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .args(more)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is for the daemon, which then ends the worker.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok((child, ours))
    }
}

/// The worker program: as configured, else beside zimaged, else where `make install` puts it.
fn find(configured: Option<&Path>, own_folder: &Path) -> Result<PathBuf, Failure> {
    let places = match configured {
        Some(path) => vec![path.to_owned()],
        None => vec![own_folder.join(PROGRAM), own_folder.join(INSTALLED).join(PROGRAM)],
    };
    match places.iter().find(|place| place.is_file()) {
        // A bare name would be looked for in $PATH.
        Some(place) => std::path::absolute(place).map_err(|error| {
            Failure::new(Kind::Config, format!("cannot find {}: {error}", place.display()))
        }),
        None => {
            let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            Err(Failure::new(
                Kind::Config,
                format!("there is no worker at {}", places.join(" or ")),
            )
            .hint("build or install zimage-worker, or say where it is with --worker"))
        }
    }
}

fn is_passed(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// Leaves the worker one GPU to see, so that it can never spread to another, and says what that
/// GPU is called there. An administrator's own `CUDA_VISIBLE_DEVICES` is the list chosen from.
fn pin(device: Device, environment: &mut Vec<(OsString, OsString)>) -> Result<Device, Failure> {
    const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
    let list = environment
        .iter()
        .find(|(name, _)| name == VISIBLE)
        .map(|(_, value)| value.to_string_lossy().into_owned());
    let wanted = match device {
        Device::Cpu => None,
        Device::Auto => Some(0),
        Device::Cuda(number) => Some(number),
    };
    let visible = match (wanted, list) {
        (None, _) => String::new(),
        (Some(number), None) => number.to_string(),
        (Some(number), Some(list)) => {
            let names: Vec<&str> =
                list.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
            match names.get(number as usize) {
                Some(name) => (*name).to_owned(),
                None if device == Device::Auto => String::new(),
                None => {
                    return Err(Failure::new(
                        Kind::Config,
                        format!(
                            "there is no {device}: {VISIBLE} names {} of the GPUs",
                            names.len()
                        ),
                    ));
                }
            }
        }
    };
    environment.retain(|(name, _)| name != VISIBLE);
    environment.push((VISIBLE.into(), visible.into()));
    Ok(match device {
        Device::Cuda(_) => Device::Cuda(0),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use zimg_protocol::messages::Places;

    use super::*;
    use crate::config::State;
    use crate::jobs::detached::Retention;
    use crate::timeouts::Timeouts;

    fn settings(device: Device) -> Settings {
        Settings {
            file: None,
            socket: None,
            model: "tiny".into(),
            device,
            dtype: "auto".into(),
            warmup: None,
            worker: Some("/bin/sh".into()),
            threads: None,
            plain: false,
            cuda_alloc_conf: None,
            places: Places::default(),
            idle_unload: None,
            state: State::default(),
            terms: Retention::default(),
            timeouts: Timeouts::default(),
        }
    }

    fn command(
        settings: &Settings,
        environment: &[(&str, &str)],
    ) -> Result<WorkerCommand, Failure> {
        let environment: Vec<_> = environment.iter().map(|(k, v)| (k.into(), v.into())).collect();
        WorkerCommand::new(settings, Path::new("/nowhere"), environment.into_iter())
    }

    fn value<'a>(command: &'a WorkerCommand, name: &str) -> Option<&'a str> {
        let found = command.environment.iter().filter(|(n, _)| n == name).collect::<Vec<_>>();
        assert!(found.len() <= 1, "{name} is there twice");
        found.first().and_then(|(_, value)| value.to_str())
    }

    #[test]
    fn only_what_concerns_the_worker_is_passed_on() {
        let command = command(
            &Settings { cuda_alloc_conf: Some("a:b".into()), ..settings(Device::Auto) },
            &[
                ("HOME", "/h"),
                ("NOTIFY_SOCKET", "/n"),
                ("LISTEN_FDS", "1"),
                ("OMP_NUM_THREADS", "2"),
                ("CUDA_MODULE_LOADING", "EAGER"),
                ("PYTORCH_CUDA_ALLOC_CONF", "x:y"),
                ("SECRET", "s"),
            ],
        )
        .unwrap();
        assert_eq!(value(&command, "HOME"), Some("/h"));
        assert_eq!(value(&command, "OMP_NUM_THREADS"), Some("2"));
        assert_eq!(value(&command, "CUDA_MODULE_LOADING"), Some("LAZY"));
        assert_eq!(value(&command, "GOMP_SPINCOUNT"), Some("10000"));
        assert_eq!(value(&command, "PYTORCH_CUDA_ALLOC_CONF"), Some("a:b"));
        for secret in ["NOTIFY_SOCKET", "LISTEN_FDS", "SECRET"] {
            assert_eq!(value(&command, secret), None, "{secret}");
        }
    }

    #[test]
    fn the_allocator_is_as_the_administrator_has_it() {
        let seen = |environment: &[(&str, &str)]| {
            let command = command(&settings(Device::Auto), environment).unwrap();
            value(&command, "PYTORCH_CUDA_ALLOC_CONF").unwrap().to_owned()
        };
        assert_eq!(seen(&[]), "expandable_segments:True");
        assert_eq!(seen(&[("PYTORCH_CUDA_ALLOC_CONF", "x:y")]), "x:y");
    }

    #[test]
    fn an_administrators_wait_policy_stays() {
        let command = command(&settings(Device::Cpu), &[("OMP_WAIT_POLICY", "ACTIVE")]).unwrap();
        assert_eq!(value(&command, "OMP_WAIT_POLICY"), Some("ACTIVE"));
        assert_eq!(value(&command, "GOMP_SPINCOUNT"), None);
    }

    #[test]
    fn one_gpu_is_left_to_see() {
        let seen = |device, list: Option<&str>| {
            let environment: Vec<_> =
                list.map(|l| ("CUDA_VISIBLE_DEVICES", l)).into_iter().collect();
            command(&settings(device), &environment).map(|command| {
                let at = command.arguments.iter().position(|a| a == "--device").unwrap();
                let told = command.arguments[at + 1].to_str().unwrap().to_owned();
                (value(&command, "CUDA_VISIBLE_DEVICES").unwrap().to_owned(), told)
            })
        };
        let is = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(seen(Device::Auto, None), is("0", "auto"));
        assert_eq!(seen(Device::Cpu, Some("0,1")), is("", "cpu"));
        assert_eq!(seen(Device::Cuda(1), None), is("1", "cuda:0"));
        assert_eq!(seen(Device::Cuda(1), Some("3, GPU-b")), is("GPU-b", "cuda:0"));
        assert_eq!(seen(Device::Auto, Some("")), is("", "auto"));
        let failure = seen(Device::Cuda(2), Some("3,GPU-b")).unwrap_err();
        assert_eq!(failure.message, "there is no cuda:2: CUDA_VISIBLE_DEVICES names 2 of the GPUs");
    }

    #[test]
    fn arguments_say_all_that_is_set() {
        let settings = Settings {
            warmup: Some(vec![(64, 128), (256, 256)]),
            threads: Some(2),
            plain: true,
            ..settings(Device::Cpu)
        };
        let command = command(&settings, &[]).unwrap();
        let words: Vec<_> = command.arguments.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words[2..],
            [
                "--model",
                "tiny",
                "--device",
                "cpu",
                "--dtype",
                "auto",
                "--warmup",
                "64x128,256x256",
                "--threads",
                "2",
                "--plain"
            ]
        );
        assert_eq!(words[..2], ["--parent-pid", &std::process::id().to_string()]);
    }

    #[test]
    fn the_worker_is_beside_or_in_libexec_or_missing_by_name() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        let libexec = root.path().join("libexec/zimaged");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&libexec).unwrap();
        let failure = find(None, &bin).unwrap_err();
        assert_eq!(failure.kind, Kind::Config);
        assert!(failure.message.starts_with("there is no worker at "), "{}", failure.message);
        std::fs::write(libexec.join(PROGRAM), "").unwrap();
        assert!(find(None, &bin).unwrap().ends_with("libexec/zimaged/zimage-worker"));
        std::fs::write(bin.join(PROGRAM), "").unwrap();
        assert_eq!(find(None, &bin).unwrap(), bin.join(PROGRAM));
        assert!(find(Some(Path::new("/nowhere/w")), &bin).is_err());
    }
}
