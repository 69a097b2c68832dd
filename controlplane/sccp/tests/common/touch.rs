//! Every reading and every change that the crate can make of a frame, whatever it is. Used by the fuzz targets too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pinhole_sccp::{
    Encryption, Family, FieldError, Frame, MasterKey, MasterSalt, MediaStatus, SecurityStatus, Server,
};

/// The key and salt that changes set; no frame has them by chance.
pub const KEY: [u8; 16] = *b"sixteen-byte-key";
pub const SALT: [u8; 14] = *b"fourteen-bytes";
pub const V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);

/// A change: the field's name, and what makes it, `None` where the frame is of another kind.
pub type Change = (&'static str, fn(&mut Frame) -> Option<Result<(), FieldError>>);

pub fn encryption() -> Encryption {
    Encryption::new(MasterKey::new(KEY), MasterSalt::new(SALT))
}

pub fn server() -> Server {
    Server { name: b"pinhole.example".to_vec(), port: 2443, address: IpAddr::V4(V4) }
}

#[rustfmt::skip]
pub const CHANGES: &[Change] = &[
    ("conference", |frame| Some(frame.channel_mut()?.set_conference(0xA1A2_A3A4))),
    ("party", |frame| Some(frame.channel_mut()?.set_party(0xA1A2_A3A4))),
    ("call", |frame| Some(frame.channel_mut()?.set_call(0xA1A2_A3A4))),
    ("status", |frame| Some(frame.channel_mut()?.set_status(MediaStatus::OUT_OF_SOCKETS))),
    ("ms", |frame| Some(frame.channel_mut()?.set_packet_ms(30))),
    ("codec", |frame| Some(frame.channel_mut()?.set_codec(4))),
    ("event", |frame| Some(frame.channel_mut()?.set_telephone_event(101))),
    ("family", |frame| Some(frame.channel_mut()?.set_family(Family::V6))),
    ("address", |frame| Some(frame.channel_mut()?.set_address(V4.into()))),
    ("address", |frame| Some(frame.channel_mut()?.set_address(V6.into()))),
    ("port", |frame| Some(frame.channel_mut()?.set_port(40_000))),
    ("rtcp", |frame| Some(frame.channel_mut()?.set_rtcp_port(40_001))),
    ("endpoint", |frame| Some(frame.channel_mut()?.set_endpoint(SocketAddr::from((V4, 40_000))))),
    ("endpoint", |frame| Some(frame.channel_mut()?.set_endpoint(SocketAddr::from((V6, 40_000))))),
    ("encryption", |frame| Some(frame.channel_mut()?.set_encryption(&encryption()))),
    ("encryption", |frame| Some(frame.channel_mut()?.clear_encryption())),
    ("inserted encryption", |frame| Some(frame.channel_mut()?.insert_encryption(&encryption()))),
    ("station address", |frame| Some(frame.registration_mut()?.set_address(V4.into()))),
    ("station address", |frame| Some(frame.registration_mut()?.set_address(V6.into()))),
    ("ipv4", |frame| Some(frame.registration_mut()?.set_ipv4(V4))),
    ("ipv6", |frame| Some(frame.registration_mut()?.set_ipv6(V6))),
    ("features", |frame| Some(frame.registration_mut()?.set_features([1, 2, 3]))),
    ("max streams", |frame| Some(frame.registration_mut()?.set_max_streams(5))),
    ("server 0", |frame| Some(frame.servers_mut()?.set(0, &server()))),
    ("server 4", |frame| Some(frame.servers_mut()?.set(4, &server()))),
    ("server 5", |frame| Some(frame.servers_mut()?.set(5, &server()))),
    ("security", |frame| Some(frame.call_mut()?.set_security(SecurityStatus::NotAuthenticated))),
    ("alarm address", |frame| Some(frame.set_alarm_address(V4))),
    ("data", |frame| Some(frame.user_data_mut()?.set_data(b"<x/>"))),
    ("texts", |frame| Some(frame.rewrite_texts(|text| Some([b"new ", text.bytes].concat())).map(|_| ()))),
    ("texts", |frame| Some(frame.rewrite_texts(|_| Some(b"n".to_vec())).map(|_| ()))),
];

/// Reads everything that there is to read. What it returns is what `Debug` and the errors show.
pub fn read(frame: &Frame) -> String {
    let mut shown =
        format!("{frame:?} {:?} {:?}", frame.id().sender(), frame.id().carries_addresses_unread());
    let mut show = |value: &dyn std::fmt::Debug| shown.push_str(&format!("{value:?}\n"));
    if let Some(channel) = frame.channel() {
        show(&channel);
        show(&(channel.conference(), channel.party(), channel.call(), channel.status(), channel.packet_ms()));
        show(&(channel.codec(), channel.telephone_event(), channel.family(), channel.port_handling()));
        show(&channel.media_type());
        show(&(channel.address(), channel.port(), channel.rtcp_port(), channel.endpoint()));
        show(&channel.encryption());
    }
    if let Some(registration) = frame.registration() {
        show(&(
            registration.device_name(),
            registration.user(),
            registration.instance(),
            registration.ipv4(),
        ));
        show(&(registration.ipv6(), registration.device_type(), registration.max_streams()));
        show(&(registration.active_streams(), registration.protocol(), registration.features()));
    }
    if let Some(servers) = frame.servers() {
        (0..=Server::PLACES).for_each(|place| show(&servers.get(place)));
    }
    if let Some(call) = frame.call() {
        show(&(call.line(), call.reference(), call.kind(), call.state(), call.security()));
    }
    if let Some(data) = frame.user_data() {
        show(&(data.application(), data.line(), data.call(), data.transaction(), data.sequence()));
        show(&data.data().map(<[u8]>::len));
    }
    show(&(frame.register_ack(), frame.reset_kind(), frame.token_wait_s(), frame.unregister_status()));
    show(&(frame.reject_text().map(<[u8]>::len), frame.alarm_severity(), frame.alarm_address()));
    show(&frame.texts().len());
    show(&frame.refusal(MediaStatus::UNKNOWN));
    shown
}

/// Makes every change on a copy of the frame, and hands over what came of each.
pub fn change(frame: &Frame, mut each: impl FnMut(&'static str, &Frame, Result<(), FieldError>)) {
    for (field, make) in CHANGES {
        let mut changed = frame.clone();
        if let Some(result) = make(&mut changed) {
            if let Err(error) = &result {
                assert_eq!(&changed, frame, "{field} failed and changed the frame: {error}");
            }
            assert_eq!((changed.id(), changed.version()), (frame.id(), frame.version()));
            let counted = u32::try_from(changed.as_bytes().len() - 8).unwrap();
            assert_eq!(changed.as_bytes()[..4], counted.to_le_bytes(), "length after {field}");
            each(field, &changed, result);
        }
    }
}
