//! `pinholectl phone`.

use clap::Subcommand;
use pinhole_admin::Request;
use pinhole_provisioning::phones::PhoneView;
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
    },
    /// Forgets a phone, and the certificates that it is known by.
    Forget {
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
            Self::Allow { device } => Request::AllowPhone { device },
            Self::Forget { device } => Request::ForgetPhone { device },
            Self::OpenEnrolment { minutes, devices } => Request::OpenEnrolment { minutes, devices },
            Self::CloseEnrolment => Request::OpenEnrolment { minutes: 0, devices: 0 },
        }
    }
}

/// Phones as a table; the time line of one that has it below.
pub fn shown(phones: &[Value]) -> String {
    let phones = phones.iter().map(|phone| serde_json::from_value::<PhoneView>(phone.clone()));
    let phones: Result<Vec<_>, _> = phones.collect();
    match phones {
        Ok(phones) => text(&phones),
        Err(error) => format!("the control plane describes phones otherwise ({error}): different versions?"),
    }
}

fn text(phones: &[PhoneView]) -> String {
    let mut shown =
        table::with(&["Device", "Admission", "Stage", "Since", "Fetched from", "Certificates"], &[]);
    for phone in phones {
        let sources: Vec<_> = phone.fetched_from.iter().map(ToString::to_string).collect();
        shown.add_row([
            phone.device.clone(),
            name(&phone.admission),
            name(&phone.stage),
            table::moment(phone.active_ms),
            if sources.is_empty() { "-".into() } else { sources.join("\n") },
            phone.pins.len().to_string(),
        ]);
    }
    let mut text = shown.to_string();
    for phone in phones.iter().filter(|phone| !phone.timeline.is_empty()) {
        let mut moments = table::with(&["When", "What", "Of", "From", "Times", "Why not"], &["Times"]);
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
        text += &format!("\n\n{moments}");
    }
    text
}

/// A value of an enumeration, as JSON has it.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| Some(value.as_str()?.replace('_', " ")))
        .unwrap_or_default()
}
