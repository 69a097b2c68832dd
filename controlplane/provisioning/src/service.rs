//! The decisions behind TFTP, HTTP on 6970 and HTTPS on 6971 (provisioning 2.4): what is done about a request.
//!
//! The process around it has the sockets, asks upstream servers, signs, encrypts and sends. It reports what came of each
//! [`Grant`] to [`Phones::delivered`].

mod policy;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cache::Origin;
use crate::names::{FileName, Kind, OtherFile, Signature, Wrapping};
use crate::phones::{CertificateId, Decision, Grant, Phones, Wants};
use crate::xml::{RewriteError, Rewritten};
use crate::{Counter, Counters, Device, Failure, SecurityClass};

pub use policy::{ClusterFiles, Encryption, FilePolicy, OtherFiles};

/// The longest XML file that is no configuration, in bytes.
pub const XML_FILE_MAX: usize = 4 << 20;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TFTP, UDP port 69.
    Tftp,
    /// HTTP, TCP port 6970.
    Http,
    /// HTTPS, TCP port 6971: only for configurations, which go unsigned.
    Https,
}

/// A request for a file.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// How it came.
    pub transport: Transport,
    /// The name, as in the TFTP request; of an HTTP request the target without its first slash.
    pub name: &'a [u8],
    /// Where it came from.
    pub source: IpAddr,
    /// The verified client certificate of the connection, and the device that it names.
    pub certificate: Option<(Device, &'a CertificateId)>,
    /// Generation of the trust list that is served now; `None`: there is no authority yet.
    pub trust_list: Option<u64>,
    /// When.
    pub now: SystemTime,
}

/// Which trust list is to be made. CTL and ITL have the same records (trust-files 2.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustList {
    /// A CTL, for older phones.
    Ctl,
    /// An ITL, for newer ones.
    Itl,
    /// The extension of an ITL.
    ItlExtended,
}

/// What is around a configuration. A name is what the signature's header says (trust-files 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing.
    Plain,
    /// A signature.
    Signed {
        /// The name to sign it as.
        name: String,
    },
    /// Encryption to the device's certificate, and a signature (trust-files 2.3).
    EncryptedSigned {
        /// The name to sign it as.
        name: String,
    },
    /// A signature around the stub that sends the phone to the encrypted file ([`stub`](crate::xml::stub)).
    Stub {
        /// The name to sign it as.
        name: String,
    },
}

/// What is done to a file of no device before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Handling {
    /// It passes: the vendor has signed it, or the policy lets it go unsigned.
    Pass,
    /// It is signed.
    Sign {
        /// The name to sign it as.
        name: String,
        /// Whether SHA-512 is asked for.
        sha512: bool,
    },
}

/// A configuration that is to be fetched, rewritten by [`Service::configuration`], wrapped and sent.
#[derive(Debug)]
pub struct ConfigurationTask {
    /// Reports what came of it.
    pub grant: Grant,
    /// Where the call manager's configuration is.
    pub fetch: Origin,
    /// What is around it.
    pub form: Form,
    source: IpAddr,
    cluster: usize,
}

/// What is done about a request.
#[derive(Debug)]
pub enum Action {
    /// A trust list of our own is sent, never one from upstream.
    TrustList {
        /// Which.
        list: TrustList,
        /// Reports what came of it; `None`: it was asked for under a name of no device.
        grant: Option<Grant>,
    },
    /// A configuration is fetched, rewritten and sent.
    Configuration(ConfigurationTask),
    /// A file is fetched, or taken from the cache, and sent.
    File {
        /// Where it is.
        fetch: Origin,
        /// What it is.
        file: OtherFile,
        /// What is done to it.
        handling: Handling,
    },
    /// Nothing is sent but an error: not found.
    Deny(Failure),
}

/// Decides about requests. Any thread may use it.
pub struct Service {
    clusters: Vec<ClusterFiles>,
    policy: FilePolicy,
    phones: Arc<Phones>,
    counters: Arc<Counters>,
}

