//! Messages made from a pattern: `{{n}}`, `{{uuid}}`, `{{now}}`, `{{now_ms}}`.

use super::span::{moment, now_ms};
use std::fmt::Write as _;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number,
    Uuid,
    Now,
    NowMs,
}

/// A text with places to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads a pattern. A word in braces that is none of ours is an error: it would be sent as it
    /// stands a thousand times.
    pub fn parse(pattern: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((before, inside)) = rest.split_once("{{") {
            let (word, after) =
                inside.split_once("}}").ok_or_else(|| "`{{` is never closed by `}}`".to_owned())?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match word.trim() {
                "n" | "number" => Part::Number,
                "uuid" => Part::Uuid,
                "now" => Part::Now,
                "now_ms" => Part::NowMs,
                other => {
                    return Err(format!(
                        "`{{{{{other}}}}}` is none of {{{{n}}}}, {{{{uuid}}}}, {{{{now}}}}, {{{{now_ms}}}}"
                    ));
                }
            });
            rest = after;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }

    /// A text that is taken as it stands.
    pub fn literal(text: &str) -> Template {
        Template(vec![Part::Text(text.to_owned())])
    }

    /// Filled in for message number `n`.
    pub fn fill(&self, n: u64) -> String {
        let mut out = String::new();
        for part in &self.0 {
            // Into a text it cannot fail.
            let _ = match part {
                Part::Text(text) => write!(out, "{text}"),
                Part::Number => write!(out, "{n}"),
                Part::Uuid => write!(out, "{}", uuid::Uuid::new_v4()),
                Part::Now => write!(out, "{}", moment(now_ms())),
                Part::NowMs => write!(out, "{}", now_ms()),
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in() {
        let template = Template::parse("order {{n}} at {{ now_ms }}{{n}}.").unwrap();
        let filled = template.fill(7);
        assert!(filled.starts_with("order 7 at 1") && filled.ends_with("7."), "{filled}");
        let one = Template::parse("{{uuid}}").unwrap();
        assert_ne!(one.fill(1), one.fill(1));
        assert_eq!(one.fill(1).len(), 36);
        assert_eq!(Template::parse("").unwrap().fill(1), "");
        assert_eq!(Template::literal("{{n}}").fill(1), "{{n}}");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(Template::parse("{{name}}").unwrap_err().contains("{{name}}"));
        assert!(Template::parse("{{n").is_err());
    }
}
