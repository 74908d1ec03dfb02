//! Generation parameters: one table with each parameter's name, type, range, default, help and
//! metadata form, and the typed struct made from it.
//!
//! The table is `src/table.rs`. Command-line options, configuration keys, batch keys, the wire
//! format, generation metadata and the documentation are derived from its rows, so a new parameter
//! is a row, the code that uses it, and that code's test.
//!
//! ```
//! use zimage_params::{Params, Value};
//!
//! let mut params = Params { steps: Some(4), ..Params::new("a fox in the snow") };
//! // The same by name, as programs that are driven by the table do it.
//! params.set("width", Value::Integer(500))?;
//! let error = params.check().unwrap_err();
//! assert_eq!(error.to_string(), "`width` is 500, expected a multiple of 16 from 64 to 2048");
//! assert_eq!(error.hint().as_deref(), Some("the nearest valid value is 496"));
//!
//! params.set("width", Value::Integer(512))?;
//! params.check()?;
//! assert_eq!(params.given().map(|(row, _)| row.name).collect::<Vec<_>>(), ["prompt", "width", "steps"]);
//! # Ok::<(), zimage_params::ParamsError>(())
//! ```

mod error;
pub mod limits;
mod parameter;
mod params;
mod table;
mod value;
mod wire;

pub use error::ParamsError;
pub use parameter::{Alias, Conversion, DefaultRule, Metadata, Parameter, Range, Surface};
pub use params::seed_of_image;
pub use table::{PARAMETERS, Params};
pub use value::{Value, ValueKind};