impl Service {
    /// A service. Of the clusters, the first whose pattern matches has a device.
    pub fn new(
        clusters: Vec<ClusterFiles>,
        policy: FilePolicy,
        phones: Arc<Phones>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { clusters, policy, phones, counters }
    }

    /// What is done about a request. It is counted and, if a device is named, stands in its time line. `encrypts_to` says
    /// whether a device has shown a certificate that can be encrypted to: one with an RSA key.
    pub fn request(&self, request: &Request<'_>, encrypts_to: &impl Fn(Device) -> bool) -> Action {
        self.counters.count(Counter::Requests);
        let name = match FileName::parse(request.name) {
            Ok(name) => name,
            Err(error) => return self.deny(None, "", error.failure(), request),
        };
        match self.decide(&name, request, encrypts_to) {
            Ok(action) => action,
            // The database has counted it, and noted it in the time line.
            Err(Refused::Already(failure)) => Action::Deny(failure),
            Err(Refused::Now(failure)) => self.deny(name.device(), &name.to_string(), failure, request),
        }
    }

    /// Something was sent to us as a file, by TFTP or HTTP. It is never looked at (CVE-2014-0738), only counted.
    pub fn upload(&self, name: &[u8], source: IpAddr, now: SystemTime) -> Failure {
        let failure = Failure::UploadRefused;
        match FileName::parse(name).ok().and_then(|name| Some((name.device()?, name))) {
            Some((device, name)) => self.phones.failed(device, source, &name.to_string(), failure, now),
            None => self.counters.fail(failure),
        }
        failure
    }

    /// The configuration that the phone gets, from the call manager's.
    ///
    /// # Errors
    /// When it cannot be given. It is counted, stands in the phone's time line, and its text is logged.
    pub fn configuration(
        &self,
        task: &ConfigurationTask,
        fetched: &[u8],
        now: SystemTime,
    ) -> Result<Rewritten, Failure> {
        let device = task.grant.device();
        let cluster = self.clusters.get(task.cluster).ok_or(Failure::NoCluster)?;
        cluster.rules.rewrite(fetched, task.grant.class()).map_err(|error| {
            tracing::warn!(%device, cluster = cluster.name, "configuration refused: {error}");
            let failure = failure_of(&error);
            self.failed(task, failure, now);
            failure
        })
    }

    /// A configuration could not be fetched, signed or encrypted. It is counted, and stands in the phone's time line.
    pub fn failed(&self, task: &ConfigurationTask, failure: Failure, now: SystemTime) {
        self.phones.failed(task.grant.device(), task.source, &task.fetch.name, failure, now);
    }

    /// What a device would get of a call manager's configuration, for the operator to see. Nothing is counted.
    ///
    /// # Errors
    /// When no cluster has the device, or the configuration cannot be given.
    pub fn preview(&self, device: Device, fetched: &[u8]) -> Result<Rewritten, PreviewError> {
        let cluster =
            self.cluster(device).and_then(|index| self.clusters.get(index)).ok_or(PreviewError::NoCluster)?;
        let class = self.phones.class(device).unwrap_or(SecurityClass::Encrypted);
        Ok(cluster.rules.rewrite(fetched, class)?)
    }

    /// Where the call manager's configuration of a device is.
    pub fn origin(&self, device: Device) -> Option<Origin> {
        let cluster = self.cluster(device).and_then(|index| self.clusters.get(index))?;
        Some(cluster.configuration_of(device))
    }

