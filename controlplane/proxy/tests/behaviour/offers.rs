//! Offer and answer: hold, delayed offer, early media, UPDATE, several lines, keys.

use pinhole_flow::{Command, CommandKind, LegFlags, Suite};
use pinhole_proxy::Counter;
use pinhole_sip::{Message, name};

use crate::stage::*;

/// A re-INVITE of the phone with this description; returns what the call manager saw.
fn reinvite(stage: &mut Stage, cseq: &str, body: &str) -> Message {
    let invite = stage.in_dialog(
        "TLS",
        "INVITE",
        "sip:x@203.0.113.5",
        cseq,
        &["Contact: <sip:1001@192.168.77.11:5061;transport=tls>"],
        body,
    );
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(100));
    stage.at_cm()
}

fn accept(stage: &mut Stage, request: &Message, body: &str) -> Message {
    let mut ok = reply(request, 200, "OK", "cmtag", body);
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    stage.cm_sends(ok);
    let response = stage.at_phone();
    let cseq = format!("{} ACK", response.cseq().unwrap().number);
    let ack = stage.in_dialog("TLS", "ACK", "sip:x@203.0.113.5", &cseq, &[], "");
    stage.phone_sends(1, ack);
    stage.at_cm();
    response
}

fn updates(stage: &Stage) -> Vec<Command> {
    stage.commands_of(CommandKind::Update)
}

#[test]
fn hold_and_resume_keep_session_and_keys_and_tell_the_data_plane_of_each() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let before = stage.commands_of(CommandKind::Open)[0].session;
    for (cseq, direction, answer) in
        [("2 INVITE", "sendonly", "recvonly"), ("3 INVITE", "sendrecv", "sendrecv")]
    {
        let offer = offer_outside(KEY_A).replace("sendrecv", direction);
        let request = reinvite(&mut stage, cseq, &offer);
        assert_eq!(sdp_line(&request, "a=send"), format!("a={direction}"));
        let response = accept(&mut stage, &request, &format!("{}a={answer}\r\n", answer_inside()));
        assert!(body(&response).contains(&format!("a={answer}")));
        let state = stage.proxy.calls(stage.now)[0].state;
        assert_eq!(state == pinhole_admin::CallState::Held, direction == "sendonly");
    }
    // Nothing changes, but the phone may begin its numbers anew now.
    assert_eq!(updates(&stage).len(), 2);
    assert!(updates(&stage).iter().all(|update| update.session == before));
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
}

#[test]
fn one_answer_in_several_responses_is_told_to_the_data_plane_once() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let request = reinvite(&mut stage, "2 INVITE", &offer_outside(KEY_A));
    for _ in 0..3 {
        stage.cm_sends(reply(&request, 183, "Session Progress", "cmtag", &answer_inside()));
        assert_eq!(stage.at_phone().code(), Some(183));
    }
    accept(&mut stage, &request, &answer_inside());
    assert_eq!(updates(&stage).len(), 1);
}

#[test]
fn old_style_hold_keeps_the_zero_address() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let offer = offer_outside(KEY_A).replace("c=IN IP4 192.168.77.11", "c=IN IP4 0.0.0.0");
    let request = reinvite(&mut stage, "2 INVITE", &offer);
    assert_eq!(sdp_line(&request, "c="), "c=IN IP4 0.0.0.0");
    let response = accept(&mut stage, &request, &answer_inside());
    assert_eq!(sdp_line(&response, "c="), "c=IN IP4 203.0.113.5");
    assert_eq!(stage.proxy.calls(stage.now)[0].state, pinhole_admin::CallState::Held);
}

#[test]
fn hold_from_inside_stops_media_to_it() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let body = offer_inside().replace("c=IN IP4 10.20.0.20", "c=IN IP4 0.0.0.0");
    let invite = stage.in_dialog("UDP", "INVITE", "sip:x@10.20.0.5", "7 INVITE", &[], &body);
    stage.cm_sends(invite);
    assert_eq!(stage.at_cm().code(), Some(100));
    let request = stage.at_phone();
    let crypto = sdp_line(&request, "a=crypto:");
    // The same key as in the first answer, under the same tag.
    assert_eq!(tag_and_suite(&crypto).0, "2");
    stage.phone_sends(
        1,
        reply(&request, 200, "OK", "phtag", &answer_outside("2", "AES_CM_128_HMAC_SHA1_80", KEY_A)),
    );
    stage.at_cm();
    let updates = updates(&stage);
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].session.legs[1].remote_rtp, 0);
    assert_eq!(updates[0].session.legs[0].outbound, stage.commands[0].session.legs[0].outbound);
}

