//! The documentation names commands and options that there are, and all of them.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::Arguments;

/// The documents that operators read.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|file| file.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let others = ["README.md", "scripts/deploy/README.md"].map(|name| root.join(name));
    docs.chain(others).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// What stands behind each `pinholectl` up to the end of the line, of the code or of the quotation.
fn mentions(document: &str) -> impl Iterator<Item = &str> {
    let behind = document.lines().flat_map(|line| line.split("pinholectl ").skip(1));
    behind.filter_map(|rest| rest.split(['`', '"']).next())
}

/// The commands in the first table of `docs/pinholectl.md`.
fn listed<'a>() -> impl Iterator<Item = &'a str> {
    let document = include_str!("../../../../docs/pinholectl.md");
    let rows = document.lines().take_while(|line| !line.starts_with("##"));
    let cells = rows.filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').step_by(2))
}

/// Follows a mention from command to command: `trust show FILE`, `phone list | show`, `events [--follow]`. What it comes to
/// goes into `named`.
///
/// # Errors
/// The word that is none.
fn follow(root: &Command, mention: &str, named: &mut BTreeSet<String>) -> Result<(), String> {
    let mut path = vec![root];
    let mut is_other = false;
    for word in mention.split_whitespace() {
        let was_other = std::mem::replace(&mut is_other, word == "|");
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '/');
        let Some((command, above)) = path.split_last() else { return Ok(()) };
        let name =
            |path: &[&Command]| path.iter().map(|command| command.get_name()).collect::<Vec<_>>().join(" ");
        if let Some(option) = word.strip_prefix("--") {
            let has = |command: &Command| {
                command.get_arguments().any(|argument| argument.get_long() == Some(option))
            };
            if has(command) {
                named.insert(format!("{} --{option}", name(&path)));
            } else if has(root) {
                named.insert(format!("{} --{option}", root.get_name()));
            } else {
                return Err(word.into());
            }
            continue;
        }
        let other = above.last().filter(|_| was_other).and_then(|above| above.find_subcommand(word));
        if let Some(other) = other {
            path.pop();
            path.push(other);
        } else if command.has_subcommands() {
            match command.find_subcommand(word) {
                Some(below) => path.push(below),
                None if word.starts_with(|c: char| c.is_ascii_lowercase()) => return Err(word.into()),
                None => return Ok(()),
            }
        }
        named.insert(name(&path));
    }
    Ok(())
}

/// All that there is to be named of a command and of those below it.
fn names(command: &Command, above: &str) -> BTreeSet<String> {
    let name = format!("{above}{}", command.get_name());
    let options = command.get_arguments().filter_map(|argument| argument.get_long());
    let mut all: BTreeSet<String> = options.map(|option| format!("{name} --{option}")).collect();
    all.extend(command.get_subcommands().flat_map(|below| names(below, &format!("{name} "))));
    all.insert(name);
    all
}

#[test]
fn every_command_and_option_is_described_and_every_described_one_exists() {
    let root = Arguments::command();
    let mut named = BTreeSet::from([root.get_name().to_owned()]);
    let documents = documents();
    for mention in documents.iter().flat_map(|document| mentions(document)).chain(listed()) {
        if let Err(word) = follow(&root, mention, &mut named) {
            panic!("there is no {word}: pinholectl {mention}");
        }
    }
    let missing: Vec<_> = names(&root, "").into_iter().filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "the documentation says nothing of {missing:?}");
}
