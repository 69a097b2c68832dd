use std::fmt;
use std::str::FromStr;

use crate::name;
use crate::{FieldError, Method};

/// A CSeq header value: sequence number and method.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number, below 2^31 (RFC 3261 section 8.1.1.5).
    pub number: u32,
    /// The method that the number belongs to.
    pub method: Method,
}

impl FromStr for CSeq {
    type Err = FieldError;

    fn from_str(value: &str) -> Result<Self, FieldError> {
        let mut words = value.split_ascii_whitespace();
        let (Some(number), Some(method), None) = (words.next(), words.next(), words.next()) else {
            return Err(FieldError::malformed(name::CSEQ));
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse::<u32>() {
            Ok(number) if digits && number < 1 << 31 => Ok(Self { number, method: Method::from(method) }),
            _ => Err(FieldError::malformed(name::CSEQ)),
        }
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}
