//! The variables that fastqueue was set up with (`FASTQUEUE_*`, any letter case), from the environment
//! or a `.env` file of the working directory, so that its start scripts go on. The environment wins.

use std::collections::BTreeMap;

const PREFIX: &str = "FASTQUEUE_";
/// The file that is read as fastqueue reads it.
const FILE: &str = ".env";

/// Variables that bound what clients may choose, and the keys they are here.
const BOUNDS: [(&str, &str); 8] = [
    ("MIN_ACK_DEADLINE_SECONDS", "fastqueue.ack_deadline_s_min"),
    ("MAX_ACK_DEADLINE_SECONDS", "fastqueue.ack_deadline_s_max"),
    ("MIN_MESSAGE_RETENTION_SECONDS", "fastqueue.retention_s_min"),
    ("MAX_MESSAGE_RETENTION_SECONDS", "fastqueue.retention_s_max"),
    ("MIN_MESSAGE_MAX_DELIVERIES", "fastqueue.deliveries_min"),
    ("MAX_MESSAGE_MAX_DELIVERIES", "fastqueue.deliveries_max"),
    ("MIN_DELIVERY_DELAY_SECONDS", "fastqueue.delay_s_min"),
    ("MAX_DELIVERY_DELAY_SECONDS", "fastqueue.delay_s_max"),
];

/// What the variables of this process set: keys with values, and what there is to say about others.
pub fn fastqueue() -> (Vec<(&'static str, String)>, Vec<String>) {
    settings(&variables())
}

/// The level that `FASTQUEUE_LOG_LEVEL` asks for, in the words of this log.
pub fn log_level() -> Option<&'static str> {
    level_of(variables().get("LOG_LEVEL")?)
}

fn level_of(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "debug" => Some("debug"),
        "info" => Some("info"),
        "warning" | "warn" => Some("warn"),
        "error" | "critical" | "fatal" => Some("error"),
        _ => None,
    }
}

fn variables() -> BTreeMap<String, String> {
    // A file that is not there sets nothing.
    let file = std::fs::read_to_string(FILE).unwrap_or_default();
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    gather(parse(&file).chain(own))
}

/// By their names without the prefix, in capitals; later ones win.
fn gather(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let known = all.filter_map(|(name, value)| {
        let name = name.to_ascii_uppercase();
        Some((name.strip_prefix(PREFIX)?.to_owned(), value))
    });
    known.collect()
}

/// The lines of a `.env` file: `NAME=value`, perhaps with `export`, quotes, a comment.
fn parse(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.starts_with('#') {
            return None;
        }
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let (inside, _) = value.strip_prefix(quote)?.split_once(quote)?;
            Some(inside)
        });
        let plain = || value.split(" #").next().unwrap_or_default().trim_end();
        Some((name.trim().to_owned(), quoted.unwrap_or_else(plain).to_owned()))
    })
}

fn settings(variables: &BTreeMap<String, String>) -> (Vec<(&'static str, String)>, Vec<String>) {
    let (mut set, mut notes) = (Vec::new(), Vec::new());
    for (name, key) in BOUNDS {
        set.extend(variables.get(name).map(|value| (key, value.clone())));
    }
    let (host, port) = (variables.get("SERVER_HOST"), variables.get("SERVER_PORT"));
    if host.is_some() || port.is_some() {
        // fastqueue takes every address by itself; here whoever wants that says so.
        let host = host.map_or("127.0.0.1", String::as_str);
        let port = port.map_or("8000", String::as_str);
        let address =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        set.push(("fastqueue.listen", address));
    }
    if variables.contains_key("DATABASE_URL") {
        notes.push("FASTQUEUE_DATABASE_URL is not used: messages are kept in `store.path`".into());
    }
    (set, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Vec<(&'static str, String)>, Vec<String>) {
        settings(&gather(parse(text)))
    }

    #[test]
    fn a_file_of_variables_is_read_as_it_is_written() {
        let text =
            "# a comment\n\nA=1\nexport B = \"two words\" # said\nC='#'\nD=x # y\nE\nF=a=b\n";
        let found: Vec<_> = parse(text).collect();
        let expected = [("A", "1"), ("B", "two words"), ("C", "#"), ("D", "x"), ("F", "a=b")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn bounds_and_the_address_are_set_and_the_rest_is_let_be() {
        let (set, notes) =
            of("fastqueue_max_ack_deadline_seconds=900\nFASTQUEUE_SERVER_PORT=8001\n\
             FASTQUEUE_SERVER_NUM_WORKERS=4\nFASTQUEUE_DATABASE_URL=postgresql://x\nOTHER=1");
        let expected =
            [("fastqueue.ack_deadline_s_max", "900"), ("fastqueue.listen", "127.0.0.1:8001")];
        assert_eq!(set, expected.map(|(key, value)| (key, value.to_owned())));
        assert_eq!(notes.len(), 1);
        assert_eq!(of("FASTQUEUE_SERVER_HOST=::1").0[0].1, "[::1]:8000");
        assert_eq!(of(""), (vec![], vec![]));
    }

    #[test]
    fn later_variables_win_whatever_their_case() {
        let (set, _) =
            of("FASTQUEUE_MIN_DELIVERY_DELAY_SECONDS=2\nFastQueue_Min_Delivery_Delay_Seconds=3");
        assert_eq!(set, [("fastqueue.delay_s_min", "3".to_owned())]);
    }

    #[test]
    fn log_levels_have_their_names_here() {
        let table = [
            ("INFO", Some("info")),
            ("Warning", Some("warn")),
            ("critical", Some("error")),
            ("x", None),
        ];
        for (name, level) in table {
            assert_eq!(level_of(name), level);
        }
    }
}
