//! The query of a request: every parameter is known and, unless it may be repeated, given once.

use super::problem::Problem;
use crate::dialect::path::percent_decode;
use actix_web::HttpRequest;
use std::str::FromStr;

/// Most parameters of a request.
const PARAMETERS_MAX: usize = 256;

/// Parameters that nobody has asked for yet, in their order.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Of a request.
    pub fn of(request: &HttpRequest) -> Result<Query, Problem> {
        Query::parse(request.query_string())
    }

    /// From what stands behind the question mark.
    pub fn parse(query: &str) -> Result<Query, Problem> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        let pairs: Vec<_> = pairs.take(PARAMETERS_MAX + 1).collect::<Result<_, Problem>>()?;
        match pairs.len() > PARAMETERS_MAX {
            true => Err(Problem::invalid(format!("query: more than {PARAMETERS_MAX} parameters"))),
            false => Ok(Query(pairs)),
        }
    }

    /// All values of a parameter.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let (found, rest) =
            std::mem::take(&mut self.0).into_iter().partition(|(known, _)| known == name);
        self.0 = rest;
        Vec::into_iter(found).map(|(_, value)| value).collect()
    }

    /// The value of a parameter.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Problem::invalid(format!("query: `{name}` is given twice"))),
        }
    }

    /// A number and the like.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: String| {
            let wrong = |_| Problem::invalid(format!("query: `{name}` cannot be `{text}`"));
            text.parse().map_err(wrong)
        };
        self.text(name)?.map(parse).transpose()
    }

    /// How many are wanted at most: at least one, and never more than `most`; `default` when it is
    /// not given.
    pub fn count(&mut self, name: &str, default: usize, most: usize) -> Result<usize, Problem> {
        match self.value(name)?.unwrap_or(default) {
            0 => Err(Problem::invalid(format!("query: `{name}` must be at least 1"))),
            wanted => Ok(wanted.min(most)),
        }
    }

    /// `true` or `false`; what is not given is false.
    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        Ok(self.value(name)?.unwrap_or(false))
    }

    /// To be called when everything was asked for.
    pub fn done(self) -> Result<(), Problem> {
        match self.0.first() {
            Some((name, _)) => Err(Problem::invalid(format!("query: unknown parameter `{name}`"))),
            None => Ok(()),
        }
    }
}

fn decode(part: &str) -> Result<String, Problem> {
    let plain = part.replace('+', " ");
    String::from_utf8(percent_decode(plain.as_bytes()))
        .map_err(|_| Problem::invalid("query: not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn query(text: &str) -> Result<Query, Problem> {
        Query::of(&TestRequest::with_uri(&format!("/?{text}")).to_http_request())
    }

    #[test]
    fn what_is_given_is_read_once_and_all_of_it() {
        let mut read = query("a=1&b=x%26y+z&&a=2&c").unwrap();
        assert_eq!(read.all("a"), ["1", "2"]);
        assert_eq!(read.text("b").unwrap().as_deref(), Some("x&y z"));
        assert_eq!(read.text("none").unwrap(), None);
        assert!(!read.flag("no").unwrap());
        assert!(read.done().is_err(), "c was never asked for");
        assert!(query("a=1&a=1").unwrap().text("a").is_err());
        assert!(query("a=-1").unwrap().value::<u32>("a").is_err());
        assert_eq!(query("a=9&b=99").unwrap().count("b", 3, 10).unwrap(), 10);
        assert_eq!(query("a=9").unwrap().count("b", 3, 10).unwrap(), 3);
        assert!(query("b=0").unwrap().count("b", 3, 10).is_err());
        assert!(query("a=%ff").is_err());
        assert!(query(&"a&".repeat(PARAMETERS_MAX + 1)).is_err());
    }
}
