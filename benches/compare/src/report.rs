//! A result as one line of JSON.

use std::fmt::Write as _;

#[derive(Default)]
pub struct Report(String);

impl Report {
    fn raw(mut self, name: &str, value: &str) -> Report {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing into memory cannot fail.
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
        self
    }

    pub fn text(self, name: &str, value: &str) -> Report {
        let escaped: String = value.chars().flat_map(char::escape_default).collect();
        self.raw(name, &format!("\"{}\"", escaped.replace("\\'", "'")))
    }

    pub fn number(self, name: &str, value: f64) -> Report {
        self.raw(name, &format!("{value:.3}"))
    }

    pub fn count(self, name: &str, value: i64) -> Report {
        self.raw(name, &value.to_string())
    }

    pub fn object(self, name: &str, value: Report) -> Report {
        let line = value.line();
        self.raw(name, &line)
    }

    pub fn line(self) -> String {
        format!("{{{}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_json() {
        let inner = Report::default().number("p50", 1.5);
        let report = Report::default().text("who", "a \"b\"").count("n", -1).object("us", inner);
        assert_eq!(report.line(), r#"{"who":"a \"b\"","n":-1,"us":{"p50":1.500}}"#);
    }
}
