//! What the appliance's keys are for, and what their certificates say.

use std::net::Ipv4Addr;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use crate::{Function, Identity};

