//! The worker's command: its program, arguments and environment.
//!
//! Spawn it from the runtime's thread only, which lives as long as zimaged: the signal that a worker
//! requests for its parent's death is sent when the *thread* that spawned it ends.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::io::FdFlags;
use tokio::process::{Child, Command};
use zimage_checkpoint::ModelLocation;
use zimage_ipc::PlanBasis;
use zimg_protocol::{Failure, Kind};
use zimg_system::{processes, stack};

use crate::config::{DaemonConfig, Device};

/// The worker's file name.
const PROGRAM: &str = "zimage-worker";
/// From the directory of zimaged to an installed worker.
const INSTALLED: &str = "../libexec/zimaged";

/// Prefixes of variables that are passed to the worker: config of the GPU and of libtorch.
/// Variables of the service manager and the session are not.
const PASSED_PREFIXES: [&str; 9] =
    ["CUDA_", "NVIDIA_", "OMP_", "GOMP_", "KMP_", "MKL_", "PYTORCH_", "TORCH_", "LC_"];
/// Names of further variables that are passed.
const PASSED: [&str; 11] = [
    // Where repositories of models are.
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TMPDIR",
    "XDG_CACHE_HOME",
];

/// How libtorch's threads wait for each other; an administrator's value is kept.
const WAIT_POLICY: &str = "OMP_WAIT_POLICY";
/// How long they spin before they sleep: some tens of microseconds, the time between two
/// operations. Without spinning, an image of the built-in model takes twice as long on an idle
/// machine; with libgomp's default of 300,000 it takes ten times as long on a busy one.
const SPIN_COUNT: (&str, &str) = ("GOMP_SPINCOUNT", "10000");

/// How libtorch allocates GPU memory, unless the administrator sets it: with expandable segments,
/// steps and decoder share memory, 1 GiB less at 1024² and no slower.
const ALLOCATOR: (&str, &str) = ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True");

/// The folder in the state directory for what workers measured of devices.
pub(crate) const RATES: &str = "rates";

/// The stack of libtorch's threads where `ulimit -s` is short: theirs is as long as that.
const THREAD_STACK: (&str, &str) = ("OMP_STACKSIZE", "8M");

/// The variable that limits which GPUs CUDA sees.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Why there is no command for the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerCommandError {
    /// No file has any of these paths.
    #[error("there is no worker at {}", alternatives(.0))]
    Missing(Vec<PathBuf>),
    /// The path cannot be made absolute.
    #[error("cannot find {}: {error}", path.display())]
    Path { path: PathBuf, error: std::io::Error },
    /// The GPU's index exceeds the list of visible GPUs.
    #[error("there is no {device}: {VISIBLE} names {visible} of the GPUs")]
    NoSuchGpu { device: Device, visible: usize },
}

impl From<WorkerCommandError> for Failure {
    fn from(error: WorkerCommandError) -> Self {
        let failure = Self::new(Kind::Config, error.to_string());
        match error {
            WorkerCommandError::Missing(_) => {
                failure.hint("build or install zimage-worker, or say where it is with --worker")
            }
            WorkerCommandError::Path { .. } | WorkerCommandError::NoSuchGpu { .. } => failure,
        }
    }
}

fn alternatives(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(" or ")
}