    fn decide(
        &self,
        name: &FileName,
        request: &Request<'_>,
        encrypts_to: &impl Fn(Device) -> bool,
    ) -> Result<Action, Refused> {
        if let (Some(device), Some((shown, _))) = (name.device(), request.certificate)
            && shown != device
        {
            return Err(Failure::CertificateOfOtherDevice.into());
        }
        if request.transport == Transport::Https && !matches!(name, FileName::Configuration { .. }) {
            return Err(Failure::NotOverHttps.into());
        }
        match name {
            FileName::Ctl(device) => self.trust_list(TrustList::Ctl, *device, name, request),
            FileName::Itl(device) => self.trust_list(TrustList::Itl, *device, name, request),
            FileName::ItlExtended(device) if self.policy.extended_trust_lists => {
                self.trust_list(TrustList::ItlExtended, *device, name, request)
            }
            FileName::ItlExtended(_) => Err(Failure::ExtendedTrustListRefused.into()),
            FileName::CtlCommon => self.common(TrustList::Ctl, request),
            FileName::ItlCommon => self.common(TrustList::Itl, request),
            FileName::Configuration { device, wrapping } => {
                self.configuration_request(*device, *wrapping, name, request, encrypts_to)
            }
            // It is of no device, so nothing says who may have it.
            FileName::DefaultConfiguration { .. } => Err(Failure::DefaultConfigurationRefused.into()),
            FileName::Other(file) => self.other(file, request),
        }
    }

    fn trust_list(
        &self,
        list: TrustList,
        device: Device,
        name: &FileName,
        request: &Request<'_>,
    ) -> Result<Action, Refused> {
        self.cluster(device).ok_or(Failure::NoCluster)?;
        let generation = request.trust_list.ok_or(Failure::TrustListUnavailable)?;
        let grant = self.ask(device, name, Wants::TrustList { generation }, request)?;
        Ok(Action::TrustList { list, grant: Some(grant) })
    }

    fn common(&self, list: TrustList, request: &Request<'_>) -> Result<Action, Refused> {
        if !self.policy.common_trust_lists {
            return Err(Failure::CommonTrustListRefused.into());
        }
        request.trust_list.ok_or(Failure::TrustListUnavailable)?;
        self.counters.count(Counter::TrustLists);
        Ok(Action::TrustList { list, grant: None })
    }

    fn configuration_request(
        &self,
        device: Device,
        wrapping: Wrapping,
        name: &FileName,
        request: &Request<'_>,
        encrypts_to: &impl Fn(Device) -> bool,
    ) -> Result<Action, Refused> {
        let index = self.cluster(device).ok_or(Failure::NoCluster)?;
        let cluster = self.clusters.get(index).ok_or(Failure::NoCluster)?;
        let known = || encrypts_to(device);
        let form = self.form(request, wrapping, name.to_string(), cluster.encryption, known)?;
        let certificate = request.certificate.map(|(_, certificate)| certificate);
        let is_bare = request.transport == Transport::Https;
        let grant = self.ask(device, name, Wants::Configuration { certificate, is_bare }, request)?;
        let fetch = cluster.configuration_of(device);
        Ok(Action::Configuration(ConfigurationTask {
            grant,
            fetch,
            form,
            source: request.source,
            cluster: index,
        }))
    }

    /// What is around a configuration that is asked for so.
    fn form(
        &self,
        request: &Request<'_>,
        wrapping: Wrapping,
        name: String,
        encryption: Encryption,
        known: impl Fn() -> bool,
    ) -> Result<Form, Failure> {
        let is_https = request.transport == Transport::Https;
        let encrypts = match encryption {
            Encryption::Off => false,
            Encryption::WhenKnown => known(),
            Encryption::Required if is_https => true,
            Encryption::Required if !known() => return Err(Failure::CertificateNotSeen),
            Encryption::Required => true,
        };
        if is_https {
            // TLS protects it on the way, and the phone expects no signature whatever it asks for (provisioning 2.4).
            return match wrapping {
                Wrapping::EncryptedSigned => Err(Failure::EncryptionOff),
                // But without a certificate, anybody may be at the other end.
                _ if encrypts && request.certificate.is_none() => Err(Failure::CertificateNotSeen),
                Wrapping::Plain | Wrapping::Signed => Ok(Form::Plain),
            };
        }
        match wrapping {
            Wrapping::Plain if self.policy.unsigned_names && !encrypts => Ok(Form::Plain),
            Wrapping::Plain => Err(Failure::UnsignedName),
            Wrapping::Signed if encrypts => Ok(Form::Stub { name }),
            Wrapping::Signed => Ok(Form::Signed { name }),
            Wrapping::EncryptedSigned if encrypts => Ok(Form::EncryptedSigned { name }),
            Wrapping::EncryptedSigned if encryption == Encryption::Off => Err(Failure::EncryptionOff),
            Wrapping::EncryptedSigned => Err(Failure::CertificateNotSeen),
        }
    }

