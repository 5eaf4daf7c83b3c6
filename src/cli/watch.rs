//! Commands that can be repeated until Ctrl-C: `-w`.

use super::failure::Failure;
use super::remote::Session;
use super::span::Span;
use std::io::Write as _;

/// Again and again.
#[derive(Debug, Clone, clap::Args)]
pub struct WatchArgs {
    /// Again every second, or as often as said, until Ctrl-C
    #[arg(long, short, value_name = "SPAN", num_args = 0..=1, default_missing_value = "1s",
          require_equals = true)]
    watch: Option<Span>,
}

impl WatchArgs {
    /// Shows once, or again and again: on a terminal in the same place.
    pub async fn show(
        &self,
        session: &mut Session,
        mut once: impl AsyncFnMut(&mut Session) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(span) = self.watch else { return once(session).await };
        let in_place = session.out.is_terminal() && !session.json;
        loop {
            if in_place {
                // Home, and away with what is there.
                write!(session.out, "\x1b[H\x1b[2J")?;
            }
            once(session).await?;
            session.out.flush()?;
            let span = span.duration().max(std::time::Duration::from_millis(50));
            if session.until_stopped(async |_| tokio::time::sleep(span).await).await?.is_none() {
                return Ok(());
            }
        }
    }
}
