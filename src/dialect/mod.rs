//! One folder per client family: it translates words and holds no rules.
//!
//! Never knows the engine, the journal or another dialect: everything goes through the broker.

pub mod native;
pub mod otq;
pub mod socket;
