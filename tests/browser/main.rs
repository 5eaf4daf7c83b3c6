//! A real browser at the door of web pages: the WebSocket of one topic, the module for pages, and the
//! dashboard, used as people use it.
//!
//! Needs Chromium and its driver, which `tests/run` installs; without them the tests fail.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod driver;
mod living;
mod looks;
mod module;
mod page;
mod readme;
mod roles;
mod subscriber;
mod working;
