//! The database on disk: SQLite, so that what a phone is pinned to survives a power cut, and an operator can look.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};
use thiserror::Error;

use super::Enrolment;
use super::certificate::{DER_MAX, Pin, PinOrigin};
use super::enrolment::Issued;
use super::password::StoredPassword;
use super::phone::{Admission, Fetch, HeldTrustList, Phone, Stage};
use super::timeline::{MOMENTS_MAX, Moment, Timeline};
use crate::{Device, SecurityClass};

/// Marks the file as ours: "PHdb".
const APPLICATION_ID: i32 = 0x5048_6462;
/// Version of the tables.
const SCHEMA: i32 = 3;
/// What makes tables of a version those of the next, beginning with version 1.
const MIGRATIONS: [&str; 2] = [
    "ALTER TABLE pin ADD COLUMN der BLOB;",
    // Some programs of the second version have made it already.
    "CREATE TABLE IF NOT EXISTS issued (
    device TEXT PRIMARY KEY,
    sha256 BLOB NOT NULL,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    is_withdrawn INTEGER NOT NULL
) STRICT, WITHOUT ROWID;",
];

const TABLES: &str = "
CREATE TABLE phone (
    device TEXT PRIMARY KEY,
    admission TEXT NOT NULL,
    class TEXT NOT NULL,
    provisioned TEXT NOT NULL,
    active_ms INTEGER NOT NULL,
    held_generation INTEGER,
    held_ms INTEGER,
    next_moment INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE pin (
    device TEXT NOT NULL,
    place INTEGER NOT NULL,
    serial BLOB NOT NULL,
    issuer TEXT NOT NULL,
    sha256 BLOB,
    origin TEXT NOT NULL,
    der BLOB,
    PRIMARY KEY (device, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE fetch (
    device TEXT NOT NULL,
    place INTEGER NOT NULL,
    source TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (device, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE password (
    device TEXT PRIMARY KEY,
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    attempts_left INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE moment (
    device TEXT NOT NULL,
    slot INTEGER NOT NULL,
    number INTEGER NOT NULL,
    moment TEXT NOT NULL,
    PRIMARY KEY (device, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE enrolment (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    opened_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    devices_left INTEGER NOT NULL
) STRICT;
CREATE TABLE issued (
    device TEXT PRIMARY KEY,
    sha256 BLOB NOT NULL,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    is_withdrawn INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be created or opened.
    #[error("{path}: {source}; look at the folder's owner and permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{0}: in use by another process; stop the other control plane")]
    InUse(PathBuf),
    /// It is no database of phones.
    #[error("{0}: not a database of phones; move the file away")]
    Foreign(PathBuf),
    /// A newer version has written it.
    #[error("{path}: has version {version}, this program knows {SCHEMA}; start the newer program again")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i32,
    },
    /// SQLite failed.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

/// The open database.
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
}

/// What is stored of a phone.
pub(super) struct Saved {
    pub device: Device,
    pub phone: Phone,
    pub moments: Vec<(u64, Moment)>,
}

impl Saved {
    pub fn of(device: Device, phone: &Phone) -> Self {
        Self { device, phone: phone.clone(), moments: phone.timeline.unstored() }
    }
}

impl Store {
    /// Opens or creates the database, for this process alone.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unreadable = |source| StoreError::Unreadable { path: path.into(), source };
        // SQLite gives its journal the same permissions.
        let mut create = std::fs::OpenOptions::new();
        create
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(unreadable)?;
        let connection = Connection::open(path).map_err(|source| database(path, source))?;
        let mut store = Self { path: path.into(), connection };
        store.prepare()?;
        Ok(store)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => StoreError::InUse(path.clone()),
            Some(rusqlite::ErrorCode::NotADatabase) => StoreError::Foreign(path.clone()),
            _ => database(&path, source),
        };
        // A pin that was answered for must not be forgotten in a power cut: FULL.
        let settings =
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                        PRAGMA trusted_schema = OFF; BEGIN EXCLUSIVE; COMMIT;";
        self.connection.execute_batch(settings).map_err(&failed)?;
        let pragma =
            |name: &str| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
        let (application, version) = (pragma("application_id"), pragma("user_version"));
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = self.connection.query_row(tables, [], |row| row.get(0)).map_err(&failed)?;
        match (application.map_err(&failed)?, version.map_err(&failed)?) {
            (APPLICATION_ID, version @ 1..=SCHEMA) => {
                let steps: String = MIGRATIONS.iter().skip(version as usize - 1).copied().collect();
                let mark = format!("PRAGMA user_version = {SCHEMA};");
                self.connection.execute_batch(&format!("BEGIN; {steps} {mark} COMMIT;")).map_err(&failed)
            }
            (APPLICATION_ID, version) => Err(StoreError::Newer { path: path.clone(), version }),
            (0, 0) if tables == 0 => {
                let marks =
                    format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA};");
                self.connection.execute_batch(&format!("BEGIN; {TABLES} {marks} COMMIT;")).map_err(&failed)
            }
            _ => Err(StoreError::Foreign(path.clone())),
        }
    }

    /// Every phone. Sessions are not among what is stored: their connections ended with the process.
    pub fn load(&self) -> Result<HashMap<Device, Phone>, StoreError> {
        let mut phones = self.rows("SELECT * FROM phone", read_phone)?.into_iter().collect::<HashMap<_, _>>();
        for (device, pin) in self.rows("SELECT * FROM pin ORDER BY device, place", read_pin)? {
            phones.entry(device).and_modify(|phone| phone.pins.push(pin));
        }
        for (device, fetch) in self.rows("SELECT * FROM fetch ORDER BY device, place", read_fetch)? {
            phones.entry(device).and_modify(|phone| phone.fetches.push(fetch));
        }
        for (device, password) in self.rows("SELECT * FROM password", read_password)? {
            phones.entry(device).and_modify(|phone| phone.password = Some(password));
        }
        for (device, issued) in self.rows("SELECT * FROM issued", read_issued)? {
            phones.entry(device).and_modify(|phone| phone.issued = Some(issued));
        }
        Ok(phones)
    }

    /// The enrolment window.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, StoreError> {
        let found = self.rows("SELECT * FROM enrolment", |row| {
            let (opened_ms, until_ms) = (unsigned(row, "opened_ms")?, unsigned(row, "until_ms")?);
            Ok(Enrolment { opened_ms, until_ms, devices_left: row.get("devices_left")? })
        })?;
        Ok(found.into_iter().next())
    }

    /// The stored moments of a phone, the oldest first, by number.
    pub fn moments(&self, device: Device) -> Result<Vec<(u64, Moment)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM moment WHERE device = ? ORDER BY number")
            .map_err(|source| database(&self.path, source))?;
        let rows = statement.query_map([device.to_string()], |row| {
            let moment =
                serde_json::from_str(&row.get::<_, String>("moment")?).map_err(|error| broken(row, error))?;
            Ok((unsigned(row, "number")?, moment))
        });
        rows.and_then(Iterator::collect).map_err(|source| database(&self.path, source))
    }

    /// Stores phones, and the enrolment window if one is given, all or nothing.
    pub fn save(&mut self, phones: &[Saved], enrolment: Option<Option<Enrolment>>) -> Result<(), StoreError> {
        self.transact(|transaction| {
            phones.iter().try_for_each(|saved| write_phone(transaction, saved))?;
            if let Some(enrolment) = enrolment {
                transaction.execute("DELETE FROM enrolment", [])?;
                if let Some(Enrolment { opened_ms, until_ms, devices_left }) = enrolment {
                    let row = params![signed(opened_ms), signed(until_ms), devices_left];
                    transaction.execute("INSERT INTO enrolment VALUES (1, ?, ?, ?)", row)?;
                }
            }
            Ok(())
        })
    }

    /// Forgets phones.
    pub fn delete(&mut self, devices: &[Device]) -> Result<(), StoreError> {
        if devices.is_empty() {
            return Ok(());
        }
        self.transact(|transaction| {
            for device in devices {
                for table in ["phone", "pin", "fetch", "password", "issued", "moment"] {
                    let statement = format!("DELETE FROM {table} WHERE device = ?");
                    transaction.prepare_cached(&statement)?.execute([device.to_string()])?;
                }
            }
            Ok(())
        })
    }

    fn transact(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let run = || {
            let transaction = self.connection.transaction()?;
            work(&transaction)?;
            transaction.commit()
        };
        run().map_err(|source| database(&self.path, source))
    }

    fn rows<T>(
        &self,
        query: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run =
            || self.connection.prepare(query)?.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>();
        run().map_err(|source| database(&self.path, source))
    }
}

fn database(path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Database { path: path.into(), source }
}

fn write_phone(transaction: &Transaction<'_>, saved: &Saved) -> rusqlite::Result<()> {
    let (device, phone) = (saved.device.to_string(), &saved.phone);
    let run = |statement: &str, row: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(statement).and_then(|mut statement| statement.execute(row)).map(drop)
    };
    let held = phone.held.map(|held| (signed(held.generation), signed(held.at_ms))).unzip();
    run(
        "INSERT OR REPLACE INTO phone VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            device,
            name(&phone.admission)?,
            name(&phone.class)?,
            name(&phone.provisioned)?,
            signed(phone.active_ms),
            held.0,
            held.1,
            signed(phone.timeline.next_number())
        ],
    )?;
    for table in ["pin", "fetch", "password", "issued"] {
        run(&format!("DELETE FROM {table} WHERE device = ?"), params![device])?;
    }
    for (place, pin) in (0_i64..).zip(&phone.pins) {
        let sha256 = pin.sha256().map(<[u8; 32]>::as_slice);
        // None is stored as the empty name, which no issuer has.
        let issuer = pin.issuer().unwrap_or_default();
        let der = pin.der().map(AsRef::as_ref);
        let row = params![device, place, pin.serial(), issuer, sha256, name(&pin.origin())?, der];
        run("INSERT INTO pin VALUES (?, ?, ?, ?, ?, ?, ?)", row)?;
    }
    // Where the phone is connected from counts as a place that it has fetched from, once the connection is gone.
    let session = phone.sessions.last().map(|session| (session.source, phone.active_ms));
    let fetches = phone.fetches.iter().map(|fetch| (fetch.source, fetch.at_ms)).chain(session);
    for (place, (source, at_ms)) in (0_i64..).zip(fetches) {
        let row = params![device, place, source.to_string(), signed(at_ms)];
        run("INSERT INTO fetch VALUES (?, ?, ?, ?)", row)?;
    }
    if let Some(password) = &phone.password {
        let (salt, hash) = (password.salt.as_slice(), password.hash.as_slice());
        let row = params![
            device,
            salt,
            hash,
            password.iterations,
            signed(password.expires_ms),
            password.attempts_left
        ];
        run("INSERT INTO password VALUES (?, ?, ?, ?, ?, ?)", row)?;
    }
    if let Some(Issued { sha256, from_ms, until_ms, is_withdrawn }) = phone.issued {
        let row = params![device, sha256, signed(from_ms), signed(until_ms), is_withdrawn];
        run("INSERT INTO issued VALUES (?, ?, ?, ?, ?)", row)?;
    }
    for (number, moment) in &saved.moments {
        let text = serde_json::to_string(moment)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let row = params![device, signed(number % MOMENTS_MAX as u64), signed(*number), text];
        run("INSERT OR REPLACE INTO moment VALUES (?, ?, ?, ?)", row)?;
    }
    Ok(())
}

