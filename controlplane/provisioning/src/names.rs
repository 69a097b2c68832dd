//! The names that phones ask for (provisioning 2.4), read into types that cannot be wrong.
//!
//! Deny by default: a name that fits none of the patterns is refused, each kind of refusal by its own reason. Names are
//! compared exactly, without any decoding: `%2e`, a second slash or another case never come to mean a known file, even
//! where the upstream server would read them so.

use std::fmt;

use thiserror::Error;

use crate::{Device, Failure};

/// The longest name, in bytes.
pub const NAME_MAX: usize = 128;

/// A file that a phone may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FileName {
    /// `CTLSEP<MAC>.tlv`.
    Ctl(Device),
    /// `CTLFile.tlv`, the older name, of no device (\[M\]).
    CtlCommon,
    /// `ITLSEP<MAC>.tlv`.
    Itl(Device),
    /// `ext_ITLSEP<MAC>.tlv`.
    ItlExtended(Device),
    /// `ITLFile.tlv`, of no device.
    ItlCommon,
    /// `SEP<MAC>.cnf.xml`.
    Configuration {
        /// Whose.
        device: Device,
        /// What is around it.
        wrapping: Wrapping,
    },
    /// `XMLDefault.cnf.xml`, for phones without a configuration of their own.
    DefaultConfiguration {
        /// Whether `.sgn` was asked for.
        signed: bool,
    },
    /// Firmware, locales, tones, rings, pictures, dial rules.
    Other(OtherFile),
}

/// What a phone wants around its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrapping {
    /// Nothing.
    Plain,
    /// A signature: `.sgn` (trust-files 2.2).
    Signed,
    /// Encryption and a signature: `.enc.sgn` (trust-files 2.3).
    EncryptedSigned,
}

/// A file of no device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherFile {
    /// With its folder, without the suffix that asks for our signature.
    path: Box<str>,
    kind: Kind,
    signature: Signature,
}

/// What kind a file of no device is, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `loads`, `sbn`, `sb2`, `bin`, `zz`: signed by the vendor, passed as they are.
    Firmware,
    /// `xml`: locales, tones, lists, dial rules, soft keys.
    Xml,
    /// `jar`: locales.
    Jar,
    /// `raw`, `rwb`: ring tones.
    Ring,
    /// `png`: pictures.
    Picture,
}

/// The signature that a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signature {
    /// None.
    None,
    /// `.sgn`.
    Sgn,
    /// `.sgn.sha512`.
    SgnSha512,
}

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("no file name")]
    Empty,
    /// Longer than [`NAME_MAX`].
    #[error("file name longer than {NAME_MAX} bytes")]
    TooLong,
    /// NUL or another control character.
    #[error("control character in the file name")]
    ControlCharacter,
    /// A byte outside ASCII.
    #[error("file name is not ASCII")]
    NotAscii,
    /// A backslash.
    #[error("backslash in the file name")]
    Backslash,
    /// Begins at the root, or with a drive letter.
    #[error("file name is an absolute path")]
    Absolute,
    /// `..` anywhere.
    #[error("'..' in the file name")]
    ParentFolder,
    /// A folder that is no locale and no `Desktops/<resolution>`, or more folders than that.
    #[error("file name with an unknown folder")]
    UnknownFolder,
    /// Nearly a configuration or a trust list, which must never be fetched as an ordinary file.
    #[error("not the exact name of a configuration or trust list")]
    Disguised,
    /// Of no known kind.
    #[error("unknown kind of file name")]
    UnknownPattern,
}

impl NameError {
    /// What is counted.
    pub const fn failure(self) -> Failure {
        match self {
            Self::Empty => Failure::NameEmpty,
            Self::TooLong => Failure::NameTooLong,
            Self::ControlCharacter => Failure::NameControlCharacter,
            Self::NotAscii => Failure::NameNotAscii,
            Self::Backslash => Failure::NameBackslash,
            Self::Absolute => Failure::NameAbsolute,
            Self::ParentFolder => Failure::NameParentFolder,
            Self::UnknownFolder => Failure::NameUnknownFolder,
            Self::Disguised => Failure::NameDisguised,
            Self::UnknownPattern => Failure::NameUnknown,
        }
    }
}

impl FileName {
    /// Reads a name as it stands in a TFTP request, or in an HTTP request target without its one leading slash. Percent
    /// signs are not decoded: no known name has one.
    ///
    /// # Errors
    /// Any name that fits no known pattern exactly.
    pub fn parse(name: &[u8]) -> Result<Self, NameError> {
        let name = clean(name)?;
        if let Some(found) = trust_list(name).or_else(|| configuration(name)) {
            return Ok(found);
        }
        let (folder, base) = match name.rsplit_once('/') {
            Some((folder, base)) => (Some(folder), base),
            None => (None, name),
        };
        if disguised(base) {
            return Err(NameError::Disguised);
        }
        if folder.is_some_and(|folder| !is_locale(folder) && !is_desktops(folder)) {
            return Err(NameError::UnknownFolder);
        }
        OtherFile::parse(name, base).map(Self::Other)
    }

    /// The device that the name belongs to.
    pub fn device(&self) -> Option<Device> {
        match *self {
            Self::Ctl(device) | Self::Itl(device) | Self::ItlExtended(device) => Some(device),
            Self::Configuration { device, .. } => Some(device),
            Self::CtlCommon | Self::ItlCommon | Self::DefaultConfiguration { .. } | Self::Other(_) => None,
        }
    }
}