#[test]
fn new_key_of_the_phone_brings_a_new_key_of_ours() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let request = reinvite(&mut stage, "2 INVITE", &offer_outside(KEY_B));
    accept(&mut stage, &request, &answer_inside());
    let (old, new) = (stage.commands[0].session.legs[0], updates(&stage)[0].session.legs[0]);
    assert_ne!(old.inbound, new.inbound);
    assert_ne!(old.outbound, new.outbound);
    assert_eq!((old.local_rtp, old.local_rtcp), (new.local_rtp, new.local_rtcp));
}

#[test]
fn refused_reinvite_changes_nothing() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let video = "m=video 30002 RTP/SAVP 96\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 ";
    let offer = format!("{}{video}{KEY_B}\r\n", offer_outside(KEY_B));
    let request = reinvite(&mut stage, "2 INVITE", &offer);
    assert_eq!(stage.proxy.ports().in_use, 4);
    stage.cm_sends(reply(&request, 488, "Not Acceptable Here", "cmtag", ""));
    assert_eq!(stage.at_phone().code(), Some(488));
    stage.at_cm();
    assert_eq!(stage.proxy.ports().in_use, 2);
    assert_eq!(stage.commands.len(), 1);
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
    // The next offer is not in the way of the one refused.
    let request = reinvite(&mut stage, "3 INVITE", &offer_outside(KEY_A));
    accept(&mut stage, &request, &answer_inside());
}

#[test]
fn delayed_offer_of_the_phones_call_is_answered_in_ack() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", "");
    stage.phone_sends(1, invite);
    stage.at_phone();
    let request = stage.at_cm();
    let mut ok = reply(&request, 200, "OK", "cmtag", &offer_inside());
    ok.push(name::CONTACT, "<sip:2001@10.20.0.20:5060>");
    stage.cm_sends(ok);
    let response = stage.at_phone();
    assert_eq!(sdp_line(&response, "m=audio"), "m=audio 16384 RTP/SAVP 0 101");
    let crypto = sdp_line(&response, "a=crypto:");
    let (tag, suite) = tag_and_suite(&crypto);
    assert!(stage.commands.is_empty());
    let answer = answer_outside(tag, suite, KEY_A);
    let ack = stage.in_dialog("TLS", "ACK", "sip:x@203.0.113.5", "1 ACK", &[], &answer);
    stage.phone_sends(1, ack);
    assert_eq!(sdp_line(&stage.at_cm(), "m=audio"), "m=audio 20000 RTP/AVP 0");
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
    assert!(!stage.notes.is_empty());
}

#[test]
fn delayed_offer_of_the_call_managers_call() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_cm("call-1", "");
    stage.cm_sends(invite);
    stage.at_cm();
    let request = stage.at_phone();
    assert!(request.body.is_empty());
    let mut ok = reply(&request, 200, "OK", "phtag", &offer_outside(KEY_A));
    ok.push(name::CONTACT, "<sip:1001@192.168.77.11>");
    stage.phone_sends(1, ok);
    let response = stage.at_cm();
    assert_eq!(sdp_line(&response, "m=audio"), "m=audio 20000 RTP/AVP 0 101");
    let ack = stage.in_dialog("UDP", "ACK", "sip:x@10.20.0.5", "1 ACK", &[], &answer_inside());
    stage.cm_sends(ack);
    let ack = stage.at_phone();
    assert_eq!(tag_and_suite(&sdp_line(&ack, "a=crypto:")), ("2", "AES_CM_128_HMAC_SHA1_80"));
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
}

#[test]
fn early_media_opens_the_session_and_the_answer_may_change_it() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_cm(&offer_outside(KEY_A));
    stage.cm_sends(reply(&request, 183, "Session Progress", "cmtag", &answer_inside()));
    let early = sdp_line(&stage.at_phone(), "a=crypto:");
    assert_eq!(stage.commands_of(CommandKind::Open).len(), 1);
    let answer = answer_inside().replace("40000", "41000");
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer));
    assert_eq!(sdp_line(&stage.at_phone(), "a=crypto:"), early);
    assert_eq!(updates(&stage)[0].session.legs[1].remote_rtp, 41000);
}

