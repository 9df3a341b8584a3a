//! Options among and after an edit's words: `rtc edit cube-1 number.add x -1 --json -m why`.
//!
//! To clap, everything from the first word on belongs to the edit, because `-1` may be a value. Here the words are told
//! apart, and put into an order that leaves clap no doubt.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory};

use crate::args::Cli;
use crate::grammar;

/// The command line with every option before a `--`, and the edit's `words` (its end as clap saw it) after it.
pub fn rearrange(args: &[OsString], words: &[String]) -> Result<Vec<OsString>, clap::Error> {
    let (before, _) = args.split_at(args.len() - words.len());
    if before.last().is_some_and(|word| word == "--") {
        return Ok(args.to_vec());
    }
    let mut command = Cli::command();
    command.build();
    let edit = command.find_subcommand("edit").expect("edit is a subcommand");
    let (options, plain) = split(edit, words)?;
    let rest = options.into_iter().chain(["--"]).chain(plain);
    Ok(before.iter().cloned().chain(rest.map(OsString::from)).collect())
}

/// The words that are options or their values, and the others.
fn split<'word>(
    edit: &Command,
    words: &'word [String],
) -> Result<(Vec<&'word str>, Vec<&'word str>), clap::Error> {
    let (mut options, mut plain) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--" {
            plain.extend(words);
            break;
        }
        if !word.starts_with('-') || grammar::is_dashed_value(word) {
            plain.push(word);
            continue;
        }
        let option = edit.get_arguments().find(|option| is_named(option, word)).ok_or_else(|| {
            let message =
                format!("unexpected option '{word}'\n\n hint: to mean the text, write it after `--`\n");
            edit.clone().error(ErrorKind::UnknownArgument, message)
        })?;
        let takes_value = option.get_action().takes_values();
        match word.strip_prefix("--") {
            // `-mwhy` is `-m why`, which leaves clap no doubt either.
            None if takes_value && word.len() > 2 => options.extend([&word[..2], &word[2..]]),
            Some(long) if long.contains('=') => options.push(word),
            Some(_) | None => {
                options.push(word);
                if takes_value {
                    options.extend(words.next());
                }
            }
        }
    }
    Ok((options, plain))
}

fn is_named(option: &Arg, word: &str) -> bool {
    match word.strip_prefix("--") {
        Some(long) => option.get_long() == Some(long.split_once('=').map_or(long, |(name, _)| name)),
        None => option.get_short() == word.chars().nth(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;
    use rtc_core::api::Wait;

    /// What the program understands: its options, and the edit's words.
    fn parse(line: &[&str]) -> Result<(Cli, Vec<String>), clap::Error> {
        let args: Vec<OsString> = ["rtc"].iter().chain(line).map(OsString::from).collect();
        let cli = args::parse(args)?;
        let args::Command::Edit(edit) = &cli.command else { panic!("not an edit") };
        let words = edit.words.clone();
        Ok((cli, words))
    }

    fn message(cli: &Cli) -> Option<&str> {
        let args::Command::Edit(edit) = &cli.command else { return None };
        edit.message.as_deref()
    }

    #[test]
    fn options_stand_before_among_and_after_the_words() {
        let lines: [&[&str]; 5] = [
            &["--json", "--wait", "local", "edit", "-m", "why", "c", "number.add", "x", "-1.5e-3"],
            &["edit", "--json", "--wait=local", "-m", "why", "c", "number.add", "x", "-1.5e-3"],
            &["edit", "c", "number.add", "x", "-1.5e-3", "--json", "--wait", "local", "-mwhy"],
            &["edit", "c", "--json", "number.add", "--message", "why", "x", "-1.5e-3", "--wait", "local"],
            &["--wait", "local", "edit", "--json", "-m", "why", "--", "c", "number.add", "x", "-1.5e-3"],
        ];
        for line in lines {
            let (cli, words) = parse(line).unwrap();
            assert_eq!(words, ["c", "number.add", "x", "-1.5e-3"], "{line:?}");
            assert!(cli.globals.json && cli.globals.wait == Wait::Local, "{line:?}");
            assert_eq!(message(&cli), Some("why"), "{line:?}");
        }
    }

    #[test]
    fn numbers_and_what_follows_two_dashes_are_words() {
        let (_, words) = parse(&["edit", "c", "vector3.add", "p", "-1", "0", "-1.5e-3"]).unwrap();
        assert_eq!(words[3..], ["-1", "0", "-1.5e-3"]);
        let (cli, words) = parse(&["edit", "c", "string.set", "l", "--", "--json"]).unwrap();
        assert_eq!(words, ["c", "string.set", "l", "--json"]);
        assert!(!cli.globals.json);
        let (_, words) = parse(&["edit", "--", "c", "string.set", "l", "--json"]).unwrap();
        assert_eq!(words, ["c", "string.set", "l", "--json"]);
        let (cli, words) = parse(&["edit", "-", "--json"]).unwrap();
        assert_eq!(words, ["-"]);
        assert!(cli.globals.json);
    }

    #[test]
    fn an_unknown_option_is_refused_with_a_way_out() {
        let error = parse(&["edit", "c", "string.set", "l", "--verbatim"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("after `--`"), "{error}");
        assert_eq!(parse(&["edit", "c", "number.add", "x", "1", "--wait"]).unwrap_err().exit_code(), 2);
    }
}
