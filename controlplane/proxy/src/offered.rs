//! Reading an offer: what of it can be carried, and under which keys.

use pinhole_admin::{EventKind, SecurityClass};
use pinhole_flow::{MasterKey, Mki, Suite};
use pinhole_sdp::{Direction, SessionDescription, crypto};
use zeroize::Zeroizing;

use crate::DeviceName;
use crate::calls::{Keying, OfferedLine, Profile, Remote, StreamCrypto};
use crate::counters::Counter;
use crate::description::remote_of;
use crate::dialogs::SetId;
use crate::proxy::Proxy;

impl Proxy {
    /// Reads a phone's offer: SRTP, one of its crypto lines is chosen; or plain RTP, of a device whose class allows it,
    /// on a line that is not SRTP already.
    pub(crate) fn lines_of_phone(
        &mut self,
        set: SetId,
        sdp: &SessionDescription,
    ) -> Result<Vec<OfferedLine>, Counter> {
        let mut lines = Vec::new();
        let mut seen: Vec<Suite> = Vec::new();
        for (at, section) in sdp.media().iter().enumerate() {
            let mut line = blank_line(section.proto());
            let media = matches!(section.kind(), "audio" | "video");
            if section.port() != 0 && media && section.is_rtp() {
                line.keying = Some(if section.is_srtp() {
                    let read = section.cryptos();
                    let why = read.iter().find_map(|line| line.as_ref().err()).map(ToString::to_string);
                    let cryptos: Vec<crypto::Attribute> = read.into_iter().flatten().collect();
                    seen.extend(cryptos.iter().filter_map(|line| Suite::from_name(&line.suite)));
                    let Some(chosen) = self.choose(set, at, &cryptos) else {
                        let why = why.unwrap_or_else(|| "none of a configured suite".to_owned());
                        let text = format!("the offer has no crypto line that can be used: {why}");
                        self.call_event(set, EventKind::CallRefused, text);
                        return Err(Counter::OfferWithoutSuite);
                    };
                    Keying::Sdes(chosen)
                } else if self.may_be_clear(set) && self.stream_crypto(set, at).is_none() {
                    Keying::Clear
                } else {
                    return Err(Counter::OfferNotSecure);
                });
                line.carried = true;
                line.mux = section.rtcp_mux();
                line.remote = remote_of(sdp, at, line.mux).ok_or(Counter::OfferMalformed)?;
                line.two_way = sdp.direction_of(at) == Direction::SendRecv && !line.remote.zero;
            } else if section.port() != 0 {
                self.count(Counter::StreamsNotCarried);
            }
            lines.push(line);
        }
        let device = self.sets.get(set).map(|set| set.device.clone());
        if let Some(entry) = device.and_then(|device| self.devices.get_mut(&device))
            && !seen.is_empty()
        {
            seen.sort_unstable();
            seen.dedup();
            entry.offered = seen;
        }
        Ok(lines)
    }

    /// Reads a call manager's offer: plain RTP only, each stream gets one crypto line of ours, or stays as it is where the
    /// device's class has it so.
    pub(crate) fn lines_of_cluster(
        &mut self,
        set: SetId,
        sdp: &SessionDescription,
    ) -> Result<Vec<OfferedLine>, Counter> {
        let mut lines = Vec::new();
        for (at, section) in sdp.media().iter().enumerate() {
            let mut line = blank_line(section.proto());
            let media = matches!(section.kind(), "audio" | "video");
            if section.port() != 0 && media && section.is_rtp() {
                if section.is_srtp() {
                    return Err(Counter::InsideOfferSecure);
                }
                line.carried = true;
                line.remote = remote_of(sdp, at, false).ok_or(Counter::OfferMalformed)?;
                line.two_way = sdp.direction_of(at) == Direction::SendRecv && !line.remote.zero;
                line.keying = Some(if self.may_be_clear(set) && self.stream_crypto(set, at).is_none() {
                    Keying::Clear
                } else {
                    Keying::Sdes(self.own_crypto(set, at))
                });
            } else if section.port() != 0 {
                self.count(Counter::StreamsNotCarried);
            }
            lines.push(line);
        }
        Ok(lines)
    }

