//! Rows that do not agree with their checksum are moved aside, not lost.

use rusqlite::{Connection, types::ValueRef};
use serde_json::{Map, Value};

/// A damaged row: its table and the number it lies under.
pub(super) type Found = (&'static str, u64);

/// Moves rows into the `quarantine` table, inside the caller's transaction.
pub(super) fn move_aside(conn: &Connection, found: &[Found]) -> Result<u64, rusqlite::Error> {
    let mut moved = 0;
    for &(table, id) in found {
        let key = if matches!(table, "topics" | "queues") { "number" } else { "id" };
        let mut read = conn.prepare_cached(&format!("SELECT * FROM {table} WHERE {key} = ?1"))?;
        let names: Vec<String> = read.column_names().map(str::to_owned).collect();
        let mut rows = read.query([id.cast_signed()])?;
        let Some(row) = rows.next()? else { continue };
        let (mut columns, mut body) = (Map::new(), None);
        for (at, name) in names.into_iter().enumerate() {
            match row.get_ref(at)? {
                ValueRef::Blob(bytes) if name == "body" => body = Some(bytes.to_vec()),
                value => {
                    columns.insert(name, json(value));
                }
            }
        }
        drop(rows);
        conn.prepare_cached(
            "INSERT INTO quarantine(source, id, columns_json, body) VALUES(?1, ?2, ?3, ?4)",
        )?
        .execute((table, id.cast_signed(), Value::Object(columns).to_string(), body))?;
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE {key} = ?1"))?
            .execute([id.cast_signed()])?;
        moved += 1;
    }
    Ok(moved)
}

/// A column as it is, for a person or a tool; bytes and broken text as hexadecimal digits.
fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => hex(bytes),
        },
        ValueRef::Blob(bytes) => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
