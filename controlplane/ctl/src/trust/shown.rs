//! Keys and trust lists as tables.

use std::path::Path;

use anyhow::Context as _;
use pinhole_trust::authority::{Holding, Role};
use pinhole_trust::{Authority, TrustList, distinguished_name, signed};

use super::verify::described;
use crate::table;

/// The keys, and who signs.
pub fn keys(authority: &Authority) -> anyhow::Result<String> {
    let signer = authority.signer().ok().map(|signer| signer.role);
    let headings = ["Role", "Subject", "Serial number", "Until", "Key", "Signs", "Phones know it since"];
    let mut shown = table::with(&headings, &[]);
    for holding in authority.holdings() {
        let since = authority.known_since(&holding.certificate).filter(|_| holding.role.is_sast());
        let signs = match signer {
            Some(signer) if signer == holding.role => "trust lists",
            _ if holding.role == Role::CcmTftp => "other files",
            _ => "",
        };
        shown.add_row([
            holding.role.name().to_owned(),
            table::line(&distinguished_name(holding.certificate.subject_name())),
            holding.certificate.serial_number().to_bn()?.to_hex_str()?.to_string(),
            holding.certificate.not_after().to_string(),
            place(holding).to_owned(),
            signs.to_owned(),
            match since {
                Some(since) => table::moment(u64::from(since) * 1000),
                None if holding.role.is_sast() => "never".into(),
                None => String::new(),
            },
        ]);
    }
    Ok(shown.to_string())
}

fn place(holding: &Holding) -> &'static str {
    match (&holding.key, holding.is_exported) {
        (Some(_), false) => "here",
        (Some(_), true) => "here, exported",
        (None, _) => "in escrow",
    }
}

/// What a trust list, a signed or an encrypted file says of itself, and the records of a list.
pub fn file(file: &Path) -> anyhow::Result<String> {
    let bytes = super::read(file)?;
    let name = file.display();
    let parsed = signed::strip(&bytes);
    let (header, content) = parsed.with_context(|| format!("{name} is no trust list and no signed file"))?;
    let says = described(&header);
    let holds = if header.version == [1, 2] {
        let list = TrustList::parse(&bytes).with_context(|| format!("{name} is no trust list"))?;
        records(&list)
    } else {
        format!("Content    {} bytes", content.len())
    };
    Ok(format!("{says}\n{holds}\nNone of this was verified: pinholectl trust verify {name}"))
}

fn records(list: &TrustList) -> String {
    let mut shown = table::with(&["Function", "Subject", "Issuer", "Serial number", "Reached by"], &[]);
    for record in &list.records {
        let places =
            [record.dns_name.as_deref().map(table::line), record.ipv4().map(|address| address.to_string())];
        let places: Vec<_> = places.into_iter().flatten().collect();
        shown.add_row([
            format!("{:?}", record.function),
            table::line(&record.subject),
            table::line(&record.issuer),
            hexadecimal(&record.serial),
            table::or_dash((!places.is_empty()).then(|| places.join(", "))),
        ]);
    }
    shown.to_string()
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
