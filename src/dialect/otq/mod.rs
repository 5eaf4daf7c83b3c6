//! The line protocol of octoque over TCP: codec.rs is pure, session.rs is one actor per
//! connection, door.rs accepts them.
//!
//! Never knows the rules of a topic or where messages are stored.

pub mod codec;
mod door;
mod push;
mod session;

pub use door::{CloseDoor, Door};
