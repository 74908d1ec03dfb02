//! `zimg pull`: fetches a checkpoint from the Hugging Face Hub, or a mirror, into its cache.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use zimg_client::Failure;
use zimg_hub::{
    Cache, Companion, Error, FilePath, Hub, HubSettings, ModelRequest, Parts, Plan, RemoteFile,
    Revision, Stop, choose, choose_lora, pull,
};
use zimg_text::shell_word;

use crate::cli::{CommonArgs, PullArgs};
use crate::exit::Exit;
use crate::fetch::{FileEvent, PullReporter, PulledLora, PulledModel, check_disk, failure};
use crate::interrupt::Interrupt;
use crate::progress::ReportStyle;
use crate::{format, json};

/// Milliseconds of the first pause before a request is repeated; for tests only.
const PAUSE_VARIABLE: &str = "ZIMG_PULL_PAUSE_MS";
/// How often the progress line changes while nothing comes.
const PACE: Duration = Duration::from_millis(200);

/// What is fetched: the files of one repository, or of two, and what they make.
struct Pull {
    plans: Vec<Plan>,
    parts: Parts,
    /// The weights of the LoRA that is fetched instead.
    lora: Option<FilePath>,
}

/// Fetches the checkpoint and prints its path.
///
/// # Errors
///
/// The server cannot be reached or refuses, the files are not what they should be, or the cache does
/// not take them.
pub(crate) fn run(args: &PullArgs, common: &CommonArgs) -> Result<(), Exit> {
    let interrupt = Interrupt::install()?;
    let style = ReportStyle::choose(common.json, args.quiet);
    let told = |error: Error| failure(&error);
    let hub = Hub::new(settings()?).map_err(told)?;
    let cache = Cache::find().map_err(told)?;
    let stop = Stop::default();
    let mut report = PullReporter::new(style, 0);
    let pulled = plan(args, &hub, &cache, &stop).map_err(told)?;
    let total: u64 = pulled.plans.iter().map(Plan::bytes).sum();
    let cached: u64 = pulled.plans.iter().map(Plan::all_cached).sum();
    if args.dry_run {
        return list(&pulled, common.json);
    }
    if common.json {
        list(&pulled, true)?;
    }
    let left = total.saturating_sub(cached);
    check_disk(cache.root(), left, args.yes)?;
    report.say(&heading(&pulled, total, left));
    farewell(&interrupt, style, args);
    let mut report = PullReporter::new(style, total);
    for plan in &pulled.plans {
        fetch(&hub, plan, &stop, &mut report)?;
    }
    report.finish();
    if let Some(directory) = &args.lora_dir {
        return place_lora(directory, &pulled, &mut report, common.json);
    }
    let model = pulled.model(total);
    report.say(&format!("ready: {}", model.command()));
    model.print(common.json)
}

/// Places a LoRA that is fetched in the directory, and prints its path.
fn place_lora(
    directory: &Path,
    pulled: &Pull,
    report: &mut PullReporter,
    json: bool,
) -> Result<(), Exit> {
    let (Some(plan), Some(weights)) = (pulled.plans.first(), &pulled.lora) else { return Ok(()) };
    let lora = PulledLora::place(directory, plan, weights.name())?;
    report.say(&format!("ready: zimg --lora {}", shell_word(Path::new(&lora.name))));
    lora.print(json)
}

/// The environment's settings.
fn settings() -> Result<HubSettings, Failure> {
    let mut settings = HubSettings::read().map_err(|error| failure(&error))?;
    let pause = std::env::var(PAUSE_VARIABLE).ok().and_then(|text| text.parse().ok());
    if let Some(pause) = pause {
        settings.timings.pause = Duration::from_millis(pause);
    }
    Ok(settings)
}

/// What is to be fetched.
fn plan(args: &PullArgs, hub: &Hub, cache: &Cache, stop: &Stop) -> Result<Pull, Error> {
    let ModelRequest { repository, .. } = &args.model;
    let listing = hub.list(repository, &args.revision, stop)?;
    if args.lora_dir.is_some() {
        let files = choose_lora(&args.model, &listing)?;
        let lora = files.first().map(|file| file.path.clone());
        let revision = (&args.revision, &listing.commit);
        let plan = Plan::new(hub, cache, repository, revision, &files, stop)?;
        return Ok(Pull { plans: vec![plan], parts: Parts::Folder, lora });
    }
    let chosen = choose(&args.model, &listing)?;
    let revision = (&args.revision, &listing.commit);
    let mut plans = vec![Plan::new(hub, cache, repository, revision, &chosen.files, stop)?];
    let mut parts = chosen.parts;
    if let Parts::Files { text_encoder, vae, missing, .. } = &mut parts
        && let Some(companion) = missing.take().filter(|_| !args.only)
    {
        let (plan, [encoder, other_vae]) = companion_plan(&companion, hub, cache, stop)?;
        *text_encoder = Some(encoder);
        *vae = Some(other_vae);
        plans.push(plan);
    }
    Ok(Pull { plans, parts, lora: None })
}

