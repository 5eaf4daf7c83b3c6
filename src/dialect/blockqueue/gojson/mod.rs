//! JSON as Go's standard library reads and writes it, which blockqueue's clients know: the first value
//! of a stream counts, names are found whatever their case, `null` changes nothing, and refusals have
//! Go's words.
//!
//! Two steps, as there: [`first_value`] checks the syntax of a value and finds its end; [`Reader`]
//! goes through a value that was checked. Neither calls itself, so that no nesting is too deep.

mod read;
mod scan;
mod write;

pub use read::Reader;
pub use scan::{Malformed, Place, first_value};
pub use write::to_json;
