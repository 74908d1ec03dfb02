//! `zimg mcp`: lets agents generate images, as a server of the Model Context Protocol.

use crate::cli::{CommonArgs, McpArgs};
use crate::exit::Exit;
use crate::mcp;
use crate::settings::UserSettings;

/// Serves one agent until it closes standard input.
///
/// # Errors
///
/// The folder for images cannot be made, or standard input cannot be read.
pub(crate) fn run(args: &McpArgs, common: &CommonArgs) -> Result<(), Exit> {
    common.refuse_json("the output of `zimg mcp` is the protocol's")?;
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    mcp::serve(socket, args.save.clone())
}
