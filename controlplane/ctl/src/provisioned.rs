//! `pinholectl phone`.

use clap::Subcommand;
use pinhole_admin::{Request, SecurityClass};
use pinhole_provisioning::phones::PhoneView;
use pinhole_provisioning::xml::Change;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::table;

/// What is done with phones that fetch their configuration from us.
#[derive(Clone, Debug, Subcommand)]
pub enum Phone {
    /// All of them.
    List,
    /// One, with all that happened to it.
    Show {
        /// Its name, such as SEP0010DB000001.
        device: String,
    },
    /// Lets a phone fetch its configuration.
    Allow {
        /// Its name.
        device: String,
        /// "encrypted", or "authenticated": media in the clear outside, for soft phones that can do no more [default: as it
        /// was, of a new one encrypted].
        #[arg(long)]
        class: Option<SecurityClass>,
    },
    /// Forgets a phone, and the certificates that it is known by.
    Forget {
        /// Its name.
        device: String,
    },
    /// Pins a certificate to a phone: it is known by that one, and by no other that it would show first.
    Pin {
        /// Its name.
        device: String,
        /// Serial number of the certificate, hexadecimal.
        #[arg(long, value_name = "HEX")]
        serial: String,
        /// Issuer of the certificate, as the time line shows it [default: any that certificates are accepted of].
        #[arg(long, value_name = "NAME")]
        issuer: Option<String>,
    },
    /// Makes a one-time password, by which a phone gets a certificate of ours.
    Enrol {
        /// Its name.
        device: String,
        /// For how long it can be used.
        #[arg(long, default_value_t = 60)]
        minutes: u32,
    },
    /// Lets a phone delete the certificate of ours, when it comes to enrolment next.
    Withdraw {
        /// Its name.
        device: String,
    },
    /// What is changed in a phone's configuration on the way from the call manager. Passwords are not shown.
    Diff {
        /// Its name.
        device: String,
    },
    /// Lets phones that nobody has named fetch their configurations, for a while.
    OpenEnrolment {
        /// For how long.
        #[arg(long, default_value_t = 30)]
        minutes: u32,
        /// How many of them at most.
        #[arg(long, default_value_t = 1)]
        devices: u32,
    },
    /// Ends that.
    CloseEnrolment,
}

impl Phone {
    /// What the control plane is asked.
    pub fn request(&self) -> Request {
        match self.clone() {
            Self::List => Request::Provisioned { device: None },
            Self::Show { device } => Request::Provisioned { device: Some(device) },
            Self::Allow { device, class } => Request::AllowPhone { device, class },
            Self::Forget { device } => Request::ForgetPhone { device },
            Self::Pin { device, serial, issuer } => Request::PinPhone { device, serial, issuer },
            Self::Diff { device } => Request::DiffPhone { device },
            Self::Enrol { device, minutes } => Request::EnrolPhone { device, minutes },
            Self::Withdraw { device } => Request::WithdrawCertificate { device },
            Self::OpenEnrolment { minutes, devices } => Request::OpenEnrolment { minutes, devices },
            Self::CloseEnrolment => Request::OpenEnrolment { minutes: 0, devices: 0 },
        }
    }
}

/// Phones as a table; one that was asked for with everything that is known of it.
pub fn shown(phones: &[Value]) -> String {
    match read::<PhoneView>(phones) {
        // Only who asks for one gets time lines, and whoever is known has one.
        Ok(phones) => match phones.as_slice() {
            [phone] if !phone.timeline.is_empty() => one(phone),
            phones => all(phones),
        },
        Err(said) => said,
    }
}

