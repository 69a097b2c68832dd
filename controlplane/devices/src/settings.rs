//! From `[[identity.authority]]` and its files to a [`Verifier`].

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use thiserror::Error;
use x509_parser::pem::Pem;

use crate::authority::{Authority, Expired, Kind, Listener};
use crate::certificate::Certificate;
use crate::crl::{Crl, Overdue};
use crate::key::Hash;
use crate::verifier::{Verifier, weak_key};

/// The longest file of certificates or revocation lists in bytes.
const FILE_MAX: u64 = 16 << 20;

/// `[[identity.authority]]`: roots, and what is accepted below them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthoritySettings {
    /// Its name, for people.
    pub name: String,
    /// Files with its roots, PEM or DER. Each is trusted as it is.
    pub roots: Vec<PathBuf>,
    /// Files with certificates of authorities below, for phones that do not show them.
    #[serde(default)]
    pub intermediates: Vec<PathBuf>,
    /// What its certificates are; absent: told by their names.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Regular expressions over the subject's whole common name; capture 1 is the device name. Empty: what is usual for
    /// `kind`.
    #[serde(default)]
    pub names: Vec<String>,
    /// SHA-1 signatures and RSA keys of 1,024 bits are accepted.
    #[serde(default)]
    pub legacy: bool,
    /// What is done about expired certificates.
    #[serde(default)]
    pub expired: Expired,
    /// Where its certificates count; empty: everywhere.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// The clusters whose devices it may name; empty: all.
    #[serde(default)]
    pub clusters: Vec<String>,
}

/// Everything that a verifier is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The authorities.
    pub authorities: Vec<AuthoritySettings>,
    /// Files with revocation lists, PEM or DER.
    pub crls: Vec<PathBuf>,
    /// What is done when a list is overdue.
    pub crl_overdue: Overdue,
    /// Names of clusters, and which devices are theirs; the first match counts.
    pub clusters: Vec<(String, Regex)>,
}

/// One mistake in the settings or their files.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("identity.{key}: {message}")]
pub struct SettingsError {
    /// The key below `identity`, for example `authority[0].roots`.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Verifier {
    /// Reads all files.
    ///
    /// # Errors
    /// Every mistake.
    pub fn read(settings: &Settings) -> Result<Self, Vec<SettingsError>> {
        let mut mistakes = Mistakes::default();
        if settings.authorities.is_empty() {
            mistakes.add("authority", "there is none: no phone could prove who it is");
        }
        let mut authorities: Vec<Authority> = Vec::new();
        for (at, of) in settings.authorities.iter().enumerate() {
            let authority =
                authority(of, settings, &|field| format!("authority[{at}].{field}"), &mut mistakes);
            if of.name.is_empty() || authorities.iter().any(|before| *before.name == *of.name) {
                let message = "must be given, and differ from every other authority's";
                mistakes.add(format!("authority[{at}].name"), message);
            }
            authorities.push(authority);
        }
        let mut crls = Vec::new();
        for (at, file) in settings.crls.iter().enumerate() {
            let key = format!("crls[{at}]");
            for der in mistakes.file(&key, file, "X509 CRL") {
                match crl(&der, &authorities) {
                    Ok(found) => crls.push(found),
                    Err(why) => mistakes.add(&key, format!("{}: {why}", file.display())),
                }
            }
        }
        if !mistakes.0.is_empty() {
            return Err(mistakes.0);
        }
        let (overdue, clusters) = (settings.crl_overdue, settings.clusters.clone());
        Ok(Self { authorities, crls, overdue, clusters })
    }
}

#[derive(Default)]
struct Mistakes(Vec<SettingsError>);

impl Mistakes {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(SettingsError { key: key.into(), message: message.into() });
    }

    /// Every DER in a file.
    fn file(&mut self, key: &str, path: &Path, label: &str) -> Vec<Vec<u8>> {
        ders(path, label).unwrap_or_else(|why| {
            self.add(key, format!("{}: {why}", path.display()));
            Vec::new()
        })
    }

    /// The certificates in files.
    fn certificates(&mut self, key: &str, files: &[PathBuf]) -> Vec<(PathBuf, Certificate)> {
        let mut all = Vec::new();
        for file in files {
            for (at, der) in self.file(key, file, "CERTIFICATE").iter().enumerate() {
                match Certificate::parse(der) {
                    Ok(certificate) => all.push((file.clone(), certificate)),
                    Err(why) => {
                        self.add(key, format!("{}: certificate {}: {why}", file.display(), at + 1));
                    }
                }
            }
        }
        all
    }
}

