//! JSON, written as it goes.

use std::fmt::Write as _;
use std::time::Duration;

/// Writes one JSON object.
pub(super) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn new(out: &'a mut String) -> Object<'a> {
        out.push('{');
        Object { out, empty: true }
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }

    /// Writes a key; its value is to follow.
    pub(super) fn key(&mut self, key: &str) -> &mut String {
        if !self.empty {
            self.out.push_str(", ");
        }
        self.empty = false;
        quote(key, self.out);
        self.out.push_str(": ");
        self.out
    }

    pub(super) fn string(&mut self, key: &str, value: &str) {
        quote(value, self.key(key));
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        // Writing to a string does not fail.
        let _ = write!(self.key(key), "{value}");
    }

    pub(super) fn truth(&mut self, key: &str, value: bool) {
        self.key(key).push_str(if value { "true" } else { "false" });
    }

    pub(super) fn signed(&mut self, key: &str, value: i64) {
        let _ = write!(self.key(key), "{value}");
    }

    /// A list; `item` writes each of them.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(T, &mut String),
    ) {
        let out = self.key(key);
        out.push('[');
        for (number, value) in items.into_iter().enumerate() {
            if number > 0 {
                out.push_str(", ");
            }
            item(value, out);
        }
        out.push(']');
    }

    pub(super) fn null(&mut self, key: &str) {
        self.key(key).push_str("null");
    }

    pub(super) fn optional(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    pub(super) fn time(&mut self, key: &str, value: Option<Duration>) {
        self.optional(key, value.map(|value| u64::try_from(value.as_nanos()).unwrap_or(u64::MAX)));
    }
}

/// A string in quotes (RFC 8259 section 7).
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