/// What the rewriting changes in a configuration.
pub fn changes(changes: &[Value], unlisted: usize) -> String {
    let changes = match read::<Change>(changes) {
        Ok(changes) if changes.is_empty() => return "nothing is changed".into(),
        Ok(changes) => changes,
        Err(said) => return said,
    };
    let mut shown = table::with(&["Element", "Call manager's", "Phone's"], &[]);
    let value = |value: Option<String>| match value {
        None => "(absent)".to_owned(),
        Some(empty) if empty.is_empty() => "(empty)".to_owned(),
        Some(value) => value,
    };
    for change in changes {
        shown.add_row([change.path, value(change.before), value(change.after)]);
    }
    if unlisted > 0 { format!("{shown}\nand {unlisted} more changes") } else { shown.to_string() }
}

fn read<T: DeserializeOwned>(values: &[Value]) -> Result<Vec<T>, String> {
    let read: Result<Vec<_>, _> = values.iter().map(|value| T::deserialize(value)).collect();
    read.map_err(|error| format!("the control plane describes this otherwise ({error}): different versions?"))
}

fn all(phones: &[PhoneView]) -> String {
    let headings = ["Device", "Admission", "Security", "Stage", "Since", "Fetched from", "Certificates"];
    let mut shown = table::with(&headings, &["Certificates"]);
    for phone in phones {
        shown.add_row([
            phone.device.clone(),
            name(&phone.admission),
            name(&phone.class),
            name(&phone.stage),
            table::moment(phone.active_ms),
            addresses(phone, "\n"),
            phone.pins.len().to_string(),
        ]);
    }
    shown.to_string()
}

fn one(phone: &PhoneView) -> String {
    let list = phone.trust_list.map(|held| {
        let (of, since) = (table::moment(held.generation.saturating_mul(1000)), table::moment(held.at_ms));
        format!("generation {}, made {of}, acknowledged {since}", held.generation)
    });
    let pins = phone.pins.iter().map(|pin| {
        let issuer = pin.issuer.as_deref().unwrap_or("any issuer");
        let sha256 = pin.sha256.as_ref().map(|sha256| format!(", SHA-256 {sha256}")).unwrap_or_default();
        format!("serial {} of {issuer}{sha256} ({})", pin.serial, name(&pin.origin))
    });
    let pins: Vec<_> = pins.collect();
    let issued = phone.issued.as_ref().map(|issued| {
        let (from, until) = (table::moment(issued.from_ms), table::moment(issued.until_ms));
        let end = if issued.is_withdrawn { ", to be deleted" } else { "" };
        format!("serial {}, good from {from} until {until}{end}", issued.serial)
    });
    let rows = [
        ("Device", phone.device.clone()),
        ("Admission", name(&phone.admission)),
        ("Security", name(&phone.class)),
        ("Stage", format!("{}, since {}", name(&phone.stage), table::moment(phone.active_ms))),
        ("Connected from", table::or_dash(phone.connected_from)),
        ("Fetched from", addresses(phone, ", ")),
        ("Trust list", table::or_dash(list)),
        ("Certificates", if pins.is_empty() { "-".into() } else { pins.join(&format!("\n{:16}", "")) }),
        ("Issued", table::or_dash(issued)),
        (
            "Password",
            table::or_dash(phone.password_until_ms.map(|until| format!("until {}", table::moment(until)))),
        ),
    ];
    let known = rows.map(|(name, value)| format!("{name:<15} {value}")).join("\n");
    let mut moments =
        table::with(&["When", "What", "Of", "From", "Times", "Why not, and what to do"], &["Times"]);
    for moment in &phone.timeline {
        moments.add_row([
            table::moment(moment.at_ms),
            name(&moment.what),
            moment.subject.clone(),
            table::or_dash(moment.source),
            moment.times.to_string(),
            moment.failure.map_or_else(String::new, |why| format!("{} {}", why.meaning(), why.remedy())),
        ]);
    }
    format!("{known}\n\n{moments}")
}

fn addresses(phone: &PhoneView, between: &str) -> String {
    let addresses: Vec<_> = phone.fetched_from.iter().map(ToString::to_string).collect();
    if addresses.is_empty() { "-".into() } else { addresses.join(between) }
}

/// A value of an enumeration, as JSON has it.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| Some(value.as_str()?.replace('_', " ")))
        .unwrap_or_default()
}
