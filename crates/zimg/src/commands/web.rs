//! `zimg web`: becomes `zimg-web`, which serves the page to one user of this machine.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use zimg_client::{Failure, Kind};

use crate::cli::{CommonArgs, WebArgs};
use crate::exit::Exit;
use crate::settings::UserSettings;

/// Does not return unless the program cannot be started.
///
/// # Errors
///
/// `zimg-web` is not installed.
pub(crate) fn run(args: &WebArgs, common: &CommonArgs) -> Result<(), Exit> {
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    let program = find().ok_or_else(|| {
        Failure::new(Kind::Unavailable, "zimg-web is neither beside this program nor in PATH")
            .hint("install it with `make install`")
    })?;
    let mut command = Command::new(&program);
    command.arg("--link").arg("--socket").arg(socket);
    if !args.no_browser {
        command.arg("--open");
    }
    if let Some(listen) = args.listen {
        command.arg("--listen").arg(listen.to_string());
    }
    let error = command.exec();
    let message = format!("cannot start {}: {error}", program.display());
    Err(Failure::new(Kind::Internal, message).into())
}

fn find() -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = beside.into_iter().chain(env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join("zimg-web")).filter(|program| program.is_file()))
}