#[test]
fn latest_answer_of_early_forks_wins_until_one_is_taken() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_cm(&offer_outside(KEY_A));
    let mut cryptos = Vec::new();
    for (tag, port, code) in [("one", "41000", 183), ("two", "42000", 183), ("one", "41000", 200)] {
        let mut response = reply(&request, code, "", tag, &answer_inside().replace("40000", port));
        response.push(name::CONTACT, &format!("<sip:{tag}@10.20.0.20>"));
        stage.cm_sends(response);
        let response = stage.at_phone();
        assert_eq!(response.to_tag().as_deref(), Some(tag));
        cryptos.push(sdp_line(&response, "a=crypto:"));
    }
    assert!(cryptos.windows(2).all(|pair| pair[0] == pair[1]));
    let remotes: Vec<u16> = stage.commands.iter().map(|command| command.session.legs[1].remote_rtp).collect();
    assert_eq!(remotes, [41000, 42000, 41000]);
    // Another fork answers as well: the phone is told, its media stays with the first.
    stage.cm_sends(reply(&request, 200, "OK", "two", &answer_inside().replace("40000", "42000")));
    assert_eq!(stage.at_phone().to_tag().as_deref(), Some("two"));
    assert_eq!(stage.commands.len(), 3);
}

#[test]
fn prack_and_update_pass_in_the_early_dialog() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let request = stage.ring_phone();
    let answer = answer_outside("1", "AES_CM_128_HMAC_SHA1_80", KEY_A);
    let mut early = reply(&request, 183, "Session Progress", "phtag", &answer);
    early.push(name::CONTACT, "<sip:1001@192.168.77.11:5061;transport=tls>");
    early.push(name::RSEQ, "1");
    early.push(name::REQUIRE, "100rel");
    stage.phone_sends(1, early);
    let early = stage.at_cm();
    assert_eq!((early.code(), early.header(name::RSEQ)), (Some(183), Some("1")));
    let prack = stage.in_dialog("UDP", "PRACK", &contact_uri(&early), "2 PRACK", &["RAck: 1 1 INVITE"], "");
    stage.cm_sends(prack);
    let prack = stage.at_phone();
    assert_eq!(prack.header(name::RACK), Some("1 1 INVITE"));
    stage.phone_sends(1, reply(&prack, 200, "OK", "phtag", ""));
    assert_eq!(stage.at_cm().code(), Some(200));
    let body = offer_inside().replace("40000", "43000");
    let update = stage.in_dialog("UDP", "UPDATE", &contact_uri(&early), "3 UPDATE", &[], &body);
    stage.cm_sends(update);
    let update = stage.at_phone();
    assert_eq!(tag_and_suite(&sdp_line(&update, "a=crypto:")), ("1", "AES_CM_128_HMAC_SHA1_80"));
    stage.phone_sends(1, reply(&update, 200, "OK", "phtag", &answer));
    assert_eq!(sdp_line(&stage.at_cm(), "m=audio"), "m=audio 20000 RTP/AVP 0");
    assert_eq!(updates(&stage)[0].session.legs[1].remote_rtp, 43000);
    stage.phone_sends(1, reply(&request, 200, "OK", "phtag", ""));
    assert_eq!(stage.at_cm().code(), Some(200));
    assert_eq!(stage.proxy.calls(stage.now).len(), 1);
}

#[test]
fn offer_while_one_is_pending_is_refused() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    reinvite(&mut stage, "2 INVITE", &offer_outside(KEY_A));
    let update = stage.in_dialog("UDP", "UPDATE", "sip:x@10.20.0.5", "9 UPDATE", &[], &offer_inside());
    stage.cm_sends(update);
    assert_eq!(stage.at_cm().code(), Some(491));
    assert_eq!(stage.count(Counter::OfferPending), 1);
    let invite = stage.in_dialog("UDP", "INVITE", "sip:x@10.20.0.5", "10 INVITE", &[], &offer_inside());
    stage.cm_sends(invite);
    assert_eq!(stage.at_cm().code(), Some(491));
    // The ACK is for this hop: the phone has not seen that INVITE.
    let ack = stage.in_dialog("UDP", "ACK", "sip:x@10.20.0.5", "10 ACK", &[], "");
    stage.cm_sends(ack);
    stage.nothing_more();
    assert_eq!(stage.count(Counter::StrayAcks), 1);
}

#[test]
fn rtcp_mux_is_kept_outside_and_stripped_inside() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let offer = format!("{}a=rtcp-mux\r\na=rtcp:30009\r\n", offer_outside(KEY_A));
    let request = stage.ring_cm(&offer);
    assert!(!body(&request).contains("rtcp"));
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &format!("{}a=rtcp:45555\r\n", answer_inside())));
    let response = stage.at_phone();
    assert_eq!(sdp_line(&response, "a=rtcp"), "a=rtcp-mux");
    let [outside, inside] = stage.commands[0].session.legs;
    assert_eq!(outside.flags, LegFlags::LEARN | LegFlags::RTCP_MUX);
    assert_eq!(inside.remote_rtcp, 45555);
}

