//! What was counted: every refusal and every limit has a counter of its own.

pinhole_admin::counters! {
    /// A counter of the proxy.
    Counter;

    /// Requests from phones.
    PhoneRequests = "phone_requests",
    /// Responses from phones.
    PhoneResponses = "phone_responses",
    /// Requests from call managers.
    ClusterRequests = "cluster_requests",
    /// Responses from call managers.
    ClusterResponses = "cluster_responses",
    /// Messages dropped: a header that routing needs is absent, broken or given twice.
    MalformedMessages = "malformed_messages",
    /// Messages from inside that did not come from one of the cluster's sources; dropped.
    UnknownSources = "unknown_sources",
    /// Messages on a connection that no device owns; dropped.
    UnknownConnections = "unknown_connections",
    /// Devices that no cluster serves; the connection is closed.
    DevicesWithoutCluster = "devices_without_cluster",
    /// Devices refused because the table of devices is full; the connection is closed.
    DeviceLimit = "device_limit",
    /// Connections that took the place of an older one of the same device.
    PhonesReplaced = "phones_replaced",
    /// REGISTER refused: the address of record is not the device's (403).
    RegisterIdentityRefused = "register_identity_refused",
    /// Other requests refused: the From address is not the device's (403).
    FromIdentityRefused = "from_identity_refused",
    /// REGISTER refused: the Contact claims another device name (403).
    DeviceNameRefused = "device_name_refused",
    /// Asserted or preferred identities removed from a phone's request (RFC 3325 section 5).
    AssertedIdentityRemoved = "asserted_identity_removed",
    /// Registrations that were granted, refreshes included.
    Registrations = "registrations",
    /// Registrations ended by the phone or the call manager.
    Deregistrations = "deregistrations",
    /// Registrations that ran out.
    RegistrationsExpired = "registrations_expired",
    /// REGISTER refused: too many registrations.
    RegistrationLimit = "registration_limit",
    /// Requests refused: too many transactions in all.
    TransactionLimit = "transaction_limit",
    /// Requests refused: too many transactions of one phone.
    PhoneTransactionLimit = "phone_transaction_limit",
    /// Requests refused: too many dialogs in all.
    DialogLimit = "dialog_limit",
    /// Requests refused: too many dialogs of one phone.
    PhoneDialogLimit = "phone_dialog_limit",
    /// INVITE refused: too many calls in all.
    CallLimit = "call_limit",
    /// INVITE refused: too many calls of one phone.
    PhoneCallLimit = "phone_call_limit",
    /// Early dialogs ignored: an INVITE was forked too often.
    ForkLimit = "fork_limit",
    /// Offers refused: more media lines than are looked at.
    MediaLineLimit = "media_line_limit",
    /// Calls refused: no free session slot.
    SlotsExhausted = "slots_exhausted",
    /// Calls refused: no free media port.
    PortsExhausted = "ports_exhausted",
    /// Requests answered 483: Max-Forwards used up.
    TooManyHops = "too_many_hops",
    /// Requests answered 482: the same request came by two ways.
    MergedRequests = "merged_requests",
    /// Requests answered 481: no such dialog or transaction.
    UnknownDialogs = "unknown_dialogs",
    /// Requests from inside answered 404: no such phone.
    UnknownTargets = "unknown_targets",
    /// Requests answered 480: the phone is not connected.
    PhoneAbsent = "phone_absent",
    /// Requests answered 491: an offer is pending.
    OfferPending = "offer_pending",
    /// Responses that match no transaction; dropped.
    StrayResponses = "stray_responses",
    /// ACKs that match no transaction and no dialog; dropped.
    StrayAcks = "stray_acks",
    /// Requests seen again, answered from memory.
    RequestRetransmissions = "request_retransmissions",
    /// 2xx responses to INVITE seen again, acknowledged from memory.
    AnswerRetransmissions = "answer_retransmissions",
    /// Messages that we sent again.
    Retransmitted = "retransmitted",
    /// Offers refused with 488: a phone offered a stream without SRTP.
    OfferNotSecure = "offer_not_secure",
    /// Offers refused with 488: no crypto line of a configured suite.
    OfferWithoutSuite = "offer_without_suite",
    /// Offers refused with 488: no stream that can be carried.
    OfferWithoutMedia = "offer_without_media",
    /// Offers refused with 488: the session description could not be read.
    OfferMalformed = "offer_malformed",
    /// Offers from inside refused with 488: only plain RTP is carried there.
    InsideOfferSecure = "inside_offer_secure",
    /// Calls ended: a phone's answer is without SRTP.
    AnswerNotSecure = "answer_not_secure",
    /// Calls ended: a phone's answer has another tag, suite or key than can be used.
    AnswerCryptoRefused = "answer_crypto_refused",
    /// Calls ended: an answer could not be read.
    AnswerMalformed = "answer_malformed",
    /// Streams of a kind that is not carried; forwarded with port 0.
    StreamsNotCarried = "streams_not_carried",
    /// Requests to a call manager without any answer; 408 to the phone.
    ClusterTimeouts = "cluster_timeouts",
    /// Requests that failed because the connection to the call manager failed; 503 to the phone.
    ClusterFailures = "cluster_failures",
    /// Requests to a phone without any answer; 408 to the call manager.
    PhoneTimeouts = "phone_timeouts",
    /// 2xx responses to INVITE that were never acknowledged; the call is ended.
    AckTimeouts = "ack_timeouts",
    /// Calls that rang for longer than allowed.
    RingTimeouts = "ring_timeouts",
    /// Calls begun.
    CallsStarted = "calls_started",
    /// Calls answered.
    CallsAnswered = "calls_answered",
    /// Calls ended, however.
    CallsEnded = "calls_ended",
    /// Calls taken over from before a restart.
    CallsAdopted = "calls_adopted",
    /// Sessions found after a restart that belong to no call; closed after the grace time.
    SessionsUnclaimed = "sessions_unclaimed",
    /// Sessions found after a restart that cannot be ours: slot or ports out of range or used twice.
    SessionsForeign = "sessions_foreign",
    /// Calls ended because their phone did not come back.
    PhonesLost = "phones_lost",
    /// Calls ended because no media came.
    MediaTimeouts = "media_timeouts",
    /// Calls of some seconds in which no audio came from one side or both.
    CallsSilent = "calls_silent",
    /// Commands that the data plane refused.
    MediaRefused = "media_refused",
    /// Media sessions lost with the data plane that had them: their calls were ended.
    SessionsLost = "sessions_lost",
    /// Media sessions opened.
    SessionsOpened = "sessions_opened",
    /// Media sessions opened with plain RTP outside, for devices of the class *authenticated*.
    SessionsClear = "sessions_clear",
    /// Media sessions closed.
    SessionsClosed = "sessions_closed",
    /// SCCP messages from phones.
    SkinnyPhoneMessages = "skinny_phone_messages",
    /// SCCP messages from call managers.
    SkinnyServerMessages = "skinny_server_messages",
    /// SCCP messages of unknown ids; passed.
    SkinnyUnknownMessages = "skinny_unknown_messages",
    /// SCCP connections refused: no call manager of the device's cluster stands behind the listener.
    SkinnyListenersUnknown = "skinny_listeners_unknown",
    /// SCCP registrations refused: the name is not the certificate's; the connection is closed.
    SkinnyNameRefused = "skinny_name_refused",
    /// SCCP registrations that call managers granted.
    SkinnyRegistrations = "skinny_registrations",
    /// SCCP registrations that call managers refused.
    SkinnyRegistrationsRefused = "skinny_registrations_refused",
    /// SCCP messages dropped: they came before a registration.
    SkinnyUnregistered = "skinny_unregistered",
    /// SCCP messages dropped: a field that is needed is absent or broken.
    SkinnyMalformed = "skinny_malformed",
    /// SCCP messages dropped: about media, from the end that does not send them.
    SkinnyWrongDirection = "skinny_wrong_direction",
    /// SCCP messages dropped: multicast (music on hold, paging), which does not reach outside.
    SkinnyMulticast = "skinny_multicast",
    /// SCCP messages dropped: they carry addresses that cannot be replaced (sessions, QoS, port lists).
    SkinnyNotCarried = "skinny_not_carried",
    /// SCCP acknowledgements of channels that are not open: turned into failures, or dropped if they name none.
    SkinnyStrayChannels = "skinny_stray_channels",
    /// SCCP channels refused: too many of one connection, or calls in all.
    SkinnyStreamLimit = "skinny_stream_limit",
    /// SCCP transmissions refused: media cannot be sent to the address.
    SkinnyUnreachable = "skinny_unreachable",
    /// SCCP channels refused: the call manager's key is for an algorithm that is not known, or it speaks TLS and the block of
    /// its key cannot be read.
    SkinnyKeysUnusable = "skinny_keys_unusable",
    /// SCCP channels refused: inside one way of the call would be keyed and the other in the clear.
    SkinnyKeysMixed = "skinny_keys_mixed",
    /// SCCP channels refused: the call manager's key is to reach the phone, and is that of the other way too.
    SkinnyKeysSame = "skinny_keys_same",
    /// SCCP channels refused: the call manager's key is to reach the phone, which has had it for another channel.
    SkinnyKeysAgain = "skinny_keys_again",
    /// SCCP encryption blocks without a sensible algorithm, of call managers that do not speak TLS: taken for none.
    SkinnyKeysUnreadable = "skinny_keys_unreadable",
    /// Calls that a call manager shows as secure and that SCCP phones were told are not: part of the way is in the clear.
    SkinnyIndicatorCleared = "skinny_indicator_cleared",
    /// SCCP channels that phones could not open.
    SkinnyChannelsFailed = "skinny_channels_failed",
    /// Notes that had to be cut down to essentials.
    NotesShortened = "notes_shortened",
    /// Calls whose note does not fit at all: they will not survive a restart of the control plane.
    NotesTooLong = "notes_too_long",
}

/// The counters' values. They never shrink.
#[derive(Clone, Debug)]
pub struct Counters([u64; Counter::COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Counter::COUNT])
    }
}

impl Counters {
    /// Counts one.
    pub(crate) fn count(&mut self, counter: Counter) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value += 1;
        }
    }

    /// The value of a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Every counter by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Counter::ALL.into_iter().map(|counter| (counter.name(), self.get(counter)))
    }
}
