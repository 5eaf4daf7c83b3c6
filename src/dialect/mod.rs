//! One folder per client family: it translates words and holds no rules.
//!
//! Never knows the engine, the journal or another dialect: everything goes through the broker.

pub mod blockqueue;
pub mod body;
pub mod caller;
pub mod door;
pub mod dsmq;
pub mod fastqueue;
pub mod handles;
pub mod long_poll;
pub mod native;
pub mod okq;
pub mod otq;
pub mod path;
pub mod socket;
pub mod trace;
pub mod turns;
pub mod ui;
pub mod websocket;
