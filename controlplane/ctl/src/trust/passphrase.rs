//! Passphrases: from a terminal, the standard input or a file, never from the command line, which others can see.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::path::Path;

use anyhow::{Context as _, bail};

/// The longest line that is read.
const LENGTH_MAX: u64 = 1024;

/// One that something is about to be protected with: at a terminal it is typed twice.
pub fn new(file: Option<&Path>) -> anyhow::Result<String> {
    let passphrase = known(file)?;
    if is_typed(file) && rpassword::prompt_password("The same again: ")? != passphrase {
        bail!("these were two different passphrases; nothing was written");
    }
    Ok(passphrase)
}

/// One that something is protected with.
pub fn known(file: Option<&Path>) -> anyhow::Result<String> {
    match file {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
            line(file).with_context(|| format!("{} has no passphrase", path.display()))
        }
        None if is_typed(file) => Ok(rpassword::prompt_password("Passphrase: ")?),
        None => line(io::stdin()).context("the standard input has no passphrase"),
    }
}

fn is_typed(file: Option<&Path>) -> bool {
    file.is_none() && io::stdin().is_terminal()
}

/// The first line.
fn line(input: impl io::Read) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(input.take(LENGTH_MAX)).read_line(&mut line)?;
    let passphrase = line.trim_end_matches(['\r', '\n']);
    if passphrase.is_empty() {
        bail!("its first line is empty");
    }
    Ok(passphrase.to_owned())
}