fn read_phone(row: &Row<'_>) -> rusqlite::Result<(Device, Phone)> {
    let admission: Admission = named(row, "admission")?;
    let class: SecurityClass = named(row, "class")?;
    let timeline = Timeline::after(unsigned(row, "next_moment")?);
    let mut phone = Phone::new(admission, class, timeline, 0, unsigned(row, "active_ms")?);
    phone.provisioned = named::<Stage>(row, "provisioned")?.min(Stage::ConfigurationDelivered);
    if row.get::<_, Option<i64>>("held_generation")?.is_some() {
        let (generation, at_ms) = (unsigned(row, "held_generation")?, unsigned(row, "held_ms")?);
        phone.held = Some(HeldTrustList { generation, at_ms });
    }
    Ok((device(row)?, phone))
}

fn read_pin(row: &Row<'_>) -> rusqlite::Result<(Device, Pin)> {
    let serial: Vec<u8> = row.get("serial")?;
    let issuer: String = row.get("issuer")?;
    let issuer = Some(issuer.as_str()).filter(|issuer| !issuer.is_empty());
    let (sha256, origin) = (row.get("sha256")?, named::<PinOrigin>(row, "origin")?);
    let der: Option<Vec<u8>> = row.get("der")?;
    let der = der.filter(|der| der.len() <= DER_MAX).map(Into::into);
    let pin = Pin::stored(&serial, issuer, sha256, origin, der).map_err(|error| broken(row, error))?;
    Ok((device(row)?, pin))
}

