//! Options of `zimg-web`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// The HTTP service and the web page of zimg.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "zimg-web",
    version,
    about = "Serves the web page of zimg, its API, OpenAI's images API and A1111's, as a client of zimaged",
    after_help = "Without --keys it listens on this machine alone, and every program here may ask."
)]
pub struct Args {
    /// Address and port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7860")]
    pub listen: SocketAddr,
    /// Another host name under which requests come, as behind a proxy; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// The daemon's socket, if not the usual one
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Keys of the users: a line `NAME SHA256` each
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Write a new key for NAME into the file of --keys, show it once and end
    #[arg(long, value_name = "NAME", requires = "keys")]
    pub new_key: Option<String>,
    /// Print a link that signs one browser in, and let no other program ask; the port is a free one if the usual one is in use
    #[arg(long, conflicts_with = "keys")]
    pub link: bool,
    /// Open the link in the browser
    #[arg(long, requires = "link")]
    pub open: bool,
    /// Steps and CFG scale of A1111's clients count, instead of the model's own
    #[arg(long)]
    pub obey_steps: bool,
    /// The address of this server as its users have it, such as https://zimg.example
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Where the secret is that signs sessions and links
    #[arg(long, value_name = "DIRECTORY")]
    pub state_dir: Option<PathBuf>,
    /// Connections to zimaged that jobs may have at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub daemon_connections: u16,
    /// Connections of clients at a time
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Serve the page's files from a directory, for development
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    pub page_dir: Option<PathBuf>,
}
