//! Arguments of `zimg status`.

use std::time::Duration;

use clap::Args;

/// The interval of updates in seconds.
const PACES: std::ops::RangeInclusive<f32> = 0.1..=30.0;

/// Arguments of `zimg status`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// Update the output until q or Ctrl-C, every 0.5 seconds or SECONDS
    ///
    /// On a terminal the table is redrawn in place, with your jobs below it; elsewhere each change
    /// is a line. zimg reconnects to a daemon that restarts.
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "0.5", value_parser = pace)]
    pub(crate) watch: Option<Duration>,
}

fn pace(text: &str) -> Result<Duration, String> {
    let seconds: f32 = text.parse().map_err(|_| "it is not a number of seconds".to_owned())?;
    if !PACES.contains(&seconds) {
        return Err(format!("expected {} to {} seconds", PACES.start(), PACES.end()));
    }
    Ok(Duration::from_secs_f32(seconds))
}
