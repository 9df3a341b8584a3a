//! Where answers go: data on stdout, as text for people or as one JSON object per answer; all else on stderr.

use std::fmt::Display;
use std::io::{BufWriter, Write};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

/// The data a command prints.
pub struct Output {
    /// Whether answers are JSON objects.
    pub json: bool,
    /// Whether a person reads it as it comes.
    pub terminal: bool,
    stdout: BufWriter<Box<dyn Write>>,
}

impl Output {
    /// The process's stdout.
    pub fn stdout(json: bool) -> Self {
        let choice = if json { ColorChoice::Never } else { AutoStream::choice(&std::io::stdout()) };
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        Self::new(Box::new(AutoStream::new(std::io::stdout(), choice)), json, terminal)
    }

    /// Any place that can be written.
    pub fn new(writer: Box<dyn Write>, json: bool, terminal: bool) -> Self {
        Self { json, terminal, stdout: BufWriter::new(writer) }
    }

    /// Prints a line of data.
    pub fn line(&mut self, text: impl Display) -> std::io::Result<()> {
        writeln!(self.stdout, "{text}")
    }

    /// Prints one answer as an object of that schema, on a line.
    pub fn object(&mut self, schema: &str, body: &impl Serialize) -> std::io::Result<()> {
        self.line(with_schema(schema, body))
    }

    /// Sends on what was printed: before waiting for more, and at the end.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.stdout.flush()
    }
}

/// `body`, which must be a map or a struct, as a JSON object whose first field is `schema`.
pub fn with_schema(schema: &str, body: &impl Serialize) -> String {
    let body = serde_json::to_string(body).expect("answers are maps from text to finite values");
    let fields = body.strip_prefix('{').expect("every answer is an object");
    let comma = if fields == "}" { "" } else { "," };
    format!("{{\"schema\":\"{schema}\"{comma}{fields}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_schema_comes_first() {
        assert_eq!(with_schema("rtc.done/1", &BTreeMap::<String, u8>::new()), r#"{"schema":"rtc.done/1"}"#);
        let one = BTreeMap::from([("pid", 7)]);
        assert_eq!(with_schema("rtc.status/1", &one), r#"{"schema":"rtc.status/1","pid":7}"#);
    }
}
