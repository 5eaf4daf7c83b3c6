//! Lines of the exposition format.

use std::fmt::{Display, Write as _};

/// What is printed. Writing into a `String` cannot fail.
pub struct Text(String);

impl Text {
    /// Nothing yet.
    pub fn with_capacity(bytes: usize) -> Text {
        Text(String::with_capacity(bytes))
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.0
    }

    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        self.labels(labels);
        let _ = writeln!(self.0, " {value}");
    }

    /// A histogram: bounds, ascending, and how many do not exceed each.
    pub fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: &[(String, u64)],
        sum: &str,
        total: u64,
    ) {
        let all = ("+Inf".to_owned(), total);
        for (bound, count) in bounds.iter().chain([&all]) {
            let _ = write!(self.0, "{name}_bucket");
            self.labels(&[labels, &[("le", bound)]].concat());
            let _ = writeln!(self.0, " {count}");
        }
        let _ = write!(self.0, "{name}_sum");
        self.labels(labels);
        let _ = write!(self.0, " {sum}\n{name}_count");
        self.labels(labels);
        let _ = writeln!(self.0, " {total}");
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        for (nth, (name, value)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{name}=\"", if nth == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
    }
}

/// A number of parts of a second, as seconds with that many digits.
pub fn seconds(parts: u64, digits: u32) -> String {
    let whole = 10u64.pow(digits);
    let (seconds, rest) = (parts / whole, parts % whole);
    let text = format!("{seconds}.{rest:0digits$}", digits = digits as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped_and_buckets_end_with_all() {
        let mut text = Text::with_capacity(0);
        text.sample("a", &[("topic", "x\\y\"z\n"), ("b", "")], 7);
        text.histogram("h", &[("t", "u")], &[("0.5".into(), 2)], "1.25", 3);
        let expected = "a{topic=\"x\\\\y\\\"z\\n\",b=\"\"} 7\n\
            h_bucket{t=\"u\",le=\"0.5\"} 2\nh_bucket{t=\"u\",le=\"+Inf\"} 3\n\
            h_sum{t=\"u\"} 1.25\nh_count{t=\"u\"} 3\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn seconds_have_the_digits_they_need() {
        let table = [
            (0, 3, "0"),
            (1, 3, "0.001"),
            (1024, 3, "1.024"),
            (50, 6, "0.00005"),
            (5_000_000, 6, "5"),
        ];
        for (parts, digits, text) in table {
            assert_eq!(seconds(parts, digits), text);
        }
    }
}
