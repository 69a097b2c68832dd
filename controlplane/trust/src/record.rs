//! The records of a trust list (trust-files 2.1.3).

use std::fmt;
use std::net::Ipv4Addr;

use openssl::pkey::{Id, PKey, Public};
use openssl::x509::X509;

use crate::certificate::{distinguished_name, serial};
use crate::tlv::{self, Once, fixed, number, put, put_string, string};
use crate::{Failure, Malformed};

/// What a certificate is trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// System administrator security token: signs trust lists.
    Sast,
    /// Call manager.
    Ccm,
    /// Call manager and configuration server: it signs files as well.
    CcmTftp,
    /// Configuration server.
    Tftp,
    /// Certificate enrolment.
    Capf,
    /// Application server.
    AppServer,
    /// Trust verification service.
    Tvs,
    /// One that we know nothing of.
    Other(u16),
}

impl Function {
    /// The number in tag 4.
    pub const fn code(self) -> u16 {
        match self {
            Self::Sast => 0,
            Self::Ccm => 1,
            Self::CcmTftp => 2,
            Self::Tftp => 3,
            Self::Capf => 4,
            Self::AppServer => 7,
            Self::Tvs => 21,
            Self::Other(code) => code,
        }
    }

    /// The function of a number.
    pub const fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Sast,
            1 => Self::Ccm,
            2 => Self::CcmTftp,
            3 => Self::Tftp,
            4 => Self::Capf,
            7 => Self::AppServer,
            21 => Self::Tvs,
            code => Self::Other(code),
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sast => f.write_str("SAST"),
            Self::Ccm => f.write_str("CCM"),
            Self::CcmTftp => f.write_str("CCM+TFTP"),
            Self::Tftp => f.write_str("TFTP"),
            Self::Capf => f.write_str("CAPF"),
            Self::AppServer => f.write_str("APP-SERVER"),
            Self::Tvs => f.write_str("TVS"),
            Self::Other(code) => write!(f, "function {code}"),
        }
    }
}

/// A record: whom to trust with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Host name, which some phones compare with the server they talk to. \[I\]
    pub dns_name: Option<String>,
    /// Distinguished name of the certificate's subject.
    pub subject: String,
    /// What it is trusted with.
    pub function: Function,
    /// Distinguished name of its issuer.
    pub issuer: String,
    /// Its serial number, without a sign byte.
    pub serial: Vec<u8>,
    /// RSA: PKCS#1 DER. EC: the uncompressed point.
    pub public_key: Vec<u8>,
    /// The certificate's own signature.
    pub signature: Option<Vec<u8>>,
    /// The certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// IPv4 address, as for the host name. The form of IPv6 addresses is not known: kept as it came.
    pub address: Option<Vec<u8>>,
}

impl Record {
    /// The record of a certificate.
    pub fn of(certificate: &X509, function: Function) -> Result<Self, Failure> {
        Ok(Self {
            dns_name: None,
            subject: distinguished_name(certificate.subject_name()),
            function,
            issuer: distinguished_name(certificate.issuer_name()),
            serial: serial(certificate)?,
            public_key: public_key(&certificate.public_key()?)?,
            signature: Some(certificate.signature().as_slice().to_vec()),
            certificate: Some(certificate.to_der()?),
            address: None,
        })
    }

    /// The same, with the name and address that phones reach it by.
    #[must_use]
    pub fn reached_by(mut self, dns_name: Option<&str>, address: Option<Ipv4Addr>) -> Self {
        self.dns_name = dns_name.map(str::to_owned);
        self.address = address.map(|address| address.octets().to_vec());
        self
    }

    /// Takes the record at the start of `bytes` off.
    pub(crate) fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let mut rest = *bytes;
        let first = tlv::take(&mut rest, "a record's length")?;
        if first.tag != 1 {
            return Err(Malformed::Missing("a record's length"));
        }
        let len = usize::from(number(first.value, "a record's length")?);
        let (record, behind) = bytes.split_at_checked(len).ok_or(Malformed::Truncated("a record"))?;
        let start = bytes.len() - rest.len();
        let mut fields = record.get(start..).ok_or(Malformed::Value("a record's length"))?;
        *bytes = behind;
        let mut dns_name = Once::new("a record's host name");
        let mut subject = Once::new("a record's subject");
        let mut function = Once::new("a record's function");
        let mut issuer = Once::new("a record's issuer");
        let mut serial = Once::new("a record's serial number");
        let mut public_key = Once::new("a record's public key");
        let mut signature = Once::new("a record's signature");
        let mut certificate = Once::new("a record's certificate");
        let mut address = Once::new("a record's address");
        while !fields.is_empty() {
            let field = tlv::take(&mut fields, "a field of a record")?;
            let value = field.value;
            match field.tag {
                1 => return Err(Malformed::Twice("a record's length")),
                2 => dns_name.set(string(value, "a record's host name")?)?,
                3 => subject.set(string(value, "a record's subject")?)?,
                4 => function.set(Function::from_code(number(value, "a record's function")?))?,
                5 => issuer.set(string(value, "a record's issuer")?)?,
                6 if value.is_empty() || value.len() > 64 => {
                    return Err(Malformed::Value("a record's serial number"));
                }
                6 => serial.set(value.to_vec())?,
                7 => public_key.set(value.to_vec())?,
                8 => signature.set(value.to_vec())?,
                9 => certificate.set(value.to_vec())?,
                10 => address.set(value.to_vec())?,
                // 11 and 12, a digest of the certificate, and what we know nothing of.
                _ => {}
            }
        }
        Ok(Self {
            dns_name: dns_name.get(),
            subject: subject.need()?,
            function: function.need()?,
            issuer: issuer.need()?,
            serial: serial.need()?,
            public_key: public_key.need()?,
            signature: signature.get(),
            certificate: certificate.get(),
            address: address.get(),
        })
    }

    /// Appends the record; `None` if something in it is too long.
    pub(crate) fn put(&self, to: &mut Vec<u8>) -> Option<()> {
        let mut fields = Vec::new();
        if let Some(name) = &self.dns_name {
            put_string(&mut fields, 2, name)?;
        }
        put_string(&mut fields, 3, &self.subject)?;
        put_string(&mut fields, 5, &self.issuer)?;
        put(&mut fields, 6, &self.serial)?;
        put(&mut fields, 4, &self.function.code().to_be_bytes())?;
        put(&mut fields, 7, &self.public_key)?;
        for (tag, value) in [(8, &self.signature), (9, &self.certificate), (10, &self.address)] {
            if let Some(value) = value {
                put(&mut fields, tag, value)?;
            }
        }
        let len = u16::try_from(fields.len() + tlv::HEAD + 2).ok()?;
        put(to, 1, &len.to_be_bytes())?;
        to.extend_from_slice(&fields);
        Some(())
    }

    /// The IPv4 address, if it is one.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = fixed(self.address.as_deref()?, "").ok()?;
        Some(octets.into())
    }
}

/// A public key as records have it (tag 7).
pub(crate) fn public_key(key: &PKey<Public>) -> Result<Vec<u8>, Failure> {
    if key.id() == Id::EC {
        let key = key.ec_key()?;
        let mut context = openssl::bn::BigNumContext::new()?;
        let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
        return Ok(key.public_key().to_bytes(key.group(), form, &mut context)?);
    }
    Ok(key.rsa()?.public_key_to_der_pkcs1()?)
}
