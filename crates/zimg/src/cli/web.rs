//! Arguments of `zimg web`.

use std::net::SocketAddr;

use clap::Args;

/// Arguments of `zimg web`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WebArgs {
    /// Where the page is served, on this machine alone [default: 127.0.0.1:7860, or a free port]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) listen: Option<SocketAddr>,
    /// Print the link and do not open the browser
    #[arg(long)]
    pub(crate) no_browser: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "it is not an address and a port, such as 127.0.0.1:7860")?;
    if !address.ip().is_loopback() {
        return Err("other machines are served by `zimg-web --keys FILE`".to_owned());
    }
    Ok(address)
}
