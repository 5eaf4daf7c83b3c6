//! QSTATUS and QINFO: how many events a queue has, and who consumes it.

use super::command::Figures;
use super::resp;
use super::targets::queue_name;
use crate::broker::{QueueFigures, TopicFigures};
use crate::queue::Kind;

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// As clients name it.
    pub name: Vec<u8>,
    total: u64,
    processing: u64,
    consumers: u64,
}

impl Row {
    /// With these figures; zeros for a queue that is not there.
    pub fn new(name: Vec<u8>, figures: Option<&QueueFigures>) -> Row {
        let Some(QueueFigures { counts, consumers, .. }) = figures else {
            return Row { name, total: 0, processing: 0, consumers: 0 };
        };
        let total = counts.ready + counts.delayed + counts.in_flight;
        Row { name, total, processing: counts.in_flight, consumers: *consumers }
    }

    /// All queues that have an event or a consumer, in the order of their names.
    pub fn of_all(topics: &[TopicFigures]) -> Vec<Row> {
        let queues = topics.iter().filter(|topic| topic.definition.kind == Kind::Broker);
        let rows = queues.flat_map(|topic| {
            let row = |(queue, _, figures): &(_, _, QueueFigures)| {
                Row::new(queue_name(&topic.definition.name, queue), Some(figures))
            };
            topic.queues.iter().map(row)
        });
        let mut rows: Vec<Row> = rows.filter(|row| row.total > 0 || row.consumers > 0).collect();
        rows.sort();
        rows
    }
}

/// Characters as Go counts them for the width of a column.
fn width(text: &[u8]) -> usize {
    let chunks = text.utf8_chunks();
    chunks.map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

fn column(line: &mut Vec<u8>, text: &[u8], wide: usize) {
    line.extend_from_slice(text);
    line.resize(line.len() + wide.saturating_sub(width(text)), b' ');
}

/// Writes the rows as the command shows them. `text`: QSTATUS of before April 2015, lines of text.
pub fn write(out: &mut Vec<u8>, rows: &[Row], figures: Figures, text: bool) {
    resp::array(out, rows.len());
    match figures {
        Figures::Status if text => rows.iter().for_each(|row| {
            let Row { name, total, processing, consumers } = row;
            let mut line = name.clone();
            let rest = format!(" total: {total} processing: {processing} consumers: {consumers}");
            line.extend_from_slice(rest.as_bytes());
            resp::bulk(out, &line);
        }),
        Figures::Status => rows.iter().for_each(|row| {
            resp::array(out, 4);
            resp::bulk(out, &row.name);
            resp::integer(out, row.total);
            resp::integer(out, row.processing);
            resp::integer(out, row.consumers);
        }),
        Figures::Info => info(out, rows),
    }
}

fn info(out: &mut Vec<u8>, rows: &[Row]) {
    let cells: Vec<[Vec<u8>; 4]> = rows
        .iter()
        .map(|row| {
            let number = |number: u64| number.to_string().into_bytes();
            let numbers = (number(row.total), number(row.processing), number(row.consumers));
            [row.name.clone(), numbers.0, numbers.1, numbers.2]
        })
        .collect();
    let mut wide = [0; 4];
    for row in &cells {
        for (wide, cell) in wide.iter_mut().zip(row) {
            *wide = width(cell).max(*wide);
        }
    }
    for row in &cells {
        let mut line = Vec::new();
        let heads: [&[u8]; 4] = [b"", b"  total: ", b"  processing: ", b"  consumers: "];
        for ((head, cell), wide) in heads.iter().zip(row).zip(wide) {
            line.extend_from_slice(head);
            column(&mut line, cell, wide);
        }
        resp::bulk(out, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &[u8], total: u64, processing: u64, consumers: u64) -> Row {
        Row { name: name.to_vec(), total, processing, consumers }
    }

    fn written(rows: &[Row], figures: Figures, text: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, rows, figures, text);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_value() {
        let rows = [row(b"foo", 2, 1, 3), row("né\u{ff}".as_bytes(), 10, 0, 0)];
        let info = written(&rows, Figures::Info, false);
        let expected = "*2\r\n$43\r\nfoo  total: 2   processing: 1  consumers: 3\r\n\
            $45\r\nn\u{e9}\u{ff}  total: 10  processing: 0  consumers: 0\r\n";
        assert_eq!(info, expected);
        let one = written(&[row(b"zz", 0, 0, 0)], Figures::Info, true);
        assert_eq!(one, "*1\r\n$41\r\nzz  total: 0  processing: 0  consumers: 0\r\n");
        assert_eq!(width(b"a\xff\xfe"), 3, "a byte that is no text counts as one");
    }

    #[test]
    fn status_is_rows_of_values_or_lines_of_text() {
        let rows = [row(b"a b", 2, 1, 3)];
        let status = written(&rows, Figures::Status, false);
        assert_eq!(status, "*1\r\n*4\r\n$3\r\na b\r\n:2\r\n:1\r\n:3\r\n");
        let text = written(&rows, Figures::Status, true);
        assert_eq!(text, "*1\r\n$39\r\na b total: 2 processing: 1 consumers: 3\r\n");
        assert_eq!(written(&[], Figures::Info, false), "*0\r\n");
    }
}
