//! `pinholectl trust`: works on files, whether or not the control plane runs.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Subcommand;
use pinhole_controlplane::config::{Config, Provisioning};
use pinhole_trust::{Authority, TrustList, distinguished_name};

use crate::table;

/// Where the configuration is unless told otherwise.
const CONFIG: &str = "/etc/pinhole/pinhole.toml";

/// What is done with the keys that phones trust.
#[derive(Clone, Debug, Subcommand)]
pub enum Trust {
    /// Makes all keys, where there are none yet. The running control plane takes them within a second.
    Create,
    /// The keys, or what a trust list says and whether its signature holds.
    Show {
        /// A trust list, such as CTLSEP0010DB000001.tlv; absent: our keys.
        file: Option<PathBuf>,
    },
}

/// Does it; what there is to say.
pub fn run(command: &Trust, config: Option<&Path>) -> anyhow::Result<String> {
    match command {
        Trust::Create => create(&settings(config)?),
        Trust::Show { file: None } => held(&Authority::open(&settings(config)?.authority())?),
        Trust::Show { file: Some(file) } => list(file),
    }
}

fn settings(config: Option<&Path>) -> anyhow::Result<Provisioning> {
    let file = config.unwrap_or(Path::new(CONFIG));
    let config = Config::read(file)?;
    config
        .provisioning
        .with_context(|| format!("{} has no [provisioning]: it says where the keys are", file.display()))
}

fn create(settings: &Provisioning) -> anyhow::Result<String> {
    let directory = settings.authority();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let authority = Authority::create(&directory, &settings.naming(), u32::try_from(now)?)?;
    Ok(format!("{} holds the keys now\n{}", directory.display(), held(&authority)?))
}

fn held(authority: &Authority) -> anyhow::Result<String> {
    let mut shown = table::with(&["Role", "Subject", "Serial number", "Until", "Key"], &[]);
    for holding in authority.holdings() {
        shown.add_row([
            holding.role.name().to_owned(),
            distinguished_name(holding.certificate.subject_name()),
            holding.certificate.serial_number().to_bn()?.to_hex_str()?.to_string(),
            holding.certificate.not_after().to_string(),
            if holding.key.is_some() { "here" } else { "in escrow" }.to_owned(),
        ]);
    }
    Ok(shown.to_string())
}

fn list(file: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let list = TrustList::parse(&bytes).with_context(|| format!("{} is no trust list", file.display()))?;
    let mut shown = table::with(&["Function", "Subject", "Issuer", "Serial number", "Reached by"], &[]);
    for record in &list.records {
        let address = record.ipv4().map(|address| address.to_string());
        shown.add_row([
            format!("{:?}", record.function),
            record.subject.clone(),
            record.issuer.clone(),
            record.serial.iter().map(|byte| format!("{byte:02X}")).collect(),
            table::or_dash(record.dns_name.clone().or(address)),
        ]);
    }
    let signature = match TrustList::verify(&bytes) {
        Ok(_) => "the signature is of one of its own security administrators, and holds".to_owned(),
        Err(error) => format!("the signature does not hold: {error}"),
    };
    Ok(format!("{shown}\n{signature}"))
}