/// Refuses what no name may hold, before anything is compared.
fn clean(name: &[u8]) -> Result<&str, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_MAX {
        return Err(NameError::TooLong);
    }
    if name.iter().any(u8::is_ascii_control) {
        return Err(NameError::ControlCharacter);
    }
    let text = std::str::from_utf8(name).ok().filter(|text| text.is_ascii()).ok_or(NameError::NotAscii)?;
    if text.contains('\\') {
        return Err(NameError::Backslash);
    }
    if text.starts_with('/') || text.as_bytes().get(1) == Some(&b':') {
        return Err(NameError::Absolute);
    }
    if text.contains("..") {
        return Err(NameError::ParentFolder);
    }
    Ok(text)
}

fn trust_list(name: &str) -> Option<FileName> {
    let of_device = |prefix: &str| match Device::prefix(name.strip_prefix(prefix)?) {
        Some((device, ".tlv")) => Some(device),
        _ => None,
    };
    match name {
        "CTLFile.tlv" => Some(FileName::CtlCommon),
        "ITLFile.tlv" => Some(FileName::ItlCommon),
        _ => of_device("CTL")
            .map(FileName::Ctl)
            .or_else(|| of_device("ITL").map(FileName::Itl))
            .or_else(|| of_device("ext_ITL").map(FileName::ItlExtended)),
    }
}

fn configuration(name: &str) -> Option<FileName> {
    match name {
        "XMLDefault.cnf.xml" => return Some(FileName::DefaultConfiguration { signed: false }),
        "XMLDefault.cnf.xml.sgn" => return Some(FileName::DefaultConfiguration { signed: true }),
        _ => {}
    }
    let (device, rest) = Device::prefix(name)?;
    let wrapping = match rest {
        ".cnf.xml" => Wrapping::Plain,
        ".cnf.xml.sgn" => Wrapping::Signed,
        ".cnf.xml.enc.sgn" => Wrapping::EncryptedSigned,
        _ => return None,
    };
    Some(FileName::Configuration { device, wrapping })
}

/// What an upstream server that ignores case could take for a configuration or a trust list. It must not leave as an
/// ordinary file, since those are not rewritten.
fn disguised(base: &str) -> bool {
    let lower = base.to_ascii_lowercase();
    lower.contains(".cnf") || lower.contains(".tlv") || lower.starts_with("sep")
}

/// A locale's folder: `English_United_States`, `New_Zealand`.
fn is_locale(folder: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    folder.len() <= 64
        && folder.starts_with(|first: char| first.is_ascii_uppercase())
        && folder.bytes().all(word)
}

/// `Desktops/<width>x<height>x<depth>`.
fn is_desktops(folder: &str) -> bool {
    let Some(resolution) = folder.strip_prefix("Desktops/") else { return false };
    let number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    resolution.split('x').count() == 3 && resolution.split('x').all(number)
}

impl OtherFile {
    fn parse(name: &str, base: &str) -> Result<Self, NameError> {
        let (path, signature) = match (name.strip_suffix(".sgn"), name.strip_suffix(".sgn.sha512")) {
            (Some(path), _) => (path, Signature::Sgn),
            (_, Some(path)) => (path, Signature::SgnSha512),
            (None, None) => (name, Signature::None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
        let kind = path.rsplit_once('.').and_then(|(stem, ending)| {
            let named = !stem.is_empty() && !stem.ends_with(['.', '/']);
            Kind::of(ending).filter(|_| named)
        });
        match kind {
            Some(kind) if base.bytes().all(plain) && !base.starts_with('.') => {
                Ok(Self { path: path.into(), kind, signature })
            }
            _ => Err(NameError::UnknownPattern),
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The signature asked for.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Whether the vendor has signed it, whatever its name ends in: it passes as it is.
    pub fn is_vendor_signed(&self) -> bool {
        self.kind == Kind::Firmware
    }

    /// The name to ask the upstream server for: the file without our signature, but firmware under its full name,
    /// since a `.zz.sgn` is the vendor's own.
    pub fn upstream(&self) -> String {
        if self.is_vendor_signed() { self.to_string() } else { self.path.to_string() }
    }
}

impl Kind {
    fn of(ending: &str) -> Option<Self> {
        Some(match ending {
            "loads" | "sbn" | "sb2" | "bin" | "zz" => Self::Firmware,
            "xml" => Self::Xml,
            "jar" => Self::Jar,
            "raw" | "rwb" => Self::Ring,
            "png" => Self::Picture,
            _ => return None,
        })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ctl(device) => write!(f, "CTL{device}.tlv"),
            Self::CtlCommon => f.write_str("CTLFile.tlv"),
            Self::Itl(device) => write!(f, "ITL{device}.tlv"),
            Self::ItlExtended(device) => write!(f, "ext_ITL{device}.tlv"),
            Self::ItlCommon => f.write_str("ITLFile.tlv"),
            Self::Configuration { device, wrapping } => {
                let ending = match wrapping {
                    Wrapping::Plain => "",
                    Wrapping::Signed => ".sgn",
                    Wrapping::EncryptedSigned => ".enc.sgn",
                };
                write!(f, "{device}.cnf.xml{ending}")
            }
            Self::DefaultConfiguration { signed: false } => f.write_str("XMLDefault.cnf.xml"),
            Self::DefaultConfiguration { signed: true } => f.write_str("XMLDefault.cnf.xml.sgn"),
            Self::Other(file) => file.fmt(f),
        }
    }
}

impl fmt::Display for OtherFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        f.write_str(match self.signature {
            Signature::None => "",
            Signature::Sgn => ".sgn",
            Signature::SgnSha512 => ".sgn.sha512",
        })
    }
}
