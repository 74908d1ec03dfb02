//! The effective configuration in the form of the file, as `zimaged --check` prints it.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use super::DaemonConfig;

/// The values that the daemon resolves where the configuration leaves them open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved<'a> {
    /// The socket, unless a service manager passes one.
    pub socket: &'a Path,
    /// The worker program, if it exists.
    pub worker: Option<&'a Path>,
    /// The directory of detached jobs, if they are stored.
    pub state_dir: Option<&'a Path>,
}

impl DaemonConfig {
    /// All keys that have a value.
    pub(crate) fn shown(&self, resolved: Resolved<'_>) -> String {
        let mut text = match &self.file {
            Some(file) => format!("# read from {}\n", file.display()),
            None => "# there is no configuration file\n".to_owned(),
        };
        let mut put = |key: &str, value: &dyn Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        };
        let path = |path: &Path| quoted(&path.display().to_string());
        put("socket", &path(resolved.socket));
        put("model", &quoted(&self.model.to_string()));
        for (key, named) in [
            ("text_encoder", &self.text_encoder),
            ("vae", &self.vae),
            ("tokenizer", &self.tokenizer),
        ] {
            if let Some(named) = named {
                put(key, &path(named));
            }
        }
        if let Some(kind) = &self.model_kind {
            put("model_kind", &quoted(&kind.to_string()));
        }
        if !self.lora_dirs.is_empty() {
            let dirs: Vec<_> = self.lora_dirs.iter().map(|dir| path(dir)).collect();
            put("lora_dirs", &format_args!("[{}]", dirs.join(", ")));
        }
        if !self.control_dirs.is_empty() {
            let dirs: Vec<_> = self.control_dirs.iter().map(|dir| path(dir)).collect();
            put("control_dirs", &format_args!("[{}]", dirs.join(", ")));
        }
        let devices: Vec<_> = self.devices.iter().map(ToString::to_string).collect();
        put("device", &quoted(&devices.join(",")));
        put("dtype", &quoted(&self.dtype));
        put("memory", &quoted(&self.memory.to_string()));
        put("pinned_memory", &quoted(&self.pinned_memory.to_string()));
        put("eager", &self.eager);
        if let Some(sizes) = &self.warmup {
            let sizes: Vec<_> = sizes.iter().map(|(w, h)| format!("\"{w}x{h}\"")).collect();
            put("warmup", &format_args!("[{}]", sizes.join(", ")));
        }
        if let Some(threads) = &self.threads {
            put("threads", threads);
        }
        if let Some(worker) = resolved.worker {
            put("worker", &path(worker));
        }
        if let Some(conf) = &self.cuda_alloc_conf {
            put("cuda_alloc_conf", &quoted(conf));
        }
        put("jobs", &self.limits.jobs);
        put("jobs_per_user", &self.limits.jobs_per_user);
        put("connections", &self.limits.connections);
        if let Some(group) = &self.trusted_group {
            put("trusted_group", &quoted(group));
        }
        put("idle_unload", &quoted(&self.idle_unload.map_or_else(|| "off".to_owned(), time)));
        put("state_dir", &resolved.state_dir.map_or_else(|| quoted("off"), path));
        put("retention", &quoted(&time(self.retention.time)));
        put("retention_bytes", &self.retention.bytes);
        put("retention_bytes_per_user", &self.retention.bytes_per_user);
        text
    }
}

fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// A string in TOML syntax.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;

    #[test]
    fn the_output_parses_to_the_same_configuration() {
        let text = "model = '/m \"x\"\\'\nwarmup = '64x128'\nthreads = 3\neager = true\n\
                    device = 'cuda:1'\ncuda_alloc_conf = 'a:b'\njobs = 5\nidle_unload = '90m'\n\
                    retention = '12h'\nretention_bytes = '2G'\nsocket = '/s'\nworker = '/w'\nstate_dir = '/d'\n\
                    lora_dirs = ['/l', '/m']\ncontrol_dirs = ['/c']\ntext_encoder = '/te'\nvae = '/v'\ntokenizer = '/t'\nmodel_kind = 'base'";
        let file = Path::new("/etc/zimaged.toml");
        let config = from_text(text, file).unwrap();
        let resolved = Resolved {
            socket: Path::new("/s"),
            worker: Some(Path::new("/w")),
            state_dir: Some(Path::new("/d")),
        };
        let shown = config.shown(resolved);
        assert!(shown.starts_with("# read from /etc/zimaged.toml\nsocket = \"/s\"\n"), "{shown}");
        assert_eq!(from_text(&shown, file).unwrap(), config);
    }

    #[test]
    fn resolved_defaults_are_in_the_output() {
        let config = from_text("", Path::new("f")).unwrap();
        let resolved = Resolved { socket: Path::new("/run/s"), worker: None, state_dir: None };
        let shown = config.shown(resolved);
        let has = |line| assert!(shown.lines().any(|have| have == line), "{line}: {shown}");
        has("socket = \"/run/s\"");
        has("model = \"tiny\"");
        has("state_dir = \"off\"");
        has("retention = \"7days\"");
        assert!(!shown.contains("worker"), "{shown}");
        assert_eq!(quoted("a\tb\u{1b}"), "\"a\\u0009b\\u001b\"");
    }
}