fn authority(
    of: &AuthoritySettings,
    settings: &Settings,
    key: &dyn Fn(&str) -> String,
    mistakes: &mut Mistakes,
) -> Authority {
    if of.roots.is_empty() {
        mistakes.add(key("roots"), "names no file");
    }
    let roots = mistakes.certificates(&key("roots"), &of.roots);
    for (file, root) in &roots {
        let unfit = root.unfit_for_issuer(0, true);
        let weak = weak_key(root, of.legacy).map(|what| format!("has {what}; legacy = true accepts 1,024"));
        if let Some(why) = unfit.or(weak) {
            let message = format!("{}: {} cannot be a root: {why}", file.display(), root.subject_text());
            mistakes.add(key("roots"), message);
        }
    }
    for cluster in &of.clusters {
        if !settings.clusters.iter().any(|(name, _)| name == cluster) {
            mistakes.add(key("clusters"), format!("there is no [[cluster]] with the name \"{cluster}\""));
        }
    }
    let intermediates = mistakes.certificates(&key("intermediates"), &of.intermediates);
    Authority {
        name: of.name.as_str().into(),
        roots: roots.into_iter().map(|(_, root)| root).collect(),
        intermediates: intermediates.into_iter().map(|(_, intermediate)| intermediate).collect(),
        kind: of.kind,
        names: names(of, key, mistakes),
        legacy: of.legacy,
        expired: of.expired,
        listeners: of.listeners.clone(),
        clusters: of.clusters.clone(),
    }
}

fn names(of: &AuthoritySettings, key: &dyn Fn(&str) -> String, mistakes: &mut Mistakes) -> Vec<Regex> {
    let usual: &[Kind] = match of.kind {
        Some(Kind::Mic) => &[Kind::Mic],
        Some(Kind::Lsc) => &[Kind::Lsc],
        None => &[Kind::Lsc, Kind::Mic],
    };
    let usual = usual.iter().map(|kind| kind.pattern()).filter(|_| of.names.is_empty());
    let mut names = Vec::new();
    for pattern in of.names.iter().map(String::as_str).chain(usual) {
        match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) if regex.captures_len() >= 2 => names.push(regex),
            Ok(_) => {
                let message = format!("{pattern} needs a group, (...): what it captures is the device name");
                mistakes.add(key("names"), message);
            }
            Err(error) => {
                let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                let why = last.trim_start_matches("error: ").to_owned();
                mistakes.add(key("names"), format!("{pattern} is not a regular expression: {why}"));
            }
        }
    }
    names
}

/// A list, beside the authority that has signed it.
fn crl(der: &[u8], authorities: &[Authority]) -> Result<(Certificate, Crl), String> {
    let crl = Crl::parse(der).map_err(|error| error.to_string())?;
    for authority in authorities {
        let mut signers = authority.roots.iter().chain(&authority.intermediates);
        let Some(signer) = signers.find(|signer| crl.is_of(signer)) else { continue };
        if crl.algorithm().hash() != Hash::Sha1 || authority.legacy {
            return Ok((signer.clone(), crl));
        }
        let name = &authority.name;
        return Err(format!("is signed by SHA-1, which only legacy = true of authority {name} would accept"));
    }
    let issuer = crl.issuer_text();
    Err(format!(
        "is not signed by an authority that is known here: its issuer is {issuer}; name its certificate in roots or intermediates"
    ))
}

/// Every DER of a file: of its PEM blocks with this label, or the file itself.
fn ders(path: &Path, label: &str) -> Result<Vec<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(unreadable)?.take(FILE_MAX + 1);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("is longer than {FILE_MAX} bytes"));
    }
    // DER of both begins with a sequence, and no text does.
    if bytes.first() == Some(&0x30) && bytes.get(1).is_some_and(|byte| *byte >= 0x80) {
        return Ok(vec![bytes]);
    }
    let blocks: Result<Vec<_>, _> = Pem::iter_from_buffer(&bytes).collect();
    let blocks = blocks.map_err(|error| format!("is not PEM ({error})"))?;
    let wanted: Vec<_> =
        blocks.into_iter().filter(|block| block.label == label).map(|block| block.contents).collect();
    if wanted.is_empty() { Err(format!("holds no {label} in PEM or DER form")) } else { Ok(wanted) }
}