/// The text encoder and the VAE for a repository that has only a transformer.
fn companion_plan(
    companion: &Companion,
    hub: &Hub,
    cache: &Cache,
    stop: &Stop,
) -> Result<(Plan, [FilePath; 2]), Error> {
    let repository = companion.repository.parse()?;
    let main = Revision::default();
    let listing = hub.list(&repository, &main, stop)?;
    let files: [RemoteFile; 2] = companion.choose(&listing)?;
    let plan = Plan::new(hub, cache, &repository, (&main, &listing.commit), &files, stop)?;
    Ok((plan, files.map(|file| file.path)))
}

impl Pull {
    /// The paths in the cache.
    fn model(&self, bytes: u64) -> PulledModel {
        let at = |path: &FilePath| -> PathBuf {
            let has = |plan: &&Plan| plan.files.iter().any(|file| file.path == *path);
            let plan = self.plans.iter().find(has);
            plan.map(|plan| path.below(&plan.snapshot())).unwrap_or_default()
        };
        match &self.parts {
            Parts::Folder => PulledModel {
                model: self.plans.first().map(Plan::snapshot).unwrap_or_default(),
                text_encoder: None,
                vae: None,
                bytes,
            },
            Parts::Files { transformer, text_encoder, vae, .. } => PulledModel {
                model: at(transformer),
                text_encoder: text_encoder.as_ref().map(at),
                vae: vae.as_ref().map(at),
                bytes,
            },
        }
    }
}

/// `a/b at 2f86227: 14 files, 32.8 GB, of which 3.1 GB are there`
fn heading(pulled: &Pull, total: u64, left: u64) -> String {
    let one = |plan: &Plan| {
        let commit = plan.commit.as_str();
        format!("{} at {}", plan.repository, commit.get(..7).unwrap_or(commit))
    };
    let repositories: Vec<_> = pulled.plans.iter().map(one).collect();
    let files: usize = pulled.plans.iter().map(|plan| plan.files.len()).sum();
    let there = match total - left.min(total) {
        0 => String::new(),
        there => format!(", of which {} are there", format::bytes(there)),
    };
    let total = format::bytes(total);
    format!("fetching {}: {files} files, {total}{there}", repositories.join(" and "))
}

/// What Ctrl-C prints: it may end the program at any moment.
fn farewell(interrupt: &Interrupt, style: ReportStyle, args: &PullArgs) {
    let wipe = match style {
        ReportStyle::Line => "\r\x1b[K",
        ReportStyle::Plain => "",
        ReportStyle::Json | ReportStyle::Quiet => return,
    };
    let ModelRequest { repository, variant } = &args.model;
    let variant = variant.as_ref().map_or(String::new(), |variant| format!(":{variant}"));
    interrupt.set_farewell(format!(
        "{wipe}what is fetched stays in the cache; `zimg pull {repository}{variant}` continues\n"
    ));
}

/// Fetches the files of one repository and reports its progress.
fn fetch(hub: &Hub, plan: &Plan, stop: &Stop, report: &mut PullReporter) -> Result<(), Exit> {
    let (events, come) = mpsc::channel();
    thread::scope(|scope| {
        let pulled = scope.spawn(move || pull(hub, plan, stop, &events));
        loop {
            let reported = match come.recv_timeout(PACE) {
                Ok(event) => report.report(&event, &plan.files),
                Err(RecvTimeoutError::Timeout) => report.update(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(exit) = reported {
                stop.set();
                return Err(exit);
            }
        }
        report.finish();
        // A panic has been printed already.
        let ended = pulled.join().unwrap_or(Err(Error::Stopped));
        ended.map_err(|error| failure(&error).into())
    })
}

/// Prints the files, their sizes and what is there.
fn list(pulled: &Pull, json: bool) -> Result<(), Exit> {
    let mut text = String::new();
    for plan in &pulled.plans {
        let repository = plan.repository.as_str();
        for file in &plan.files {
            let (path, bytes, cached) = (file.path.as_str(), file.bytes, plan.cached(file));
            if json {
                let commit = plan.commit.as_str();
                json::print(&FileEvent { repository, commit, path, bytes, cached })?;
                continue;
            }
            let there = match cached {
                0 => String::new(),
                _ if cached == bytes => "  there".to_owned(),
                _ => format!("  {} there", format::bytes(cached)),
            };
            text += &format!("{:>8}  {repository}/{path}{there}\n", format::bytes(bytes));
        }
    }
    if json {
        return Ok(());
    }
    let total: u64 = pulled.plans.iter().map(Plan::bytes).sum();
    let cached: u64 = pulled.plans.iter().map(Plan::all_cached).sum();
    let left = format::bytes(total.saturating_sub(cached));
    text += &format!("{:>8}  in all, {left} to fetch\n", format::bytes(total));
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::stdout(&error))
}