#[test]
fn several_lines_are_several_sessions() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let media = format!(
        "m=audio 30000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_A}\r\n\
         m=application 30004 UDP/BFCP *\r\nc=IN IP4 192.168.77.11\r\n\
         m=video 0 RTP/SAVP 96\r\n\
         m=video 30002 RTP/SAVPF 96\r\na=crypto:9 AES_CM_128_HMAC_SHA1_80 {KEY_B}\r\n"
    );
    let request = stage.ring_cm(&sdp("192.168.77.11", &media));
    let text = body(&request);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=audio 20000 RTP/AVP 0",
            "m=application 0 UDP/BFCP *",
            "m=video 0 RTP/AVP 96",
            "m=video 20002 RTP/AVPF 96"
        ]
    );
    assert!(!text.contains("192.168.77"));
    assert_eq!(stage.count(Counter::StreamsNotCarried), 1);
    let answer = sdp(
        "10.20.0.20",
        "m=audio 40000 RTP/AVP 0\r\nm=application 0 UDP/BFCP *\r\nm=video 0 RTP/AVP 96\r\nm=video 40002 RTP/AVPF 96\r\n",
    );
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer));
    let text = body(&stage.at_phone());
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=audio 16384 RTP/SAVP 0",
            "m=application 0 UDP/BFCP *",
            "m=video 0 RTP/SAVP 96",
            "m=video 16386 RTP/SAVPF 96"
        ]
    );
    let opens = stage.commands_of(CommandKind::Open);
    assert_eq!(opens.len(), 2);
    assert_ne!(opens[0].session.legs[0].outbound, opens[1].session.legs[0].outbound);
    assert_eq!(stage.proxy.calls(stage.now)[0].sessions.len(), 2);
}

#[test]
fn stream_that_the_answer_refuses_is_closed() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    stage.call_from_phone();
    let video = format!("m=video 30002 RTP/SAVP 96\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_B}\r\n");
    let request = reinvite(&mut stage, "2 INVITE", &format!("{}{video}", offer_outside(KEY_A)));
    accept(&mut stage, &request, &format!("{}m=video 0 RTP/AVP 96\r\n", answer_inside()));
    assert_eq!(stage.proxy.ports().in_use, 2);
    // And one that was open closes when it is switched off.
    let request = reinvite(&mut stage, "3 INVITE", &format!("{}{video}", offer_outside(KEY_A)));
    accept(&mut stage, &request, &format!("{}m=video 40002 RTP/AVP 96\r\n", answer_inside()));
    assert_eq!(stage.proxy.ports().in_use, 4);
    let off = "m=video 0 RTP/SAVP 96\r\n";
    let request = reinvite(&mut stage, "4 INVITE", &format!("{}{off}", offer_outside(KEY_A)));
    accept(&mut stage, &request, &format!("{}m=video 0 RTP/AVP 96\r\n", answer_inside()));
    assert_eq!(stage.commands_of(CommandKind::Close).len(), 1);
    assert_eq!(stage.proxy.ports().in_use, 2);
}

#[test]
fn phone_is_offered_what_it_has_shown_to_support() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let only = format!("m=audio 30000 RTP/SAVP 0\r\na=crypto:4 AES_CM_128_HMAC_SHA1_32 {KEY_A}\r\n");
    let invite = stage.invite_of_phone("call-0", &sdp("192.168.77.11", &only));
    stage.phone_sends(1, invite);
    stage.at_phone();
    let request = stage.at_cm();
    stage.cm_sends(reply(&request, 486, "Busy Here", "x", ""));
    stage.at_cm();
    stage.at_phone();
    let request = stage.ring_phone();
    assert_eq!(tag_and_suite(&sdp_line(&request, "a=crypto:")).1, "AES_CM_128_HMAC_SHA1_32");
}

#[test]
fn preference_decides_among_the_suites_offered() {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let key = "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let media = format!(
        "m=audio 30000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_A}\r\na=crypto:7 AEAD_AES_256_GCM {key}|2^31|5:4\r\n"
    );
    let request = stage.ring_cm(&sdp("192.168.77.11", &media));
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    assert_eq!(tag_and_suite(&sdp_line(&stage.at_phone(), "a=crypto:")), ("7", "AEAD_AES_256_GCM"));
    let leg = stage.commands[0].session.legs[0];
    assert_eq!(leg.inbound.suite(), Some(Suite::AeadAes256Gcm));
    assert_eq!(leg.mki.bytes(), Some(&[0, 0, 0, 5][..]));
}
