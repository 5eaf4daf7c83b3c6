//! What is wrong with a request, in the form of fastqueue's validation errors.

use super::json::{self, Position};
use std::borrow::Cow;

/// A step of the way to the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `body`, `query`, the name of a field.
    Name(Cow<'static, str>),
    /// An item of a list, or the character at which JSON broke.
    At(usize),
}

/// Facts that come with a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// None.
    Nothing,
    /// The bound that was broken.
    Limit(i64),
    /// The pattern that does not match.
    Pattern(&'static str),
    /// Where JSON broke.
    Json(Box<Broken>),
}

/// JSON that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    message: &'static str,
    text: String,
    position: Position,
}

/// One entry of `detail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The way to it.
    pub place: Vec<Step>,
    /// For people.
    pub message: Cow<'static, str>,
    /// For programs.
    pub kind: &'static str,
    /// Facts.
    pub context: Context,
}

/// The name of a field.
pub fn field(name: &'static str) -> Step {
    Step::Name(Cow::Borrowed(name))
}

impl Fault {
    /// A fault without facts; its place is filled in by whoever knows it.
    pub fn new(message: &'static str, kind: &'static str) -> Fault {
        Fault { place: Vec::new(), message: message.into(), kind, context: Context::Nothing }
    }

    /// The field is not there.
    pub fn missing() -> Fault {
        Fault::new("field required", "value_error.missing")
    }

    /// Null where a value must be.
    pub fn none() -> Fault {
        Fault::new("none is not an allowed value", "type_error.none.not_allowed")
    }

    /// No integer.
    pub fn integer() -> Fault {
        Fault::new("value is not a valid integer", "type_error.integer")
    }

    /// No object.
    pub fn object() -> Fault {
        Fault::new("value is not a valid dict", "type_error.dict")
    }

    /// Below a bound.
    pub fn too_small(limit: i64) -> Fault {
        Fault {
            message: format!("ensure this value is greater than or equal to {limit}").into(),
            context: Context::Limit(limit),
            ..Fault::new("", "value_error.number.not_ge")
        }
    }

    /// Above a bound.
    pub fn too_large(limit: i64) -> Fault {
        Fault {
            message: format!("ensure this value is less than or equal to {limit}").into(),
            context: Context::Limit(limit),
            ..Fault::new("", "value_error.number.not_le")
        }
    }

    /// JSON that is none.
    pub fn json(fault: &json::Fault, text: &str) -> Fault {
        let position = fault.position(text);
        let Position { offset, line, column } = position;
        let message = format!("{}: line {line} column {column} (char {offset})", fault.message);
        Fault {
            place: vec![field("body"), Step::At(offset)],
            message: message.into(),
            kind: "value_error.jsondecode",
            context: Context::Json(Box::new(Broken {
                message: fault.message,
                text: text.to_owned(),
                position,
            })),
        }
    }

    /// Further out by one step.
    pub fn inside(mut self, step: Step) -> Fault {
        self.place.insert(0, step);
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"loc\":[");
        for (nth, step) in self.place.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            match step {
                Step::Name(name) => json::write_text(out, name),
                Step::At(at) => number(out, *at as i64),
            }
        }
        out.extend_from_slice(b"],\"msg\":");
        json::write_text(out, &self.message);
        out.extend_from_slice(b",\"type\":");
        json::write_text(out, self.kind);
        match &self.context {
            Context::Nothing => (),
            Context::Limit(limit) => {
                out.extend_from_slice(b",\"ctx\":{\"limit_value\":");
                number(out, *limit);
                out.push(b'}');
            }
            Context::Pattern(pattern) => {
                out.extend_from_slice(b",\"ctx\":{\"pattern\":");
                json::write_text(out, pattern);
                out.push(b'}');
            }
            Context::Json(broken) => {
                let Broken { message, text, position } = broken.as_ref();
                out.extend_from_slice(b",\"ctx\":{\"msg\":");
                json::write_text(out, message);
                out.extend_from_slice(b",\"doc\":");
                json::write_text(out, text);
                let numbers = [
                    ("pos", position.offset),
                    ("lineno", position.line),
                    ("colno", position.column),
                ];
                for (name, value) in numbers {
                    out.push(b',');
                    json::write_text(out, name);
                    out.push(b':');
                    number(out, value as i64);
                }
                out.push(b'}');
            }
        }
        out.push(b'}');
    }
}

fn number(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The body of a 422 that lists faults.
pub fn detail(faults: &[Fault]) -> Vec<u8> {
    let mut out = b"{\"detail\":[".to_vec();
    for (nth, fault) in faults.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        fault.write(&mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_with_its_place_and_its_facts() {
        let faults = [
            Fault::missing().inside(field("id")).inside(field("body")),
            Fault::too_small(1).inside(Step::At(0)).inside(field("query")),
        ];
        let text = String::from_utf8(detail(&faults)).unwrap();
        let expected = concat!(
            r#"{"detail":[{"loc":["body","id"],"msg":"field required","type":"value_error.missing"},"#,
            r#"{"loc":["query",0],"msg":"ensure this value is greater than or equal to 1","#,
            r#""type":"value_error.number.not_ge","ctx":{"limit_value":1}}]}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn broken_json_tells_where() {
        let text = "{\n\"é\": x}";
        let fault = Fault::json(&json::read(text, 8).unwrap_err(), text);
        let expected = concat!(
            r#"{"detail":[{"loc":["body",7],"msg":"Expecting value: line 2 column 6 (char 7)","#,
            r#""type":"value_error.jsondecode","ctx":{"msg":"Expecting value","#,
            r#""doc":"{\n\"é\": x}","pos":7,"lineno":2,"colno":6}}]}"#
        );
        assert_eq!(String::from_utf8(detail(&[fault])).unwrap(), expected);
    }
}
