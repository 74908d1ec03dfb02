//! Progress output: a line on a terminal, plain lines elsewhere, JSON, or nothing.

mod job_reporter;
mod json;
mod line;
mod style;
mod warn;

pub(crate) use job_reporter::JobReporter;
pub(crate) use json::{JobEvent, warning};
pub(crate) use line::ProgressLine;
pub(crate) use style::ReportStyle;
pub(crate) use warn::warn;
