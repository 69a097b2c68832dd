//! Header field names and their compact forms (RFC 3261 section 7.3.3 and the IANA registry).

/// `Accept`
pub const ACCEPT: &str = "Accept";
/// `Allow`
pub const ALLOW: &str = "Allow";
/// `Authorization`
pub const AUTHORIZATION: &str = "Authorization";
/// `Call-ID`, compact `i`
pub const CALL_ID: &str = "Call-ID";
/// `Call-Info`
pub const CALL_INFO: &str = "Call-Info";
/// `Contact`, compact `m`
pub const CONTACT: &str = "Contact";
/// `Content-Disposition`
pub const CONTENT_DISPOSITION: &str = "Content-Disposition";
/// `Content-Encoding`, compact `e`
pub const CONTENT_ENCODING: &str = "Content-Encoding";
/// `Content-Length`, compact `l`
pub const CONTENT_LENGTH: &str = "Content-Length";
/// `Content-Type`, compact `c`
pub const CONTENT_TYPE: &str = "Content-Type";
/// `CSeq`
pub const CSEQ: &str = "CSeq";
/// `Event`, compact `o`
pub const EVENT: &str = "Event";
/// `Expires`
pub const EXPIRES: &str = "Expires";
/// `From`, compact `f`
pub const FROM: &str = "From";
/// `Max-Forwards`
pub const MAX_FORWARDS: &str = "Max-Forwards";
/// `P-Asserted-Identity` (RFC 3325)
pub const P_ASSERTED_IDENTITY: &str = "P-Asserted-Identity";
/// `P-Preferred-Identity` (RFC 3325)
pub const P_PREFERRED_IDENTITY: &str = "P-Preferred-Identity";
/// `Path` (RFC 3327)
pub const PATH: &str = "Path";
/// `RAck` (RFC 3262)
pub const RACK: &str = "RAck";
/// `Reason` (RFC 3326)
pub const REASON: &str = "Reason";
/// `Record-Route`
pub const RECORD_ROUTE: &str = "Record-Route";
/// `Referred-By`, compact `b`
pub const REFERRED_BY: &str = "Referred-By";
/// `Refer-To`, compact `r`
pub const REFER_TO: &str = "Refer-To";
/// `Remote-Party-ID`
pub const REMOTE_PARTY_ID: &str = "Remote-Party-ID";
/// `Require`
pub const REQUIRE: &str = "Require";
/// `Retry-After`
pub const RETRY_AFTER: &str = "Retry-After";
/// `Route`
pub const ROUTE: &str = "Route";
/// `RSeq` (RFC 3262)
pub const RSEQ: &str = "RSeq";
/// `Server`
pub const SERVER: &str = "Server";
/// `Service-Route` (RFC 3608)
pub const SERVICE_ROUTE: &str = "Service-Route";
/// `Subscription-State`
pub const SUBSCRIPTION_STATE: &str = "Subscription-State";
/// `Supported`, compact `k`
pub const SUPPORTED: &str = "Supported";
/// `To`, compact `t`
pub const TO: &str = "To";
/// `Via`, compact `v`
pub const VIA: &str = "Via";
/// `Warning`
pub const WARNING: &str = "Warning";

/// The long form of a compact name; any other name as it is.
pub fn long_form(name: &str) -> &str {
    let [letter] = name.as_bytes() else { return name };
    match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => REFERRED_BY,
        b'c' => CONTENT_TYPE,
        b'd' => "Request-Disposition",
        b'e' => CONTENT_ENCODING,
        b'f' => FROM,
        b'i' => CALL_ID,
        b'j' => "Reject-Contact",
        b'k' => SUPPORTED,
        b'l' => CONTENT_LENGTH,
        b'm' => CONTACT,
        b'n' => "Identity-Info",
        b'o' => EVENT,
        b'r' => REFER_TO,
        b's' => "Subject",
        b't' => TO,
        b'u' => "Allow-Events",
        b'v' => VIA,
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => name,
    }
}

/// Whether two header names mean the same field, in long or compact form, without regard to case.
pub fn same(a: &str, b: &str) -> bool {
    long_form(a).eq_ignore_ascii_case(long_form(b))
}
