//! The settings that are in force in the form of the file, as `zimaged --check` prints them.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use super::Settings;

/// What becomes of settings that leave something to the daemon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// Where it listens, unless a service manager does.
    pub socket: &'a Path,
    /// The worker's program, if it is there.
    pub worker: Option<&'a Path>,
    /// Where detached jobs are kept, if they are.
    pub state_dir: Option<&'a Path>,
}

impl Settings {
    /// All keys that have a value.
    pub(crate) fn shown(&self, found: Found<'_>) -> String {
        let mut text = match &self.file {
            Some(file) => format!("# read from {}\n", file.display()),
            None => "# there is no configuration file\n".to_owned(),
        };
        let mut put = |key: &str, value: &dyn Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        };
        let path = |path: &Path| quoted(&path.display().to_string());
        put("socket", &path(found.socket));
        put("model", &quoted(&self.model));
        put("device", &quoted(&self.device.to_string()));
        put("dtype", &quoted(&self.dtype));
        put("plain", &self.plain);
        if let Some(sizes) = &self.warmup {
            let sizes: Vec<_> = sizes.iter().map(|(w, h)| format!("\"{w}x{h}\"")).collect();
            put("warmup", &format_args!("[{}]", sizes.join(", ")));
        }
        if let Some(threads) = &self.threads {
            put("threads", threads);
        }
        if let Some(worker) = found.worker {
            put("worker", &path(worker));
        }
        if let Some(conf) = &self.cuda_alloc_conf {
            put("cuda_alloc_conf", &quoted(conf));
        }
        put("jobs", &self.places.jobs);
        put("jobs_per_user", &self.places.jobs_per_user);
        put("connections", &self.places.connections);
        put("idle_unload", &quoted(&self.idle_unload.map_or_else(|| "off".to_owned(), time)));
        put("state_dir", &found.state_dir.map_or_else(|| quoted("off"), path));
        put("keep", &quoted(&time(self.terms.time)));
        put("keep_bytes", &self.terms.bytes);
        put("keep_bytes_per_user", &self.terms.bytes_per_user);
        text
    }
}

fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// A string as TOML has it.
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
    fn what_is_shown_is_read_as_the_same() {
        let text = "model = '/m \"x\"\\'\nwarmup = '64x128'\nthreads = 3\nplain = true\n\
                    device = 'cuda:1'\ncuda_alloc_conf = 'a:b'\njobs = 5\nidle_unload = '90m'\n\
                    keep = '12h'\nkeep_bytes = '2G'\nsocket = '/s'\nworker = '/w'\nstate_dir = '/d'";
        let file = Path::new("/etc/zimaged.toml");
        let settings = from_text(text, file).unwrap();
        let found = Found {
            socket: Path::new("/s"),
            worker: Some(Path::new("/w")),
            state_dir: Some(Path::new("/d")),
        };
        let shown = settings.shown(found);
        assert!(shown.starts_with("# read from /etc/zimaged.toml\nsocket = \"/s\"\n"), "{shown}");
        assert_eq!(from_text(&shown, file).unwrap(), settings);
    }

    #[test]
    fn what_the_daemon_finds_by_itself_is_shown_as_well() {
        let settings = from_text("", Path::new("f")).unwrap();
        let found = Found { socket: Path::new("/run/s"), worker: None, state_dir: None };
        let shown = settings.shown(found);
        let has = |line| assert!(shown.lines().any(|have| have == line), "{line}: {shown}");
        has("socket = \"/run/s\"");
        has("model = \"tiny\"");
        has("state_dir = \"off\"");
        has("keep = \"7days\"");
        assert!(!shown.contains("worker"), "{shown}");
        assert_eq!(quoted("a\tb\u{1b}"), "\"a\\u0009b\\u001b\"");
    }
}
