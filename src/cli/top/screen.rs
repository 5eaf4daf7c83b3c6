//! Draws `octoq top`.

use super::rows::{Rows, Sort};
use crate::cli::show::{count, printable, shortened};
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Row, Table, TableState},
};

/// Columns of numbers.
const NUMBER_WIDTH: u16 = 9;

/// The whole screen: what is shown of which broker, the rows, the keys.
pub fn draw(frame: &mut Frame<'_>, rows: &mut Rows, url: &str, problem: Option<&str>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(heading(rows, url, problem), head);
    let mut state = TableState::default().with_selected(rows.marked);
    frame.render_stateful_widget(table(rows, body.width), body, &mut state);
    frame.render_widget(keys(rows), foot);
}

fn heading(rows: &Rows, url: &str, problem: Option<&str>) -> Line<'static> {
    if let Some(problem) = problem {
        return Line::styled(printable(problem), Style::new().add_modifier(Modifier::REVERSED));
    }
    let (ready, in_flight, dead, came, acked) = rows.sums();
    let paused = if rows.paused { "  PAUSED" } else { "" };
    Line::from(format!(
        "octoq {url}  ready {}  in flight {}  dead {}  in {}/s  acks {}/s{paused}",
        count(ready),
        count(in_flight),
        count(dead),
        count(came.round() as u64),
        count(acked.round() as u64),
    ))
}

fn table(rows: &Rows, width: u16) -> Table<'static> {
    let numbers = (Sort::ALL.len() as u16 - 1) * (NUMBER_WIDTH + 1);
    let name_width = width.saturating_sub(numbers).max(12);
    let headings = Sort::ALL.map(|sort| {
        let arrow = match (sort == rows.sort, rows.reversed) {
            (false, _) => "",
            (true, false) => "▾",
            (true, true) => "▴",
        };
        let text = format!("{}{arrow}", sort.heading());
        let style = match sort == rows.sort {
            true => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            false => Style::new().add_modifier(Modifier::BOLD),
        };
        Cell::from(aligned(text, sort)).style(style)
    });
    let lines = rows.shown().map(|row| {
        let cells = Sort::ALL.map(|sort| {
            let cell = row.cell(sort);
            let cell = match sort {
                Sort::Name => shortened(&cell, usize::from(name_width)),
                _ => cell,
            };
            Cell::from(aligned(cell, sort))
        });
        // What has died wants to be seen without colours, too.
        let style = match row.queue.dead {
            0 => Style::new(),
            _ => Style::new().add_modifier(Modifier::BOLD),
        };
        Row::new(cells).style(style)
    });
    let widths = Sort::ALL.map(|sort| match sort {
        Sort::Name => Constraint::Length(name_width),
        _ => Constraint::Length(NUMBER_WIDTH),
    });
    Table::new(lines.collect::<Vec<_>>(), widths)
        .header(Row::new(headings))
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
}

fn aligned(text: String, sort: Sort) -> Line<'static> {
    match sort {
        Sort::Name => Line::from(text),
        _ => Line::from(text).right_aligned(),
    }
}

fn keys(rows: &Rows) -> Line<'static> {
    match &rows.typing {
        Some(typed) => Line::from(format!("search: {typed}_  (Enter takes it, Esc leaves it)")),
        None => Line::from(vec![
            Span::raw("←→ sort  r reverse  ↑↓ move  / search  space pause  q end"),
            Span::raw(match rows.search.as_str() {
                "" => String::new(),
                search => format!("  [{search}]"),
            }),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::looked_at;
    use super::*;
    use ratatui::{Terminal, backend::TestBackend};

    fn screen(rows: &mut Rows, problem: Option<&str>) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(110, 6)).unwrap();
        terminal.draw(|frame| draw(frame, rows, "http://h:1", problem)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..110).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..6).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn the_screen_shows_sums_rows_in_order_and_keys() {
        let mut rows = looked_at();
        let lines = screen(&mut rows, None);
        assert_eq!(lines[0], "octoq http://h:1  ready 9  in flight 0  dead 9  in 50/s  acks 25/s");
        assert!(lines[1].contains("ready▾"), "{lines:?}");
        assert!(
            lines[2].starts_with("c/default") && lines[3].starts_with("a/default"),
            "{lines:?}"
        );
        assert!(lines[5].contains("q end"), "{lines:?}");
        rows.typing = Some("b".into());
        let lines = screen(&mut rows, Some("no broker"));
        assert!(lines[0] == "no broker" && lines[2].starts_with("b/default"), "{lines:?}");
        assert!(lines[5].starts_with("search: b_"), "{lines:?}");
    }
}
