//! Every reason why a phone did not get what it asked for, or did not come up (asa 1.5, and what the rules here refuse).

use serde::{Deserialize, Serialize};

macro_rules! failures {
    ($($variant:ident = $name:literal: $meaning:literal, $remedy:literal;)+) => {
        /// Why a phone did not get what it asked for, or did not come up. Each has a counter of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Failure { $(#[doc = $meaning] $variant,)+ }

        impl Failure {
            /// Every failure.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = [$($name,)+].len();

            /// The name of its counter.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What has happened.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// What the operator can do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }

            /// The failure whose counter has this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|failure| failure.name() == name)
            }
        }
    };
}

failures! {
    // Names.
    NameEmpty = "name_empty": "A request without a file name.", "Nothing, if it comes from a scanner.";
    NameTooLong = "name_too_long": "A file name longer than 128 bytes.", "Nothing, if it comes from a scanner; no phone asks so.";
    NameControlCharacter = "name_control_character": "A file name with NUL or another control character.", "Nothing; no phone asks so. Watch the source.";
    NameNotAscii = "name_not_ascii": "A file name that is not ASCII.", "Rename the file on the call manager, if a phone is configured to ask for it.";
    NameBackslash = "name_backslash": "A file name with a backslash.", "Nothing; no phone asks so. Watch the source.";
    NameAbsolute = "name_absolute": "A file name that is an absolute path.", "Nothing; no phone asks so. Watch the source.";
    NameParentFolder = "name_parent_folder": "A file name with '..'.", "Nothing; no phone asks so. Watch the source.";
    NameUnknownFolder = "name_unknown_folder": "A file in a folder that is neither a locale nor one of Desktops.", "Move the file to a known folder on the call manager.";
    NameDisguised = "name_disguised": "Nearly the name of a configuration or trust list, as in another case.", "Nothing; no phone asks so. Watch the source.";
    NameUnknown = "name_unknown": "A file of no known kind.", "If a phone needs it, report its name: the list of kinds is in the source.";

    // Rules of the file service.
    UploadRefused = "upload_refused": "Something was sent to us as a file (TFTP write request, HTTP PUT or POST). Nothing is ever learned from an upload.", "Nothing; no phone does so. Watch the source.";
    NotOverHttps = "not_over_https": "Something other than a phone's configuration was asked for on the HTTPS port.", "Nothing; the phone asks again on the HTTP port.";
    UnsignedName = "unsigned_name": "An unsigned file was asked for, though the phone's trust list makes it ask for signed ones.", "The phone has no trust list of ours: erase its old one (menu, or factory reset), then let it start again. For phones that never ask for signed files: unsigned_names = true.";
    DefaultConfigurationRefused = "default_configuration_refused": "XMLDefault.cnf.xml was asked for: the phone has found no configuration of its own.", "Create the phone on the call manager. Look at the phone's time line why its own configuration was refused.";
    CommonTrustListRefused = "common_trust_list_refused": "CTLFile.tlv or ITLFile.tlv was asked for, which belong to no device.", "If a phone never asks under its own name: common_trust_lists = true.";
    ExtendedTrustListRefused = "extended_trust_list_refused": "The extension of an ITL (ext_ITLSEP....tlv) was asked for, which is not made.", "Nothing; the phone goes on without. If it does not: extended_trust_lists = true.";
    EncryptionOff = "encryption_off": "An encrypted configuration was asked for, but encryption is off, or the request came by HTTPS.", "Nothing; the phone asks for the signed one next.";
    CertificateNotSeen = "certificate_not_seen": "A configuration is only given encrypted, or by HTTPS to who shows the phone's certificate, and none was shown.", "Let the phone connect once, or enrol a certificate, with encryption set to when_known.";
    NoCluster = "no_cluster": "No cluster's `devices` pattern matches the device.", "Add the device to a cluster's pattern.";

    // The secure-phone database.
    NotAllowed = "not_allowed": "The device is not on the allow-list, and enrolment is not open.", "If it is yours: pinholectl phone allow SEP..., or open enrolment for a while.";
    EnrolmentFull = "enrolment_full": "Enrolment is open, but as many devices have come as were expected.", "Look who came (pinholectl phones), forget strangers, open enrolment again.";
    DeviceLimit = "device_limit": "The database holds as many devices as it may.", "Forget devices that are gone, or raise provisioning.phones.devices.";
    TrustListMissing = "trust_list_missing": "A configuration was asked for, or a certificate was shown first, by a phone that did not fetch its trust list before.", "The phone holds another trust list, or asked another server: erase its trust list and let it start again. For phones prepared elsewhere: trust_list_first = false.";
    OtherSource = "other_source": "A configuration was asked for from another address than the trust list.", "Usually somebody else asks. If the phone's provider changes its address within minutes: same_source = false.";
    UnknownSource = "unknown_source": "A file of no device was asked for from an address where no phone was seen lately.", "Usually a scanner. A phone asks for its trust list first.";
    CertificateOfOtherDevice = "certificate_of_other_device": "The certificate shown names another device than the request.", "Somebody tries to be another phone: look for the device in the certificate.";
    PinMismatch = "pin_mismatch": "The certificate is not the one that this device is known by.", "If the phone was replaced or got a new certificate: pinholectl phone forget SEP..., then allow it again.";
    FirstUseRefused = "first_use_refused": "No certificate is pinned for the device, and pinning at first use is off.", "Pin its serial number: pinholectl phone pin SEP...";
    NotAuthenticated = "not_authenticated": "A registration or keep-alive of a device whose session is not, or no longer, authenticated.", "Nothing; the phone connects again. If it repeats, idle_timeout_s is shorter than the phone's keep-alive.";
    ClassRefused = "class_refused": "A device of the class authenticated, whose media is in the clear, in a cluster that does not allow it.", "Give it the other class: pinholectl phone allow SEP... --class encrypted. Or set authenticated_devices = \"allow\" of the cluster.";
    PasswordMissing = "password_missing": "A one-time password was tried, but none is set for the device.", "Set one: pinholectl phone enrol SEP...";
    PasswordExpired = "password_expired": "The one-time password has expired.", "Set a new one: pinholectl phone enrol SEP...";
    PasswordWrong = "password_wrong": "A wrong one-time password.", "Compare what was typed on the phone; a few more tries are left.";
    PasswordExhausted = "password_exhausted": "Too many wrong one-time passwords; it is void.", "Set a new one, and look where the tries came from.";
    StoreFailed = "store_failed": "The database could not be written, so the request was refused.", "Look for space and permissions of the database's folder; the log has the error.";

    // Upstream and what it gives.
    UpstreamSilent = "upstream_silent": "The call manager's file server does not answer.", "Look whether TFTP or HTTP of the call manager is reached from here, and its Cisco Tftp service.";
    UpstreamError = "upstream_error": "The call manager's file server answers with an error.", "The log has its text.";
    FileNotFound = "file_not_found": "The call manager has no such file.", "For a configuration: create the phone on the call manager. For others: install the locale or firmware.";
    ConfigurationParse = "configuration_parse": "The configuration is not XML as it is read here.", "The log has the line. Save the phone again on the call manager.";
    ConfigurationUnmapped = "configuration_unmapped": "No call manager of the configuration has an outside address.", "Add it: [[cluster.rewrite.call_manager]]; the log has its name.";
    ConfigurationNoCallManager = "configuration_no_call_manager": "The configuration names no call manager at all.", "Look at the phone's device pool on the call manager.";
    ConfigurationEncrypted = "configuration_encrypted": "The call manager gives this configuration only encrypted, so it cannot be rewritten.", "Turn TFTP encryption off in the phone's security profile; we encrypt outside.";
    ConfigurationDns = "configuration_dns": "The configuration gives its call managers by host name, and none of these names has an outside address. No name is resolved here.", "Add it: [[cluster.rewrite.call_manager]], its inside as the configuration writes the name; the log has it.";
    FileParse = "file_parse": "A file other than a configuration is not what its name says, or too large.", "Look at the file on the call manager.";
    SigningFailed = "signing_failed": "A file could not be signed or encrypted.", "Look at the authority: pinholectl trust show. The log has the error.";
    TrustListUnavailable = "trust_list_unavailable": "The phone cannot have its trust list, since none is made.", "Create the authority (pinholectl trust create), or import the SAST's key that is in escrow (pinholectl trust show).";

    // Reported by TFTP and HTTP.
    TftpAuthentication = "tftp_authentication": "The phone refuses what it was sent: it trusts another list.", "Erase the phone's trust list (menu, or factory reset), then let it start again.";
    PhoneSilent = "phone_silent": "The phone fell silent while a file was sent to it.", "Often a router that drops TFTP from a new port: try single-port replies, or HTTP.";
    TrustListUndelivered = "trust_list_undelivered": "A trust list was sent, but not to its end.", "As phone_silent; also look for a firewall that stops TFTP.";
    RateLimited = "rate_limited": "A source asked more often than it may.", "Nothing, if it comes from a scanner; else raise the limits.";
    TransferLimit = "transfer_limit": "More transfers at once than are allowed.", "Raise the limit, or wait: phones ask again.";

    // Reported by the TLS listeners and signalling.
    HandshakeFailed = "handshake_failed": "A TLS handshake failed.", "The log has the alert. Old phones need the legacy listener.";
    CertificateUnknownCa = "certificate_unknown_ca": "A certificate of no known authority.", "Import the authority that has signed the phone's MIC or LSC.";
    CertificateExpired = "certificate_expired": "A certificate that has expired.", "Enrol an LSC, or accept expired MICs of pinned serial numbers.";
    CertificateNotYetValid = "certificate_not_yet_valid": "A certificate that is not valid yet.", "Look at the clock of this machine.";
    CertificateRevoked = "certificate_revoked": "A certificate that is revoked.", "Look why it was revoked; enrol the phone again.";
    CertificateCrlOverdue = "certificate_crl_overdue": "A certificate whose authority's revocation list is overdue, with crl_overdue set to refuse.", "Put a newer list in its place, and reload.";
    CertificateWeak = "certificate_weak": "A certificate with an SHA-1 signature or a short key, its own or of an authority above it.", "Enrol an LSC, or set legacy = true for the authority of such old phones.";
    CertificateConstraints = "certificate_constraints": "A certificate that is not for what it was used for: an authority that is none, or a phone's that is not for TLS clients.", "The log says which, and what it says of itself.";
    CertificateChainTooLong = "certificate_chain_too_long": "A certificate that comes with more certificates, or has more authorities above it, than are looked at.", "Nothing, if it is a stranger; no phone's has so many.";
    CertificateName = "certificate_name": "A certificate that names no device, or none that its authority may name.", "If it is a phone's, add the pattern of its common name to the authority's names.";
    CertificateOtherCluster = "certificate_other_cluster": "A certificate of an authority that does not count for the device's cluster.", "Add the cluster to the authority's clusters, if it is to count there.";
    CertificateInvalid = "certificate_invalid": "A certificate that cannot be used: its form or its signature.", "The log says what is wrong with it.";
    KeyNotHeld = "key_not_held": "Who showed a certificate has not proven to hold its key.", "Somebody tries to be another phone, or the phone is broken.";
    RegistrationFailed = "registration_failed": "The phone is authenticated but does not register.", "Look at the call manager's answer: pinholectl events.";
    MediaAddress = "media_address": "A call in which nothing came to the media addresses of the appliance, from neither side.", "Look at the data-plane ports' media_address, at the routes to them, and at firewalls before them: pinholectl counters dataplane, pinholectl workers.";
    NoAudio = "no_audio": "A call without packets from one side.", "pinholectl phone show SEP... says from which; look at routes and translation there.";

    // Reported by enrolment and trust verification.
    EnrolmentMalformed = "enrolment_malformed": "What came to the port of enrolment or trust verification is not what is spoken there.", "Nothing, if it comes from a scanner; else report the phone's model and firmware. The log says what was wrong.";
    EnrolmentUnproved = "enrolment_unproved": "A phone wants a certificate, but shows neither a password nor a signed certificate.", "Set capf_auth_mode to what the phone can do, and a password: pinholectl phone enrol SEP...";
    EnrolmentForged = "enrolment_forged": "A signature by which a phone proves its certificate is wrong, or made in another session.", "Somebody may try to be the phone: look where it came from. If it is the phone itself, report its model and firmware.";
    EnrolmentNotFresh = "enrolment_not_fresh": "A phone's proof has no part that was made for this session, so it could be a repetition.", "Use a one-time password: pinholectl phone enrol SEP... For phones that cannot do better: fresh_proof = false.";
    EnrolmentKey = "enrolment_key": "The key that a phone has made is too short, or of a kind that gets no certificate.", "For old phones that can do no more: rsa_bits_min = 1024. The log says what was wrong.";
    EnrolmentPhone = "enrolment_phone": "A phone could not make a key, or not store or delete a certificate.", "Ask for another kind of key (provisioning.capf.key), restart the phone, try again.";
    EnrolmentSilent = "enrolment_silent": "A phone fell silent during enrolment, or took too long.", "Try again with a new password. If it is an old phone that makes long keys: raise provisioning.capf.timeout_s.";
    EnrolmentLimit = "enrolment_limit": "More connections for enrolment or trust verification than are allowed, of one address or of all.", "Nothing, if it comes from a scanner; else raise the limits. Phones come again.";
    IssueFailed = "issue_failed": "A certificate could not be issued.", "Look at the authority: pinholectl trust show. The log has the error.";

    // Reported by the authority.
    SastNotEscrowed = "sast_not_escrowed": "The second SAST has not been taken into escrow: losing this machine would strand every phone.", "Export the one that does not sign (pinholectl trust show says which): pinholectl trust export sast-b --out FILE; then pinholectl trust remove sast-b.";
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn every_failure_stands_in_the_documentation() {
        let documentation = include_str!("../../../docs/provisioning.md");
        for failure in Failure::ALL {
            let row = format!("| `{}` | {} | {} |", failure.name(), failure.meaning(), failure.remedy());
            assert!(documentation.contains(&row), "{row}");
        }
    }
}
