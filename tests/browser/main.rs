//! A real browser at the door of web pages: the WebSocket of one topic, and the module for pages.
//!
//! Needs Chromium and its driver, which `tests/run` installs; without them the test fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod driver;
mod module;
mod subscriber;
