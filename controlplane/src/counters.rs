//! What the process itself counts. Each shard has its own block, so that counting costs nothing;
//! readers sum. Values never shrink while the process lives.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $group:literal, $name:literal;)+) => {
        /// A counter of the process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// Every counter.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = [$($name,)+].len();
            /// Group and name, as shown to operators.
            pub const fn name(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($group, $name),)+ }
            }
        }
    };
}

counters! {
    /// TCP connections accepted on the phones' listener.
    Accepted = "tls", "accepted";
    /// Handshakes that led to a device name.
    HandshakesDone = "tls", "handshakes_done";
    /// Refused: no client certificate.
    NoCertificate = "tls", "refused_no_certificate";
    /// Refused: certificate of an unknown authority.
    UnknownCa = "tls", "refused_unknown_ca";
    /// Refused: certificate expired.
    Expired = "tls", "refused_expired";
    /// Refused: certificate not valid yet.
    NotYetValid = "tls", "refused_not_yet_valid";
    /// Refused: certificate revoked.
    Revoked = "tls", "refused_revoked";
    /// Refused: the revocation list is overdue (`identity.crl_overdue`).
    CrlOverdue = "tls", "refused_crl_overdue";
    /// Accepted, though the revocation list is overdue.
    CrlOverdueAccepted = "tls", "crl_overdue";
    /// Accepted, though expired, since it is pinned.
    ExpiredAccepted = "tls", "expired_accepted";
    /// Refused: SHA-1 signature or short key.
    Weak = "tls", "refused_weak";
    /// Refused: a certificate of the chain is not for what it is used for.
    Constraints = "tls", "refused_constraints";
    /// Refused: too many certificates.
    ChainTooLong = "tls", "refused_chain_too_long";
    /// Refused: the authority does not count for the device's cluster.
    OtherCluster = "tls", "refused_other_cluster";
    /// Refused: certificate broken or forged.
    BadCertificate = "tls", "refused_bad_certificate";
    /// Refused: the phone does not hold the certificate's key.
    NotHolder = "tls", "refused_not_holder";
    /// Refused by the secure-phone database.
    NotAdmitted = "tls", "refused_by_database";
    /// The phone refused our certificate.
    RefusedUs = "tls", "refused_by_phone";
    /// Refused: no common TLS version or suite, or not TLS.
    TlsProtocol = "tls", "refused_protocol";
    /// Refused: handshake not finished in time.
    HandshakeTimeout = "tls", "refused_timeout";
    /// The peer went away during the handshake.
    HandshakeClosed = "tls", "closed_in_handshake";
    /// Refused: the certificate names no device.
    NoDeviceName = "tls", "refused_device_name";
    /// Times that connections began to wait for handshakes in progress (`limits.handshakes`).
    HandshakeLimit = "tls", "limit_handshakes";
    /// Handshakes ended by us for those of other addresses: theirs had most of `limits.handshakes`.
    HandshakeGaveWay = "tls", "handshakes_gave_way";
    /// Refused: too many wait for a handshake to begin, most of them of the same address.
    WaitingLimit = "tls", "limit_waiting";
    /// Refused: too many connections (`limits.connections`).
    ConnectionLimit = "tls", "limit_connections";
    /// Connections handed to their home shard.
    HandedOver = "tls", "handed_over";
    /// Connections closed by us since the secure-phone database knows their session no longer.
    SessionOver = "tls", "session_over";
    /// Accepting failed (no file descriptor or memory left).
    AcceptFailed = "tls", "accept_failed";
    /// Connections closed by us because of a TLS error after the handshake.
    TlsBroken = "tls", "broken_after_handshake";
    /// Refused: the cipher hides nothing, and the device's class is not authenticated.
    NullCipher = "legacy_tls", "refused_null_cipher";
    /// Refused: a device that may not come by old TLS (`legacy_tls.devices`).
    NoOldPhone = "legacy_tls", "refused_device";
    /// Refused: too many connections of one address, or too often.
    OldSourceLimit = "legacy_tls", "limit_source";
    /// Messages longer than `limits.message_bytes`; the connection is closed.
    MessageLimit = "sip", "limit_message_bytes";
    /// Connections closed because a message was not finished in time (`limits.message_timeout_s`).
    MessageTimeout = "sip", "message_timeout";
    /// Messages that cannot be parsed; a connection is closed, a datagram dropped.
    Malformed = "sip", "malformed";
    /// Connections closed because their peer does not read (`limits.write_buffer_bytes`).
    WriteLimit = "sip", "limit_write_buffer";
    /// CRLF keep-alives answered.
    KeepAlives = "sip", "keep_alives";
    /// Messages for a phone whose connection is gone.
    PhoneGone = "sip", "phone_gone";
    /// Connections closed because what came was no SCCP, or not as it is known.
    SkinnyMalformed = "sccp", "malformed";
    /// Connections made to call managers for SCCP phones.
    SkinnyConnected = "sccp", "connected";
    /// Connections to call managers for SCCP phones that failed.
    SkinnyFailed = "sccp", "connect_failed";
    /// Frames for a call manager whose connection is gone.
    SkinnyServerGone = "sccp", "server_gone";
    /// Datagrams from the inside.
    InsideDatagrams = "inside", "datagrams";
    /// Datagrams or connections from an address that is not a source of the cluster.
    InsideUnknownSource = "inside", "unknown_source";
    /// Datagrams that could not be sent.
    InsideSendFailed = "inside", "send_failed";
    /// Connections made to call managers.
    UpstreamConnected = "inside", "upstream_connected";
    /// Connections to call managers that failed.
    UpstreamFailed = "inside", "upstream_failed";
    /// Not tried: the call manager failed a moment ago.
    UpstreamBackoff = "inside", "upstream_backoff";
    /// Connections accepted from call managers.
    UpstreamAccepted = "inside", "upstream_accepted";
    /// Refused: too many connections on the inside.
    UpstreamLimit = "inside", "limit_upstreams";
    /// Commands given to the data plane.
    CommandsSent = "media", "commands_sent";
    /// Commands acknowledged.
    CommandsDone = "media", "commands_done";
    /// Commands refused by the data plane.
    CommandsRefused = "media", "commands_refused";
    /// Commands that had to wait because the ring was full.
    CommandsQueued = "media", "commands_queued";
    /// Opens refused because the data plane is not attached or far behind.
    NoDataPlane = "media", "refused_no_data_plane";
    /// Times the data plane was attached.
    Attached = "media", "attached";
    /// Times the data plane was lost.
    Detached = "media", "detached";
    /// Open slots after an attach that nobody knows; closed.
    OrphansClosed = "media", "orphans_closed";
    /// Notes that could not be written.
    NotesFailed = "media", "notes_failed";
}

