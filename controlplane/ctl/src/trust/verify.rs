//! `pinholectl trust verify`.

use std::path::Path;

use anyhow::{Context as _, bail};
use pinhole_trust::{Authority, Header, TrustList, signed};

use super::shown::hexadecimal;
use crate::table;

/// Who has signed a file, if a phone that holds a list would accept it. `ours` opens our keys.
///
/// # Errors
/// When it would not, with what there is to say about the file.
pub fn verify(
    file: &Path,
    list: Option<&Path>,
    ours: impl FnOnce() -> anyhow::Result<Authority>,
) -> anyhow::Result<String> {
    let bytes = super::read(file)?;
    let name = file.display();
    let (header, _) = signed::strip(&bytes).with_context(|| format!("{name} does not hold"))?;
    let held = match list {
        Some(list) => Some(
            TrustList::parse(&super::read(list)?)
                .with_context(|| format!("{} is no trust list", list.display()))?,
        ),
        None => None,
    };
    let is_list = header.version == [1, 2];
    let (verdict, by) = match (is_list, held) {
        (true, None) => (
            TrustList::verify(&bytes).map(drop),
            "one of its own security administrators, so a phone without a list accepts it",
        ),
        (true, Some(held)) => (
            TrustList::verify_against(&bytes, &held).map(drop),
            "a security administrator of that list, so a phone that holds it accepts this one",
        ),
        (false, Some(held)) => (held.verify_signed(&bytes).map(drop), "a configuration server of that list"),
        (false, None) => {
            let ours = ours().context("a signed file is verified against a trust list, --list or ours")?;
            let Some(held) = ours.last_issued() else {
                bail!("no trust list of ours was issued yet, so no phone accepts a file of ours");
            };
            (held.verify_signed(&bytes).map(drop), "a configuration server of the trust list that we serve")
        }
    };
    let said = described(&header);
    match verdict {
        Ok(()) => Ok(format!("{said}\n{name} holds: signed by {by}")),
        // It names the signer.
        Err(error) => bail!("{said}\n{name} does not hold: {}", table::line(&error.to_string())),
    }
}

/// What a header says of its file.
pub fn described(header: &Header) -> String {
    let kind = match header.version {
        [1, 2] => "trust list",
        _ if header.encryption.is_some() => "encrypted and signed file",
        _ => "signed file",
    };
    let rows = [
        ("Kind", format!("{kind}, {}", table::line(&header.file_name))),
        (
            "Signed by",
            format!("{}, serial number {}", table::line(&header.signer), hexadecimal(&header.serial)),
        ),
        ("Issued by", table::line(&header.issuer)),
        ("Made", format!("{}, {} and RSA", table::moment(u64::from(header.timestamp) * 1000), header.digest)),
    ];
    rows.map(|(name, value)| format!("{name:<10} {value}")).join("\n")
}
