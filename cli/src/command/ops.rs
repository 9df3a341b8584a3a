//! `rtc ops`: the operation table, or one row of it. Needs no daemon.

use rtc_core::op::{OpCode, Row, nearest_name, table};

use crate::draw::{BOLD, DIM, RESET};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::reference;
use crate::session::Session;

/// What `rtc ops` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc ops
  rtc ops vector3.add
  rtc ops vector3           # a family")]
pub struct Args {
    /// An operation, or a family of them
    name: Option<String>,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Printed {
    operations: Vec<Operation>,
}

#[derive(serde::Serialize)]
struct Operation {
    name: &'static str,
    code: u16,
    argument: String,
    options: Vec<NamedArgument>,
    doc: &'static str,
    example: String,
}

#[derive(serde::Serialize)]
struct NamedArgument {
    name: &'static str,
    argument: String,
    doc: &'static str,
}

/// Prints the table, a family of it, or one row.
pub fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let rows = match args.name.as_deref() {
        None => table().collect(),
        Some(name) => named(name)?,
    };
    if session.out.json {
        let operations = rows.into_iter().map(operation).collect();
        return Ok(session.out.object("rtc.ops/1", &Printed { operations })?);
    }
    match rows.as_slice() {
        [row] => explain(row, session),
        rows => {
            let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
            for row in rows {
                session.out.line(format!("{BOLD}{:width$}{RESET}  {}", row.name, row.doc))?;
            }
            Ok(())
        }
    }
}

fn named(name: &str) -> Result<Vec<&'static Row>, Failure> {
    if let Some(row) = OpCode::named(name).and_then(OpCode::row) {
        return Ok(vec![row]);
    }
    let family: Vec<_> =
        table().filter(|row| row.name.split_once('.').is_some_and(|(of, _)| of == name)).collect();
    if !family.is_empty() {
        return Ok(family);
    }
    let meant = nearest_name(name).map(|nearest| format!("did you mean {nearest}? ")).unwrap_or_default();
    Err(Failure::new(Exit::NotFound, format!("there is no operation {name:?}"))
        .with_hint(meant + "`rtc ops` lists all operations"))
}

fn explain(row: &Row, session: &mut Session) -> Result<(), Failure> {
    session.out.line(format!("{BOLD}{}{RESET}  {}", row.name, row.doc))?;
    session.out.line(format!("  argument   {}", row.argument))?;
    for (name, shape, doc) in reference::arguments(row) {
        session.out.line(format!("  {:<10} {shape} {DIM}{doc}{RESET}", format!("{name}=")))?;
    }
    Ok(session.out.line(format!("  example    rtc edit {}", row.example))?)
}

fn operation(row: &Row) -> Operation {
    let options = reference::arguments(row)
        .into_iter()
        .map(|(name, argument, doc)| NamedArgument { name, argument, doc })
        .collect();
    Operation {
        name: row.name,
        code: row.code.0,
        argument: row.argument.to_string(),
        options,
        doc: row.doc,
        example: format!("rtc edit {}", row.example),
    }
}