/// A worker that cannot be spawned.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}: {}", program.display(), processes::explain(error))]
pub(crate) struct SpawnError {
    program: PathBuf,
    error: std::io::Error,
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Self {
        use std::io::ErrorKind::{ExecutableFileBusy, NotFound, PermissionDenied};
        let kind = match error.error.kind() {
            NotFound | PermissionDenied => Kind::Config,
            ExecutableFileBusy => Kind::Internal,
            _ if error.error.raw_os_error() == Some(nix::libc::ENOEXEC) => Kind::Config,
            _ => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

/// What every start of a worker has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// What differs between starts.
#[derive(Debug, Default)]
pub(crate) struct StartOptions {
    /// The worker's end of the channel for retained weights.
    pub weights: Option<OwnedFd>,
    /// Width and height of the first image that a waiting job needs: the worker warms up no other
    /// size before it.
    pub awaited: Option<(u32, u32)>,
    /// What the memory plan follows from, if an earlier process has made one.
    pub basis: Option<PlanBasis>,
}

impl WorkerCommand {
    /// The command of each worker: one for each configured device.
    pub(crate) fn for_devices(
        config: &DaemonConfig,
        own_directory: &Path,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Vec<Result<Self, WorkerCommandError>> {
        let environment: Vec<_> = environment.collect();
        let command = |device: &Device| {
            Self::new(config, *device, own_directory, environment.iter().cloned())
        };
        config.devices.iter().map(command).collect()
    }

    /// The command for this configuration, the directory of zimaged and its environment.
    ///
    /// # Errors
    ///
    /// The program is missing, or the GPU is not among the visible ones.
    pub(crate) fn new(
        config: &DaemonConfig,
        device: Device,
        own_directory: &Path,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, WorkerCommandError> {
        let program = find(config.worker.as_deref(), own_directory)?;
        let mut passed: Vec<_> = environment.filter(|(name, _)| is_passed(name)).collect();
        if !passed.iter().any(|(name, _)| name == WAIT_POLICY || name == SPIN_COUNT.0) {
            passed.push((SPIN_COUNT.0.into(), SPIN_COUNT.1.into()));
        }
        if stack::is_short() && !passed.iter().any(|(name, _)| name == THREAD_STACK.0) {
            passed.push((THREAD_STACK.0.into(), THREAD_STACK.1.into()));
        }
        let mut set = |name: &str, value: OsString| {
            passed.retain(|(other, _)| other != name);
            passed.push((name.into(), value));
        };
        set("CUDA_MODULE_LOADING", "LAZY".into());
        if let Some(conf) = &config.cuda_alloc_conf {
            set(ALLOCATOR.0, conf.into());
        }
        if !passed.iter().any(|(name, _)| name == ALLOCATOR.0) {
            passed.push((ALLOCATOR.0.into(), ALLOCATOR.1.into()));
        }
        let device = pin(device, &mut passed)?;
        let mut arguments: Vec<OsString> = vec![
            "--parent-pid".into(),
            std::process::id().to_string().into(),
            "--model".into(),
            match &config.model {
                ModelLocation::Path(folder) => folder.into(),
                ModelLocation::BuiltIn => config.model.to_string().into(),
            },
            "--device".into(),
            device.to_string().into(),
            "--dtype".into(),
            config.dtype.clone().into(),
            "--memory".into(),
            config.memory.to_string().into(),
            "--pinned-memory".into(),
            config.pinned_memory.to_string().into(),
        ];
        for (option, named) in [
            ("--text-encoder", &config.text_encoder),
            ("--vae", &config.vae),
            ("--tokenizer", &config.tokenizer),
        ] {
            if let Some(named) = named {
                arguments.extend([option.into(), named.into()]);
            }
        }
        if let Some(kind) = config.model_kind {
            arguments.extend(["--model-kind".into(), kind.to_string().into()]);
        }
        for directory in &config.lora_dirs {
            arguments.extend(["--lora-dir".into(), directory.into()]);
        }
        for directory in &config.control_dirs {
            arguments.extend(["--control-dir".into(), directory.into()]);
        }
        if let Some(sizes) = &config.warmup {
            let sizes: Vec<_> = sizes.iter().map(|(w, h)| format!("{w}x{h}")).collect();
            arguments.extend(["--warmup".into(), sizes.join(",").into()]);
        }
        if let Some(threads) = config.threads {
            arguments.extend(["--threads".into(), threads.to_string().into()]);
        }
        if config.eager {
            arguments.push("--eager".into());
        }
        Ok(Self { program, arguments, environment: passed })
    }

    /// The same with a state directory, where workers keep what they measured of devices.
    pub(crate) fn with_state(mut self, directory: &Path) -> Self {
        self.arguments.extend(["--rates".into(), directory.join(RATES).into()]);
        self
    }

    /// The worker's program.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Spawns a worker, whose standard input is the other end of the returned socket.
    ///
    /// # Errors
    ///
    /// [`SpawnError`].
    pub(crate) fn spawn(&self, start: StartOptions) -> Result<(Child, UnixStream), SpawnError> {
        let failed = |error| SpawnError { program: self.program.clone(), error };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut more: Vec<OsString> = Vec::new();
        if let Some(weights) = &start.weights {
            // No other process is spawned in between: the runtime has a single thread.
            rustix::io::fcntl_setfd(weights, FdFlags::empty()).map_err(|e| failed(e.into()))?;
            more.extend(["--weights-fd".into(), weights.as_raw_fd().to_string().into()]);
        }
        if let Some((width, height)) = start.awaited {
            more.extend(["--awaited".into(), format!("{width}x{height}").into()]);
        }
        if let Some(PlanBasis { budget, pixels }) = start.basis {
            more.extend(["--plan-budget".into(), budget.to_string().into()]);
            more.extend(["--plan-pixels".into(), pixels.to_string().into()]);
        }
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .args(more)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal signals the daemon alone, which then stops the worker.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok((child, ours))
    }
}

/// The worker program: as configured, else beside zimaged, else where `make install` puts it.
fn find(configured: Option<&Path>, own_directory: &Path) -> Result<PathBuf, WorkerCommandError> {
    let candidates = match configured {
        Some(path) => vec![path.to_owned()],
        None => vec![own_directory.join(PROGRAM), own_directory.join(INSTALLED).join(PROGRAM)],
    };
    match candidates.iter().find(|path| path.is_file()) {
        // A bare name would be searched for in $PATH.
        Some(path) => std::path::absolute(path)
            .map_err(|error| WorkerCommandError::Path { path: path.clone(), error }),
        None => Err(WorkerCommandError::Missing(candidates)),
    }
}

fn is_passed(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// Makes a single GPU visible to the worker, and returns the device as the worker numbers it. An
/// administrator's `CUDA_VISIBLE_DEVICES` is the list that is chosen from.
fn pin(
    device: Device,
    environment: &mut Vec<(OsString, OsString)>,
) -> Result<Device, WorkerCommandError> {
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
                    return Err(WorkerCommandError::NoSuchGpu { device, visible: names.len() });
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
    use zimg_protocol::messages::DaemonLimits;

    use super::*;
    use crate::config::StateDir;
    use crate::retention::Retention;
    use crate::timeouts::Timeouts;

    fn config(device: Device) -> DaemonConfig {
        DaemonConfig {
            file: None,
            socket: None,
            model: ModelLocation::BuiltIn,
            text_encoder: None,
            lora_dirs: vec!["/srv/loras".into()],
            control_dirs: vec!["/srv/controls".into()],
            vae: None,
            tokenizer: None,
            model_kind: None,
            devices: vec![device],
            dtype: "auto".into(),
            memory: zimage_checkpoint::MemoryBudget::Auto,
            pinned_memory: zimage_checkpoint::PinnedMemory::default(),
            warmup: None,
            worker: Some("/bin/sh".into()),
            threads: None,
            eager: false,
            cuda_alloc_conf: None,
            limits: DaemonLimits::default(),
            trusted_group: None,
            idle_unload: None,
            state_dir: StateDir::default(),
            retention: Retention::default(),
            timeouts: Timeouts::default(),
        }
    }

    fn command(
        config: &DaemonConfig,
        environment: &[(&str, &str)],
    ) -> Result<WorkerCommand, WorkerCommandError> {
        let environment: Vec<_> = environment.iter().map(|(k, v)| (k.into(), v.into())).collect();
        WorkerCommand::for_devices(config, Path::new("/nowhere"), environment.into_iter()).remove(0)
    }

    fn value<'a>(command: &'a WorkerCommand, name: &str) -> Option<&'a str> {
        let found = command.environment.iter().filter(|(n, _)| n == name).collect::<Vec<_>>();
        assert!(found.len() <= 1, "{name} is there twice");
        found.first().and_then(|(_, value)| value.to_str())
    }

    #[test]
    fn only_the_workers_variables_are_passed() {
        let command = command(
            &DaemonConfig { cuda_alloc_conf: Some("a:b".into()), ..config(Device::Auto) },
            &[
                ("HOME", "/h"),
                ("NOTIFY_SOCKET", "/n"),
                ("LISTEN_FDS", "1"),
                ("OMP_NUM_THREADS", "2"),
                ("CUDA_MODULE_LOADING", "EAGER"),
                ("PYTORCH_CUDA_ALLOC_CONF", "x:y"),
                ("HF_HUB_CACHE", "/hub"),
                ("HF_TOKEN", "s"),
                ("SECRET", "s"),
            ],
        )
        .unwrap();
        assert_eq!(value(&command, "HOME"), Some("/h"));
        assert_eq!(value(&command, "HF_HUB_CACHE"), Some("/hub"));
        assert_eq!(value(&command, "OMP_NUM_THREADS"), Some("2"));
        assert_eq!(value(&command, "CUDA_MODULE_LOADING"), Some("LAZY"));
        assert_eq!(value(&command, "GOMP_SPINCOUNT"), Some("10000"));
        assert_eq!(value(&command, "PYTORCH_CUDA_ALLOC_CONF"), Some("a:b"));
        for secret in ["NOTIFY_SOCKET", "LISTEN_FDS", "HF_TOKEN", "SECRET"] {
            assert_eq!(value(&command, secret), None, "{secret}");
        }
    }

    #[test]
    fn an_administrators_allocator_setting_is_kept() {
        let seen = |environment: &[(&str, &str)]| {
            let command = command(&config(Device::Auto), environment).unwrap();
            value(&command, "PYTORCH_CUDA_ALLOC_CONF").unwrap().to_owned()
        };
        assert_eq!(seen(&[]), "expandable_segments:True");
        assert_eq!(seen(&[("PYTORCH_CUDA_ALLOC_CONF", "x:y")]), "x:y");
    }

    #[test]
    fn an_administrators_wait_policy_is_kept() {
        let command = command(&config(Device::Cpu), &[("OMP_WAIT_POLICY", "ACTIVE")]).unwrap();
        assert_eq!(value(&command, "OMP_WAIT_POLICY"), Some("ACTIVE"));
        assert_eq!(value(&command, "GOMP_SPINCOUNT"), None);
    }

    #[test]
    fn a_single_gpu_is_visible() {
        let seen = |device, list: Option<&str>| {
            let environment: Vec<_> =
                list.map(|l| ("CUDA_VISIBLE_DEVICES", l)).into_iter().collect();
            command(&config(device), &environment).map_err(Failure::from).map(|command| {
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
    fn every_setting_is_an_argument() {
        let config = DaemonConfig {
            warmup: Some(vec![(64, 128), (256, 256)]),
            threads: Some(2),
            eager: true,
            text_encoder: Some("/te".into()),
            vae: Some("/vae".into()),
            tokenizer: Some("/t".into()),
            model_kind: Some(zimage_checkpoint::ModelKind::Base),
            ..config(Device::Cpu)
        };
        let command = command(&config, &[]).unwrap();
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
                "--memory",
                "auto",
                "--pinned-memory",
                "512MiB",
                "--text-encoder",
                "/te",
                "--vae",
                "/vae",
                "--tokenizer",
                "/t",
                "--model-kind",
                "base",
                "--lora-dir",
                "/srv/loras",
                "--control-dir",
                "/srv/controls",
                "--warmup",
                "64x128,256x256",
                "--threads",
                "2",
                "--eager"
            ]
        );
        assert_eq!(words[..2], ["--parent-pid", &std::process::id().to_string()]);
    }

    #[test]
    fn the_worker_is_beside_zimaged_or_in_libexec_or_named_as_missing() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        let libexec = root.path().join("libexec/zimaged");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&libexec).unwrap();
        let failure = Failure::from(find(None, &bin).unwrap_err());
        assert_eq!(failure.kind, Kind::Config);
        assert!(failure.message.starts_with("there is no worker at "), "{}", failure.message);
        std::fs::write(libexec.join(PROGRAM), "").unwrap();
        assert!(find(None, &bin).unwrap().ends_with("libexec/zimaged/zimage-worker"));
        std::fs::write(bin.join(PROGRAM), "").unwrap();
        assert_eq!(find(None, &bin).unwrap(), bin.join(PROGRAM));
        assert!(find(Some(Path::new("/nowhere/w")), &bin).is_err());
    }
}