fn read_fetch(row: &Row<'_>) -> rusqlite::Result<(Device, Fetch)> {
    let source: IpAddr = row.get::<_, String>("source")?.parse().map_err(|error| broken(row, error))?;
    Ok((
        device(row)?,
        Fetch { source, at_ms: unsigned(row, "at_ms")?, acknowledged: None, has_configuration: false },
    ))
}

fn read_password(row: &Row<'_>) -> rusqlite::Result<(Device, StoredPassword)> {
    let password = StoredPassword {
        salt: row.get("salt")?,
        hash: row.get("hash")?,
        iterations: row.get("iterations")?,
        expires_ms: unsigned(row, "expires_ms")?,
        attempts_left: row.get("attempts_left")?,
    };
    Ok((device(row)?, password))
}

fn read_issued(row: &Row<'_>) -> rusqlite::Result<(Device, Issued)> {
    let (from_ms, until_ms) = (unsigned(row, "from_ms")?, unsigned(row, "until_ms")?);
    let (sha256, is_withdrawn) = (row.get("sha256")?, row.get("is_withdrawn")?);
    Ok((device(row)?, Issued { sha256, from_ms, until_ms, is_withdrawn }))
}

fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    row.get::<_, String>("device")?.parse().map_err(|error| broken(row, error))
}

/// The name by which a value is stored, the same as everywhere else.
fn name<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}

fn named<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let name: String = row.get(column)?;
    serde_json::from_value(serde_json::Value::String(name)).map_err(|error| broken(row, error))
}

fn broken(_row: &Row<'_>, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

/// SQLite's integers are signed; ours are milliseconds and small numbers.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|value| u64::try_from(value).unwrap_or(0))
}

#[cfg(test)]
impl Store {
    /// Stands for a disk that is full or gone.
    pub fn read_only(&self, on: bool) {
        self.connection.pragma_update(None, "query_only", on).unwrap();
    }
}