/// The values of one shard.
#[derive(Clone, Debug)]
pub struct Counters([u64; Counter::COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Counter::COUNT])
    }
}

impl Counters {
    /// Counts one.
    pub fn count(&mut self, counter: Counter) {
        self.count_many(counter, 1);
    }

    /// Counts so many.
    pub fn count_many(&mut self, counter: Counter, count: u32) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value += u64::from(count);
        }
    }

    /// The value of a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Adds every value to `to`.
    pub fn add_to(&self, to: &mut pinhole_admin::Counters) {
        for counter in Counter::ALL {
            let (group, name) = counter.name();
            to.add(group, name, self.get(counter));
        }
    }
}

#[cfg(test)]
mod tests {
    use pinhole_flow::DropCause;

    use super::Counter;

    #[test]
    fn every_counter_stands_in_the_documentation() {
        let documentation = include_str!("../../docs/counters.md");
        let own = Counter::ALL.map(|counter| counter.name().1);
        let proxy = pinhole_proxy::Counter::ALL.map(pinhole_proxy::Counter::name);
        let provisioning = pinhole_provisioning::Counter::ALL.map(pinhole_provisioning::Counter::name);
        let drops = DropCause::ALL.map(DropCause::name);
        let all = own.iter().chain(&proxy).chain(&provisioning).chain(&drops);
        for name in all {
            assert!(documentation.contains(&format!("| `{name}` |")), "{name} is missing");
        }
    }
}
