//! zimg: draw pictures from the command line through zimaged.

mod args;
mod draw;
mod encode;
mod interrupt;
mod json;
mod output;
mod report;
mod save;
mod status;
mod stop;
mod words;

use std::io::Write;
use std::process::ExitCode;

use zimg_client::Kind;

use crate::args::{Cli, Task, misused};
use crate::stop::Stop;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        // Help and version are no errors; a closed pipe while printing them is none either.
        Err(error) => {
            if let Some(failure) = misused(&error) {
                let _ = json::print(json::failed(&failure));
            }
            let _ = error.print();
            let code = if error.use_stderr() { Kind::Usage.exit_code() } else { 0 };
            return code.into();
        }
    };
    let result = match &cli.task {
        Task::Draw(args) => draw::run(args, &cli.common),
        Task::Status => status::run(&cli.common),
    };
    match result {
        Ok(()) | Err(Stop::PipeClosed) => ExitCode::SUCCESS,
        Err(Stop::Failed(failure)) => {
            if cli.common.json {
                let _ = json::print(json::failed(&failure));
            }
            let mut text = format!("zimg: {}\n", words::printable(&failure.message));
            if let Some(hint) = &failure.hint {
                text += &format!("hint: {}\n", words::printable(hint));
            }
            let _ = std::io::stderr().write_all(text.as_bytes());
            failure.kind.exit_code().into()
        }
    }
}
