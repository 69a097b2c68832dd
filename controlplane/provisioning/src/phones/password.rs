//! One-time passwords for certificate enrolment.

use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkcs5::pbkdf2_hmac;

/// Wrong attempts before a password is void.
pub const ATTEMPTS_MAX: u32 = 5;
/// Shortest and longest password in bytes: phones have room for few digits only.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 4..=64;
/// A guess costs some tens of milliseconds; only devices with a password set can make us spend them, at most
/// [`ATTEMPTS_MAX`] times.
const ITERATIONS: u32 = 100_000;

/// A password's hash.
#[derive(Clone)]
pub(super) struct StoredPassword {
    pub salt: [u8; 16],
    pub hash: [u8; 32],
    pub iterations: u32,
    pub expires_ms: u64,
    pub attempts_left: u32,
}

impl StoredPassword {
    /// The hash of a password; `None` if the library fails, which it only does without memory.
    pub fn new(password: &str, salt: [u8; 16], expires_ms: u64) -> Option<Self> {
        let hash = derive(password.as_bytes(), &salt, ITERATIONS)?;
        Some(Self { salt, hash, iterations: ITERATIONS, expires_ms, attempts_left: ATTEMPTS_MAX })
    }

    /// Compares in constant time.
    pub fn is(&self, attempt: &[u8]) -> bool {
        PASSWORD_BYTES.contains(&attempt.len())
            && derive(attempt, &self.salt, self.iterations).is_some_and(|hash| memcmp::eq(&hash, &self.hash))
    }

    /// Whether both are of one setting, since each has a salt of its own.
    pub fn is_same_setting(&self, other: &Self) -> bool {
        self.salt == other.salt && self.hash == other.hash
    }
}

fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let iterations = usize::try_from(iterations).ok()?;
    pbkdf2_hmac(password, salt, iterations, MessageDigest::sha256(), &mut hash).ok()?;
    Some(hash)
}

impl std::fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("StoredPassword");
        shown
            .field("expires_ms", &self.expires_ms)
            .field("attempts_left", &self.attempts_left)
            .finish_non_exhaustive()
    }
}
