//! What the admin socket answers about phones that fetch from us, and what it does with them.

use std::time::{Duration, SystemTime};

use pinhole_admin::{Request, Response};
use pinhole_provisioning::phones::PhoneView;
use pinhole_provisioning::{BadDevice, Device, SecurityClass};

use crate::provisioning::Office;

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
        Request::AllowPhone { device } => {
            phones.allow(device_of(device)?, SecurityClass::Encrypted, now)?;
            Response::Done(format!("{device} may fetch its configuration"))
        }
        Request::ForgetPhone { device } => {
            let text = if phones.forget(device_of(device)?)? { "is forgotten" } else { "was not known" };
            Response::Done(format!("{device} {text}"))
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

fn values(phones: &[PhoneView]) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    phones.iter().map(serde_json::to_value).collect()
}

fn device_of(name: &str) -> Result<Device, BadDevice> {
    name.parse()
}