    fn other(&self, file: &OtherFile, request: &Request<'_>) -> Result<Action, Refused> {
        let device = self.phones.device_at(request.source, request.now);
        if device.is_none() && self.policy.other_files == OtherFiles::KnownSources {
            return Err(Failure::UnknownSource.into());
        }
        let index = device.map_or(Some(0), |device| self.cluster(device));
        let cluster = index.and_then(|index| self.clusters.get(index)).ok_or(Failure::NoCluster)?;
        let sign = |sha512| Handling::Sign { name: file.to_string(), sha512 };
        let handling = match file.signature() {
            _ if file.is_vendor_signed() => Handling::Pass,
            Signature::Sgn => sign(false),
            Signature::SgnSha512 => sign(true),
            Signature::None if self.policy.unsigned_names => Handling::Pass,
            Signature::None => return Err(Failure::UnsignedName.into()),
        };
        self.counters.count(Counter::OtherFiles);
        let fetch = Origin { upstream: cluster.name.clone(), name: file.upstream() };
        Ok(Action::File { fetch, file: file.clone(), handling })
    }

    fn ask(
        &self,
        device: Device,
        name: &FileName,
        wants: Wants<'_>,
        request: &Request<'_>,
    ) -> Result<Grant, Refused> {
        match self.phones.ask(device, request.source, &name.to_string(), wants, request.now) {
            Decision::Granted(grant) => Ok(grant),
            Decision::Refused(failure) => Err(Refused::Already(failure)),
        }
    }

    fn cluster(&self, device: Device) -> Option<usize> {
        let name = device.to_string();
        self.clusters.iter().position(|cluster| cluster.devices.is_match(&name))
    }

    fn deny(&self, device: Option<Device>, name: &str, failure: Failure, request: &Request<'_>) -> Action {
        match device {
            Some(device) => self.phones.failed(device, request.source, name, failure, request.now),
            None => self.counters.fail(failure),
        }
        Action::Deny(failure)
    }
}

/// Why a device's configuration cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// No cluster has it.
    #[error("no cluster's `devices` pattern matches the device")]
    NoCluster,
    /// It cannot be given.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
}

/// Whether a file that was fetched may be what its name says.
///
/// # Errors
/// [`Failure::FileParse`]: it is empty or too large, has a signature around it already, or is named XML and is none.
pub fn check_file(file: &OtherFile, fetched: &[u8]) -> Result<(), Failure> {
    /// How every signed file begins (trust-files 2.2): header version 1.0.
    const SIGNED: &[u8] = &[1, 0, 2, 1, 0];
    if file.is_vendor_signed() {
        return if fetched.is_empty() { Err(Failure::FileParse) } else { Ok(()) };
    }
    let text = fetched.strip_prefix(b"\xef\xbb\xbf").unwrap_or(fetched).trim_ascii_start();
    let is_xml = text.starts_with(b"<") && fetched.len() <= XML_FILE_MAX;
    let good = !fetched.is_empty() && !fetched.starts_with(SIGNED) && (file.kind() != Kind::Xml || is_xml);
    if good { Ok(()) } else { Err(Failure::FileParse) }
}

fn failure_of(error: &RewriteError) -> Failure {
    match error {
        RewriteError::Xml(_) => Failure::ConfigurationParse,
        RewriteError::NoCallManager => Failure::ConfigurationNoCallManager,
        RewriteError::UnmappedCallManagers(names) if names.iter().all(|name| is_host_name(name)) => {
            Failure::ConfigurationDns
        }
        RewriteError::UnmappedCallManagers(_) => Failure::ConfigurationUnmapped,
        RewriteError::Encrypted => Failure::ConfigurationEncrypted,
    }
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty() && name.parse::<IpAddr>().is_err()
}

/// A refusal, and whether it still has to be counted.
enum Refused {
    Already(Failure),
    Now(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Now(failure)
    }
}
