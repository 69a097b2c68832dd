//! Registrations: which phone answers to which of our tokens.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::DeviceName;

/// A registration is one address of record of one device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RegistrationKey {
    pub(crate) device: DeviceName,
    pub(crate) aor: String,
}

/// A granted registration.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// User part of the Contact that the call manager knows.
    pub(crate) token: String,
    /// The phone's own Contact URI.
    pub(crate) target: String,
    pub(crate) expires: Instant,
}

/// What a REGISTER that is under way asks for.
#[derive(Clone, Debug)]
pub(crate) struct RegisterRequest {
    pub(crate) key: RegistrationKey,
    /// For each Contact of ours in the request: its token and the phone's URI.
    pub(crate) contacts: Vec<(String, String)>,
    /// The phone's Contact values as they came.
    pub(crate) values: Vec<String>,
    /// Seconds that the phone asked for.
    pub(crate) asked: u32,
    /// A backup keep-alive: it changes nothing, although it says Expires 0 (`cisco-keep-alive`).
    pub(crate) keep_alive: bool,
    /// To as the phone wrote it, for the response.
    pub(crate) to: String,
}

/// The registrations of a shard.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    by_key: HashMap<RegistrationKey, Registration>,
    by_token: HashMap<String, RegistrationKey>,
    by_phone: HashMap<DeviceName, BTreeSet<String>>,
}

impl Registrations {
    /// Keeps or refreshes a registration; tells whether it is new.
    pub(crate) fn insert(&mut self, key: RegistrationKey, registration: Registration) -> bool {
        self.by_token.insert(registration.token.clone(), key.clone());
        self.by_phone.entry(key.device.clone()).or_default().insert(key.aor.clone());
        match self.by_key.insert(key, registration.clone()) {
            Some(old) => {
                if old.token != registration.token {
                    self.by_token.remove(&old.token);
                }
                false
            }
            None => true,
        }
    }

    /// Ends a registration.
    pub(crate) fn remove(&mut self, key: &RegistrationKey) -> Option<Registration> {
        let registration = self.by_key.remove(key)?;
        self.by_token.remove(&registration.token);
        if let Some(aors) = self.by_phone.get_mut(&key.device) {
            aors.remove(&key.aor);
            if aors.is_empty() {
                self.by_phone.remove(&key.device);
            }
        }
        Some(registration)
    }

    pub(crate) fn contains(&self, key: &RegistrationKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// The device and its own Contact URI behind a token.
    pub(crate) fn of_token(&self, token: &str) -> Option<(&DeviceName, &str)> {
        let key = self.by_token.get(token)?;
        Some((&key.device, self.by_key.get(key)?.target.as_str()))
    }

    /// The device that registered a user, for a call manager that names the user instead of our token.
    pub(crate) fn of_user(&self, user: &str) -> Option<(&DeviceName, &str)> {
        let found = self.by_key.iter().filter(|(key, _)| key.aor.split('@').next() == Some(user));
        let (key, registration) = found.max_by_key(|(_, registration)| registration.expires)?;
        Some((&key.device, registration.target.as_str()))
    }

    /// The token of any registration of a device: our Contact in its requests outside dialogs.
    pub(crate) fn token_of(&self, device: &DeviceName) -> Option<&str> {
        let aor = self.by_phone.get(device)?.first()?;
        let key = RegistrationKey { device: device.clone(), aor: aor.clone() };
        self.by_key.get(&key).map(|registration| registration.token.as_str())
    }

    /// Registrations of a device: address of record and when it runs out.
    pub(crate) fn of_device(&self, device: &DeviceName) -> Vec<(String, Instant)> {
        let aors = self.by_phone.get(device).into_iter().flatten();
        aors.filter_map(|aor| {
            let key = RegistrationKey { device: device.clone(), aor: aor.clone() };
            Some((aor.clone(), self.by_key.get(&key)?.expires))
        })
        .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many registrations a device has.
    pub(crate) fn count_of_phone(&self, device: &DeviceName) -> usize {
        self.by_phone.get(device).map_or(0, BTreeSet::len)
    }
}
