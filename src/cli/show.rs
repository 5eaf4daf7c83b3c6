//! Tables and sizes as people read them.

use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

/// Text in columns: numbers to the right, words to the left.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// With these headings; those that end with `>` stand over numbers.
    pub fn new(headings: &[&str]) -> Table {
        let right = headings.iter().map(|heading| heading.ends_with('>')).collect();
        let first = headings.iter().map(|heading| heading.trim_end_matches('>').to_owned());
        Table { rows: vec![first.collect()], right }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A control character in a name must not move the cursor of whoever looks.
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// Nothing but headings.
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Prints it.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |at: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.width())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let fill = widths.get(at).copied().unwrap_or(0).saturating_sub(cell.width());
                let fill = " ".repeat(fill);
                if at > 0 {
                    line.push_str("  ");
                }
                if self.right.get(at) == Some(&true) {
                    line.push_str(&fill);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&fill);
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A text on one line, its control characters escaped.
pub fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// At most so many columns of it.
pub fn shortened(text: &str, columns: usize) -> String {
    let text = printable(text);
    if text.width() <= columns {
        return text;
    }
    let mut out = String::new();
    for c in text.chars() {
        if out.width() + c.len_utf8().min(2) >= columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Bytes: `512`, `1.5K`, `20M`.
pub fn bytes(count: u64) -> String {
    scaled(count, 1024.0)
}

/// A count or a rate: `950`, `1.2K`, `3.4M`.
pub fn count(count: u64) -> String {
    scaled(count, 1000.0)
}

fn scaled(count: u64, step: f64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    while value >= step && unit < 5 {
        value /= step;
        unit += 1;
    }
    let unit = ["", "K", "M", "G", "T", "P"].get(unit).copied().unwrap_or_default();
    if unit.is_empty() || value >= 10.0 {
        format!("{value:.0}{unit}")
    } else {
        format!("{value:.1}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["name", "ready>"]);
        table.row(["a".into(), "12345678".into()]);
        table.row(["日本\n".into(), "1".into()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "name       ready\na       12345678\n日本\\n         1\n");
    }

    #[test]
    fn sizes_are_short() {
        let table = [(0, "0"), (1023, "1023"), (1536, "1.5K"), (20 << 20, "20M")];
        for (number, shown) in table {
            assert_eq!(bytes(number), shown);
        }
        assert_eq!((count(1200), count(45_600)), ("1.2K".into(), "46K".into()));
        assert_eq!(shortened("abcdefgh", 5), "abcd…");
        assert_eq!(shortened("abc", 5), "abc");
    }
}
