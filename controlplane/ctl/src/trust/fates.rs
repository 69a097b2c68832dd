//! What a change of the keys means for each phone, as far as is known which trust list it holds.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use pinhole_admin::{Client, ClientError, Request, Response};
use pinhole_controlplane::config::Provisioning;
use pinhole_provisioning::phones::{HeldTrustList, PhoneView, Phones};
use pinhole_trust::Authority;
use pinhole_trust::authority::{Refused, Role};

use crate::table;

/// What would become of a phone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It accepts the next trust list.
    Follows,
    /// It does not, and accepts the present one.
    Stranded,
    /// It does not accept the present one either.
    Lost,
    /// It has acknowledged no list, or one that is not under `issued` any more.
    Unknown,
}

impl Fate {
    fn of(held: Option<HeldTrustList>, role: Role, authority: &Authority) -> Result<Self, Refused> {
        let generation = held.and_then(|held| u32::try_from(held.generation).ok());
        let Some(list) = generation.and_then(|generation| authority.issued(generation)) else {
            return Ok(Self::Unknown);
        };
        Ok(match (authority.would_accept(Some(role), list)?, authority.would_accept(None, list)) {
            (true, _) => Self::Follows,
            (false, Ok(true)) => Self::Stranded,
            (false, _) => Self::Lost,
        })
    }
}

/// What would become of all phones once a role's key was replaced.
pub struct Fates {
    role: Role,
    phones: Vec<(String, Option<HeldTrustList>, Fate)>,
}

impl Fates {
    /// # Errors
    /// When the role's key cannot be replaced at all.
    pub fn after(role: Role, authority: &Authority, phones: &[PhoneView]) -> Result<Self, Refused> {
        // Also without phones: whether it can be replaced.
        authority.check_rotation(role)?;
        let phones = phones.iter().map(|phone| {
            let fate = Fate::of(phone.trust_list, role, authority)?;
            Ok((phone.device.clone(), phone.trust_list, fate))
        });
        Ok(Self { role, phones: phones.collect::<Result<_, Refused>>()? })
    }

    /// Refuses what strands phones.
    ///
    /// # Errors
    /// When it does, and is not forced.
    pub fn check(&self, force: bool) -> anyhow::Result<()> {
        match self.count(Fate::Stranded) {
            0 => Ok(()),
            _ if force => Ok(()),
            stranded => bail!(
                "{self}\n\nnothing was changed, since {stranded} phone(s) would be stranded: let them fetch their trust list first, or say --force and erase it on them"
            ),
        }
    }

    fn count(&self, wanted: Fate) -> usize {
        self.phones.iter().filter(|(.., fate)| *fate == wanted).count()
    }
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [Fate::Follows, Fate::Stranded, Fate::Lost, Fate::Unknown].map(|fate| self.count(fate));
        let [follow, stranded, lost, unknown] = counts;
        write!(
            f,
            "after {} is replaced, {follow} phone(s) accept the next trust list, {stranded} would be stranded, {lost} are already, of {unknown} it is not known which list they hold",
            self.role.name()
        )?;
        let others = || self.phones.iter().filter(|(.., fate)| *fate != Fate::Follows);
        if others().next().is_none() {
            return Ok(());
        }
        let mut shown = table::with(&["Device", "Holds the list of", "Since", ""], &[]);
        for (device, held, fate) in others() {
            shown.add_row([
                device.clone(),
                table::or_dash(held.map(|held| table::moment(held.generation.saturating_mul(1000)))),
                table::or_dash(held.map(|held| table::moment(held.at_ms))),
                match fate {
                    Fate::Follows => "",
                    Fate::Stranded => "STRANDED",
                    Fate::Lost => "stranded already",
                    Fate::Unknown => "not known",
                }
                .to_owned(),
            ]);
        }
        write!(f, "\n\n{shown}")
    }
}

/// All phones: as the running control plane knows them, or from its database when it does not run.
pub fn phones(socket: &Path, settings: &Provisioning) -> anyhow::Result<Vec<PhoneView>> {
    match Client::connect(socket).and_then(|client| client.ask(Request::Provisioned { device: None })) {
        Ok(Response::Provisioned(phones)) => {
            let phones = phones.into_iter().map(serde_json::from_value);
            Ok(phones.collect::<Result<_, _>>()?)
        }
        Ok(_) => bail!("the control plane answers something else: different versions?"),
        Err(ClientError::Absent(_) | ClientError::Refused(_)) => {
            let database = settings.database();
            if !database.exists() {
                return Ok(Vec::new());
            }
            let phones = Phones::open(&database, settings.phones.clone(), Arc::default())?;
            Ok(phones.list())
        }
        Err(error) => Err(error.into()),
    }
}
