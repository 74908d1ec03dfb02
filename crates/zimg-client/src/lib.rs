//! A blocking client for zimaged.
//!
//! ```no_run
//! use zimg_client::{Client, Params, Failure, Update, socket};
//!
//! fn main() -> Result<(), Failure> {
//!     let client = Client::connect("example 1.0", &socket::find(None)?)?;
//!     let draw = Params { seed: Some(42), ..Params::new("a red fox in the snow") };
//!     for update in client.draw(&draw)? {
//!         match update? {
//!             Update::Step(step) => eprintln!("step {} of {}", step.step, step.of),
//!             Update::Image(image) => {
//!                 // 8-bit RGB, rows from the top: any image library takes it from here.
//!                 let (width, height) = (image.info.width, image.info.height);
//!                 println!("{width}x{height}: {} bytes", image.pixels.len());
//!             }
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! `examples/draw.rs` is a whole program (`cargo run -p zimg-client --example draw "a red fox"
//! fox.ppm`), `examples/latency.rs` one that measures.
//!
//! A [`Client`] asks any number of questions ([`Client::status`], [`Client::overview`],
//! [`Client::jobs`], [`Client::cancel`], ...) and then becomes a job at most once:
//! [`Client::draw`], [`Client::submit`] with a priority, previews or detached, or
//! [`Client::wait`] for a detached one.
//!
//! One connection draws one job; dropping the [`Job`] closes it, and the daemon stops drawing.
//! The end of a [`Job`]'s updates is either `Update::Done` or an error, never silence (of a detached
//! one it is `Update::Accepted`). When there is no place [`Job::busy`] says for how long. Every
//! [`Failure`] is a sentence for the user with a [`Kind`], whose number is a good exit code.

mod connection;
mod job;
pub mod service;
pub mod socket;

pub use connection::Client;
pub use job::{Canceller, Image, Job, Update};
pub use zimage_params::{ParamsError, seed_of_image};
pub use zimg_protocol::messages::{
    Busy, Counters, DeviceMemory, ImageInfo, JobId, JobInfo, JobState, ModelInfo, Overview, Params,
    Places, Preview, Priority, Setup, Started, Status, Step, Submit, Timings, Waiting, Weights,
    WorkerState,
};
pub use zimg_protocol::{Failure, Kind, limits};
