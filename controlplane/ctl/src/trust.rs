//! `pinholectl trust`: works on files, whether or not the control plane runs, and tells it of changes.

mod fates;
mod passphrase;
mod shown;
mod verify;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use pinhole_admin::{Client, ClientError, Request, Response};
use pinhole_controlplane::config::{Config, Provisioning};
use pinhole_trust::Authority;
use pinhole_trust::authority::{Role, unpack};

use fates::Fates;

/// Where the configuration is unless told otherwise.
const CONFIG: &str = "/etc/pinhole/pinhole.toml";

/// What is done with the keys that phones trust.
#[derive(Clone, Debug, Subcommand)]
pub enum Trust {
    /// Makes all keys, where there are none yet.
    Create,
    /// The keys and who signs with them, or what a trust list or a signed file says.
    Show {
        /// A trust list, such as CTLSEP0010DB000001.tlv, or a .sgn or .enc.sgn file; absent: our keys.
        file: Option<PathBuf>,
    },
    /// Says who has signed a trust list or a .sgn or .enc.sgn file, and fails if a phone would not accept it.
    Verify {
        /// The file.
        file: PathBuf,
        /// The trust list that the phone holds [default: of a list, none yet; of another file, ours].
        #[arg(long, value_name = "HELD.tlv")]
        list: Option<PathBuf>,
    },
    /// Writes a key and its certificate to a PKCS#12 file, for escrow. The passphrase is asked for, or read from the first line of
    /// the standard input.
    Export {
        /// sast-a, sast-b, ccm-tftp, https, capf, tvs or legacy-tls.
        #[arg(value_parser = role)]
        role: Role,
        /// The file, which must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A file whose first line is the passphrase.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Removes the key of the SAST that does not sign from this machine, once it was exported. Its certificate stays.
    Remove {
        /// sast-a or sast-b.
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Takes a key and its certificate from a PKCS#12 file: from escrow, or of another system whose phones come to us.
    Import {
        /// sast-a, sast-b, ccm-tftp, https, capf, tvs or legacy-tls.
        #[arg(value_parser = role)]
        role: Role,
        /// The file.
        file: PathBuf,
        /// The trust list that phones have of the other system: its SAST signs our first list, so that they accept it.
        #[arg(long, value_name = "HELD.tlv")]
        list: Option<PathBuf>,
        /// A file whose first line is the passphrase.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Also if phones would be stranded.
        #[arg(long)]
        force: bool,
    },
    /// Makes a new key and certificate for a role; of legacy-tls also the first. Phones learn of it with their next trust list.
    Rotate {
        /// sast-a, sast-b, ccm-tftp, https, capf, tvs or legacy-tls.
        #[arg(value_parser = role)]
        role: Role,
        /// Changes nothing, and says which phones would be stranded.
        #[arg(long)]
        dry_run: bool,
        /// Also if phones would be stranded.
        #[arg(long, conflicts_with = "dry_run")]
        force: bool,
    },
}

fn role(name: &str) -> Result<Role, String> {
    let names = || Role::ALL.map(Role::name).join(", ");
    Role::from_name(name).ok_or_else(|| format!("no such role: there are {}", names()))
}

/// Does it; what there is to say.
pub fn run(command: &Trust, config: Option<&Path>, socket: Option<&Path>) -> anyhow::Result<String> {
    let place = || Place::of(config, socket);
    match command {
        Trust::Create => place()?.create(),
        Trust::Show { file: None } => shown::keys(&place()?.open()?),
        Trust::Show { file: Some(file) } => shown::file(file),
        Trust::Verify { file, list } => verify::verify(file, list.as_deref(), || place()?.open()),
        Trust::Export { role, out, passphrase_file } => {
            place()?.export(*role, out, passphrase_file.as_deref())
        }
        Trust::Remove { role } => place()?.change(|place, authority| {
            authority.remove_key(*role)?;
            Ok(format!("the key of {} is no longer in {}", role.name(), place.directory().display()))
        }),
        Trust::Import { role, file, list, passphrase_file, force } => {
            place()?.import(*role, file, list.as_deref(), passphrase_file.as_deref(), *force)
        }
        Trust::Rotate { role, dry_run: true, .. } => {
            let place = place()?;
            let authority = place.open()?;
            Ok(Fates::after(*role, &authority, &place.phones()?)?.to_string())
        }
        Trust::Rotate { role, force, .. } => place()?.change(|place, authority| {
            let fates = Fates::after(*role, authority, &place.phones()?)?;
            fates.check(*force)?;
            authority.rotate(*role, &place.settings.naming(), now()?)?;
            Ok(format!("{fates}\n\n{}", shown::keys(authority)?))
        }),
    }
}

/// The configuration, and who runs by it.
struct Place {
    settings: Provisioning,
    socket: PathBuf,
}

impl Place {
    fn of(config: Option<&Path>, socket: Option<&Path>) -> anyhow::Result<Self> {
        let file = config.unwrap_or(Path::new(CONFIG));
        let config = Config::read(file)?;
        let settings = config.provisioning.with_context(|| {
            format!("{} has no [provisioning]: it says where the keys are", file.display())
        })?;
        Ok(Self { settings, socket: socket.map_or(config.controlplane.admin_socket, Path::to_owned) })
    }

    fn directory(&self) -> PathBuf {
        self.settings.authority()
    }

    fn open(&self) -> anyhow::Result<Authority> {
        let directory = self.directory();
        if !directory.exists() {
            bail!("{} does not exist: make the keys first (pinholectl trust create)", directory.display());
        }
        Ok(Authority::open(&directory)?)
    }

    fn create(&self) -> anyhow::Result<String> {
        self.check_user()?;
        let directory = self.directory();
        let authority = Authority::create(&directory, &self.settings.naming(), now()?)?;
        let keys = shown::keys(&authority)?;
        Ok(format!("{} holds the keys now\n{keys}\n\n{}", directory.display(), self.tell()?))
    }

    fn export(&self, role: Role, out: &Path, passphrase: Option<&Path>) -> anyhow::Result<String> {
        self.change(|_, authority| {
            // Asked for nothing if it is not here.
            authority.identity(role)?;
            let container = authority.export(role, &passphrase::new(passphrase)?)?;
            write_new(out, &container).with_context(|| format!("{} cannot be written", out.display()))?;
            authority.exported(role)?;
            let name = role.name();
            let then = if role.is_sast() && authority.signer().is_ok_and(|signer| signer.role != role) {
                format!(
                    "; put it and its passphrase in two safe places, then: pinholectl trust remove {name}"
                )
            } else {
                String::new()
            };
            Ok(format!("{} holds key and certificate of {name}{then}", out.display()))
        })
    }

    fn import(
        &self,
        role: Role,
        file: &Path,
        list: Option<&Path>,
        passphrase: Option<&Path>,
        force: bool,
    ) -> anyhow::Result<String> {
        self.change(|place, authority| {
            let container = read(file)?;
            let list = list.map(read).transpose()?;
            let identity = unpack(role, &container, &passphrase::known(passphrase)?)?;
            if !authority.has(role, &identity.certificate) {
                Fates::after(role, authority, &place.phones()?)?.check(force)?;
            }
            authority.import(role, &identity, list.as_deref(), now()?)?;
            shown::keys(authority)
        })
    }

    /// Changes the keys, and tells the control plane.
    fn change(
        &self,
        work: impl FnOnce(&Self, &mut Authority) -> anyhow::Result<String>,
    ) -> anyhow::Result<String> {
        self.check_user()?;
        let done = work(self, &mut self.open()?)?;
        Ok(format!("{done}\n\n{}", self.tell()?))
    }

    /// Files that another user makes could not be read by the control plane.
    fn check_user(&self) -> anyhow::Result<()> {
        let directory = &self.settings.directory;
        let Ok(found) = std::fs::metadata(directory) else { return Ok(()) };
        let (owner, user) = (found.uid(), rustix::process::geteuid().as_raw());
        if owner == user {
            return Ok(());
        }
        bail!(
            "{} belongs to user {owner}, and keys must too: run this as that user, such as by `sudo -u '#{owner}'`",
            directory.display()
        )
    }

    /// Has the running control plane read the keys again.
    fn tell(&self) -> anyhow::Result<String> {
        match Client::connect(&self.socket).and_then(|client| client.ask(Request::ReadKeys)) {
            Ok(Response::Done(text)) => Ok(format!("control plane: {text}")),
            Ok(_) => bail!("the control plane answers something else: different versions?"),
            Err(ClientError::Absent(_) | ClientError::Refused(_)) => {
                Ok("the control plane does not run; it reads the keys when it starts".into())
            }
            Err(error) => Err(error).context(
                "the keys are changed, but the control plane has not read them; send it SIGHUP, and look at pinholectl events",
            ),
        }
    }

    fn phones(&self) -> anyhow::Result<Vec<pinhole_provisioning::phones::PhoneView>> {
        fates::phones(&self.socket, &self.settings)
    }
}

fn now() -> anyhow::Result<u32> {
    Ok(u32::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// Writes a file for its owner alone that must not exist yet.
fn write_new(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}
