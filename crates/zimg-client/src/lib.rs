//! A blocking client of zimaged, the daemon that generates images with Z-Image-Turbo.
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
//! A [`Client`] sends any number of questions and commands ([`Client::status`],
//! [`Client::overview`], [`Client::jobs`], [`Client::cancel`], ...) and is then consumed by at most
//! one job: [`Client::draw`], [`Client::submit`] with a priority, previews or detachment, or
//! [`Client::wait`] for a detached job.
//!
//! Dropping a [`Job`] closes its connection, and the daemon cancels an attached job. A [`Job`]'s
//! updates end with `Update::Done` or an error (a detached job's with `Update::Accepted`). If the
//! queue is full, [`Job::busy`] has the daemon's estimate. A [`session`] submits a request again
//! when the daemon is full, restarted or about to start. Every [`Failure`] is a sentence for the
//! user with a [`Kind`], whose number is a suitable exit code.

mod client;
mod job;
pub mod service;
pub mod session;
pub mod socket;
mod stream;

pub use client::Client;
pub use job::{Canceller, Image, Job, Update};
pub use zimage_params::{ParamsError, seed_of_image};
pub use zimg_protocol::messages::{
    Busy, Counters, DeviceMemory, ImageInfo, JobId, JobInfo, JobState, ModelInfo, Overview, Params,
    Places, Preview, Priority, Setup, Started, Status, Step, Submit, Timings, Waiting, Weights,
    WorkerState,
};
pub use zimg_protocol::{Failure, Kind, limits};
