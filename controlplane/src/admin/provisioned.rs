//! What the admin socket answers about phones that fetch from us, and what it does with them.

use std::time::{Duration, SystemTime};

use pinhole_admin::{Request, Response};
use pinhole_provisioning::phones::{PhoneView, Pin};
use pinhole_provisioning::{BadDevice, Device};

use crate::provisioning::{Office, Preview};

/// For how long a one-time password can be used: a week at most.
const PASSWORD_MINUTES: std::ops::RangeInclusive<u32> = 1..=7 * 24 * 60;
/// Digits of a one-time password: a phone has twelve keys and tries are few.
const PASSWORD_DIGITS: usize = 8;

/// Does what is asked.
pub(super) fn answer(office: &Office, request: &Request) -> Response {
    done(office, request).unwrap_or_else(|error| Response::Error(error.to_string()))
}

fn done(office: &Office, request: &Request) -> Result<Response, Box<dyn std::error::Error>> {
    let (phones, now) = (&office.phones, SystemTime::now());
    Ok(match request {
        Request::Provisioned { device: None } => Response::Provisioned(values(&phones.list())?),
        Request::Provisioned { device: Some(device) } => match phones.show(device_of(device)?)? {
            Some(phone) => Response::Provisioned(values(&[phone])?),
            None => Response::Error(format!("{device} is not known, and has asked for nothing")),
        },
        Request::AllowPhone { device, class } => {
            let name = device_of(device)?;
            let before = phones.class(name);
            let class = class.or(before).unwrap_or_default();
            office.check_class(name, class)?;
            phones.allow(name, class, now)?;
            let again = before.is_some_and(|before| before != class);
            let again = if again { "; have it restart, so that it fetches another" } else { "" };
            Response::Done(format!("{device} may fetch its configuration, class {}{again}", class.name()))
        }
        Request::ForgetPhone { device } => {
            let text = if phones.forget(device_of(device)?)? { "is forgotten" } else { "was not known" };
            Response::Done(format!("{device} {text}"))
        }
        Request::PinPhone { device, serial, issuer } => {
            let pin = Pin::listed(&bytes(serial)?, issuer.as_deref())?;
            phones.pin(device_of(device)?, pin.clone(), now)?;
            Response::Done(format!("{device} is known by the certificate with {pin}"))
        }
        Request::DiffPhone { device } => {
            let Preview { changes, unlisted } = office.errands.preview(device_of(device)?)?;
            let changes = changes.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
            Response::Changes { changes, unlisted }
        }
        Request::ReadKeys => Response::Done(office.errands.read_keys()?),
        Request::EnrolPhone { .. } if !office.enrols => {
            Response::Error("nobody could use it: the configuration has no [provisioning.capf]".into())
        }
        Request::EnrolPhone { minutes, .. } if !PASSWORD_MINUTES.contains(minutes) => {
            let (least, most) = (PASSWORD_MINUTES.start(), PASSWORD_MINUTES.end());
            Response::Error(format!("a one-time password can be used for {least} to {most} minutes"))
        }
        Request::EnrolPhone { device, minutes } => {
            let (name, password) = (device_of(device)?, password()?);
            let mut salt = [0; 16];
            getrandom::fill(&mut salt)?;
            let until = now + Duration::from_secs(u64::from(*minutes) * 60);
            phones.set_password(name, &password, salt, until, now)?;
            Response::Password { device: device.clone(), password, minutes: *minutes }
        }
        Request::WithdrawCertificate { device } => {
            phones.withdraw(device_of(device)?, now)?;
            Response::Done(format!("{device} is to delete its certificate when it comes to enrolment"))
        }
        Request::OpenEnrolment { minutes: 0, .. } => {
            phones.close_enrolment()?;
            Response::Done("enrolment is closed: only devices that are allowed are served".into())
        }
        Request::OpenEnrolment { minutes, devices } => {
            phones.open_enrolment(now + Duration::from_secs(u64::from(*minutes) * 60), *devices, now)?;
            Response::Done(format!("enrolment is open for {minutes} minutes and {devices} devices"))
        }
        _ => Response::Error("this is not about provisioning".into()),
    })
}

/// Random digits.
fn password() -> Result<String, getrandom::Error> {
    let mut digits = String::new();
    while digits.len() < PASSWORD_DIGITS {
        let mut byte = [0];
        getrandom::fill(&mut byte)?;
        // Each digit as often as any other.
        if let [byte @ 0..250] = byte {
            digits.push(char::from(b'0' + byte % 10));
        }
    }
    Ok(digits)
}

fn values(phones: &[PhoneView]) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    phones.iter().map(serde_json::to_value).collect()
}

/// Of hexadecimal digits, in pairs, with or without colons or spaces in between.
fn bytes(digits: &str) -> Result<Vec<u8>, &'static str> {
    let digits: String = digits.chars().filter(|char| !matches!(char, ':' | ' ')).collect();
    let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<_>>();
    bytes
        .filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .ok_or("a serial number has hexadecimal digits")
}

fn device_of(name: &str) -> Result<Device, BadDevice> {
    name.parse()
}
