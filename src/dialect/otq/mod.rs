//! The line protocol of octoque over TCP: codec.rs is pure, session.rs is one actor per
//! connection.
//!
//! Never knows the rules of a topic or where messages are stored.

pub mod codec;
mod push;
mod session;

pub use session::Otq;
