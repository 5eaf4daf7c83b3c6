//! octoq: one message broker in which every topic is an actor, for the clients of five.
//!
//! Rooms, and the only direction between them:
//! `server -> dialect -> broker -> engine -> journal -> queue`. An arrow may skip rooms but never
//! turns round. Dialects do not know each other and never see `engine` or `journal`; `queue` knows
//! no actor, socket, file or clock. `tests/tidy.rs` checks it.

pub mod auth;
pub mod bench;
pub mod broker;
pub mod cli;
pub mod config;
pub mod conform;
pub mod dialect;
pub mod engine;
pub mod import;
pub mod journal;
pub mod queue;
pub mod server;
