//! `zimg mcp`: a server of the Model Context Protocol on standard input and output.
//!
//! The protocol is JSON-RPC 2.0, one message a line (modelcontextprotocol.io, specification
//! 2025-11-25, "Transports: stdio"). The decision record 0051 says why no SDK is used.

mod arguments;
mod calls;
mod draw;
mod inputs;
mod message;
mod result;
mod saved;
mod server;
mod status;
mod tool_call;
mod tools;

use std::io;
use std::path::PathBuf;

use zimg_client::Failure;

use self::server::Server;
use crate::exit::Exit;

/// Serves one client until it closes standard input.
///
/// # Errors
///
/// The folder for images cannot be made, or standard input cannot be read.
pub(crate) fn serve(socket: PathBuf, save: Option<PathBuf>) -> Result<(), Exit> {
    let save = save.map(saved::folder).transpose()?;
    let read = Server::new(socket, save).run(&mut io::stdin().lock());
    read.map_err(|error| {
        Failure::new(zimg_client::Kind::Io, format!("cannot read standard input: {error}")).into()
    })
}
