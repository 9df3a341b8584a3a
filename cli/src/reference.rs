//! The generated references: docs/cli.md from the command line's declaration, docs/operations.md from the table.

use std::fmt::Write;

use clap::{Command, CommandFactory};
use rtc_core::op::{Row, table};

use crate::args::{Cli, HELP_COLUMNS};
use crate::exit::Exit;
use crate::table::{POSITIONS, is_made, written_positions};

/// Set to anything, the tests write the references instead of comparing them.
pub const UPDATE_VARIABLE: &str = "RTC_UPDATE_DOCS";

/// What docs/cli.md must be.
pub fn cli() -> String {
    let mut text = "# The rtc command\n\nGenerated from its declaration; do not edit by hand.\n\n".to_owned();
    text +=
        "Data goes to stdout, everything else to stderr. With `--json`, every answer is one object with a\n";
    text += "`schema` field, and every failure an object `rtc.error/1` on stderr.\n\n## Exit codes\n\n";
    text += "| code | meaning |\n| ---: | --- |\n";
    for exit in Exit::ALL {
        push(&mut text, format_args!("| {} | {} |\n", exit.code(), exit.meaning()));
    }
    let mut root = Cli::command().term_width(HELP_COLUMNS).disable_help_subcommand(true);
    root.build();
    section(&mut text, &mut root.clone(), "rtc");
    for command in root.get_subcommands_mut() {
        let name = format!("rtc {}", command.get_name());
        section(&mut text, command, &name);
        for inner in command.get_subcommands_mut() {
            let name = format!("{name} {}", inner.get_name());
            section(&mut text, inner, &name);
        }
    }
    text
}

fn section(text: &mut String, command: &mut Command, name: &str) {
    let mut command = command.clone();
    if name != "rtc" {
        // Told once, under `rtc`.
        command = command.mut_args(|arg| {
            let of_every_command = arg.get_help_heading().is_some();
            if of_every_command { arg.hide(true) } else { arg }
        });
    }
    let help = command.term_width(HELP_COLUMNS).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    push(text, format_args!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
}

/// What docs/operations.md must be.
pub fn operations() -> String {
    let mut text = "# Operations\n\nGenerated from the operation table; do not edit by hand.\n".to_owned();
    let mut family = "";
    for row in table() {
        let (of, _) = row.name.split_once('.').unwrap_or((row.name, ""));
        if of != family {
            family = of;
            push(&mut text, format_args!("\n## {family}\n"));
        }
        push(&mut text, format_args!("\n### {}\n\n{}\n\n", row.name, row.doc));
        push(&mut text, format_args!("- argument: {}\n", row.argument));
        for (name, shape, doc) in arguments(row) {
            push(&mut text, format_args!("- `{name}`: {shape}. {doc}\n"));
        }
        push(
            &mut text,
            format_args!("- code: `{:#06x}`\n\n```sh\nrtc edit {}\n```\n", row.code.0, row.example),
        );
    }
    text
}

/// The named arguments of a row as clients write them: name, shape, sentence.
pub fn arguments(row: &Row) -> Vec<(&'static str, String, &'static str)> {
    let mut arguments = Vec::new();
    for option in row.options {
        if option.name == "place" {
            for (name, doc) in POSITIONS {
                let shape = if name == "index" { "a number" } else { "text" };
                arguments.push((name, shape.to_owned(), doc));
            }
        } else if !is_made(option.shape) {
            arguments.push((option.name, option.shape.to_string(), option.doc));
        }
    }
    for &(name, doc) in written_positions(row) {
        arguments.push((name, "a number".to_owned(), doc));
    }
    arguments
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("writing to a text cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            std::fs::write(&path, expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let first = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        assert!(
            found == expected,
            "docs/{name} is not in step ({first:?}): run the tests with {UPDATE_VARIABLE}=1"
        );
    }

    #[test]
    fn the_command_line_reference_is_in_step() {
        check("cli.md", &cli());
    }

    #[test]
    fn the_operation_reference_is_in_step() {
        check("operations.md", &operations());
    }
}