    /// Chooses among a phone's crypto lines: the one in use if its key is unchanged, or else the first
    /// of our preference. Our own key stays as long as the phone's does.
    fn choose(&mut self, set: SetId, at: usize, lines: &[crypto::Attribute]) -> Option<StreamCrypto> {
        let current = self.stream_crypto(set, at);
        let readable = |line: &crypto::Attribute| {
            let suite = Suite::from_name(&line.suite)?;
            self.config.suites.contains(&suite).then_some(())?;
            Some((line.tag, suite, key_of(line)?))
        };
        let usable: Vec<(u32, Suite, (MasterKey, Mki))> = lines.iter().filter_map(readable).collect();
        if let Some(current) = current
            && let Some((tag, ..)) =
                usable.iter().find(|(_, suite, key)| *suite == current.suite && Some(*key) == current.phone)
        {
            return Some(StreamCrypto { tag: *tag, ..current });
        }
        let preferred =
            self.config.suites.iter().find_map(|wanted| usable.iter().find(|(_, suite, _)| suite == wanted));
        let (tag, suite, phone) = *preferred?;
        let ours = self.new_key(suite);
        Some(StreamCrypto { tag, suite, phone: Some(phone), ours })
    }

    /// Our crypto line for an offer to a phone: the one in use, or a new one of a suite that the phone
    /// is known or likely to support.
    fn own_crypto(&mut self, set: SetId, at: usize) -> StreamCrypto {
        if let Some(current) = self.stream_crypto(set, at) {
            return current;
        }
        let device = self.sets.get(set).map(|set| set.device.clone());
        let suite = self.suite_for(device.as_ref());
        let ours = self.new_key(suite);
        StreamCrypto { tag: 1, suite, phone: None, ours }
    }

    fn suite_for(&self, device: Option<&DeviceName>) -> Suite {
        let known = device.and_then(|device| self.devices.get(device)).map(|entry| &entry.offered);
        let suites = &self.config.suites;
        // RFC 4568 section 6.2: the suite that everybody has.
        let common = Suite::AesCm128HmacSha1_80;
        known
            .and_then(|known| suites.iter().find(|suite| known.contains(suite)).copied())
            .or(self.config.default_suite)
            .or_else(|| suites.contains(&common).then_some(common))
            .or_else(|| suites.first().copied())
            .unwrap_or(common)
    }

    fn stream_crypto(&self, set: SetId, at: usize) -> Option<StreamCrypto> {
        match self.sets.call(set)?.streams.get(&at).filter(|stream| !stream.tentative)?.keying? {
            Keying::Sdes(crypto) => Some(crypto),
            Keying::Clear => None,
        }
    }

    /// Whether the device of a call may have its media in the clear. Not if it was never here.
    pub(crate) fn may_be_clear(&self, set: SetId) -> bool {
        let device = self.sets.get(set).and_then(|set| self.devices.get(&set.device));
        device.is_some_and(|device| device.class == SecurityClass::Authenticated)
    }

    fn new_key(&mut self, suite: Suite) -> MasterKey {
        let mut bytes = Zeroizing::new(vec![0; suite.key_len() + suite.salt_len()]);
        self.random(&mut bytes);
        MasterKey::new(suite, &bytes).unwrap_or(MasterKey::NONE)
    }
}

fn blank_line(proto: &str) -> OfferedLine {
    OfferedLine {
        carried: false,
        profile: Profile::of(proto),
        remote: Remote { ip: None, rtp: 0, rtcp: 0, zero: false },
        mux: false,
        two_way: false,
        keying: None,
    }
}

/// The key of a crypto line and its MKI.
pub(crate) fn key_of(line: &crypto::Attribute) -> Option<(MasterKey, Mki)> {
    let key = &line.key;
    let mki = key.mki.as_ref().map_or(&[][..], |mki| mki.bytes());
    Some((MasterKey::new(Suite::from_name(&line.suite)?, &key.key_and_salt)?, Mki::new(mki)?))
}
