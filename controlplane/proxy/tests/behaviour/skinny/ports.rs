//! Ports that are asked for before channels are opened.

use std::time::Duration;

use pinhole_proxy::Counter;
use pinhole_sccp::{Frame, MessageId};

use super::stage::*;

const AUDIO: u32 = 1;
const VIDEO: u32 = 2;

/// PortRequest as newer call managers send it, or, without a medium, older ones.
fn request(call: u32, party: u32, medium: Option<u32>) -> Frame {
    let words = [(0, call), (4, call), (8, party), (20, medium.unwrap_or_default())];
    frame(MessageId::PORT_REQUEST, 19, &body(24, &words)[..if medium.is_some() { 24 } else { 20 }])
}

fn response(call: u32, party: u32, medium: Option<u32>) -> Frame {
    let words = [(4, call), (8, party), (32, 16384), (36, 16385), (40, medium.unwrap_or_default())];
    frame(MessageId::PORT_RESPONSE, 19, &body(44, &words)[..if medium.is_some() { 44 } else { 40 }])
}

fn open_video(call: u32, party: u32) -> Frame {
    let words = [(0, call), (4, party), (8, 103), (16, call)];
    frame(MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL, 19, &body(192, &words))
}

/// The ports that the call manager is told of.
fn told(stage: &mut Stage, call: u32, party: u32, medium: Option<u32>) -> String {
    stage.phone_sends(1, response(call, party, medium));
    let seen = stage.at_server();
    let channel = seen.channel().unwrap();
    let named = endpoint(&seen);
    assert_eq!(named, format!("10.20.0.5:{}", channel.rtcp_port().unwrap() - 1));
    named
}

fn opened(stage: &mut Stage, frame: Frame) -> String {
    stage.server_sends(1, frame);
    stage.phone.clear();
    format!("10.20.0.5:{}", stage.orders().legs[1].local_rtp)
}

#[test]
fn ports_that_are_asked_for_first_are_those_of_the_channel() {
    let mut stage = Stage::registered();
    stage.phone_sends(1, frame(MessageId::PORT_RESPONSE, 17, &body(44, &[(4, 7), (8, 0x107), (32, 16384)])));
    assert_eq!(stage.count(Counter::SkinnyStrayChannels), 1, "not before they are asked for");
    let request = frame(MessageId::PORT_REQUEST, 17, &body(24, &[(0, 7), (4, 7), (8, 0x107)]));
    stage.server_sends(1, request.clone());
    assert_eq!(stage.at_phone(), request);
    stage.phone_sends(1, frame(MessageId::PORT_RESPONSE, 17, &body(44, &[(4, 7), (8, 0x107), (32, 16384)])));
    let seen = stage.at_server();
    let named = endpoint(&seen);
    assert_eq!(named, format!("10.20.0.5:{}", seen.channel().unwrap().rtcp_port().unwrap() - 1));
    stage.server_sends(1, open(7, None));
    assert_eq!(named, format!("10.20.0.5:{}", stage.orders().legs[1].local_rtp));
    let unused = frame(MessageId::PORT_REQUEST, 17, &body(24, &[(0, 8), (4, 8), (8, 0x108)]));
    stage.server_sends(1, unused);
    assert_eq!(stage.proxy.ports().in_use, 4);
    stage.server_sends(1, frame(MessageId::PORT_CLOSE, 17, &body(16, &[(0, 8), (4, 8), (8, 0x108)])));
    stage.server_sends(1, frame(MessageId::PORT_CLOSE, 17, &body(16, &[(0, 7), (4, 7), (8, 0x107)])));
    assert_eq!(stage.proxy.ports().in_use, 2, "those of the open channel stay");
}

#[test]
fn ports_that_no_channel_uses_are_given_back_after_a_while() {
    let mut stage = Stage::registered();
    for call in [7, 8] {
        let ids = [(0, call), (4, call), (8, call + 0x100)];
        stage.server_sends(1, frame(MessageId::PORT_REQUEST, 17, &body(24, &ids)));
    }
    stage.server_sends(1, open(8, None));
    stage.pass(Duration::from_secs(179));
    assert_eq!(stage.proxy.ports().in_use, 4);
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.proxy.ports().in_use, 2, "those of the open channel stay");
    assert_eq!(stage.proxy.sessions().len(), 1);
}

#[test]
fn ports_of_audio_and_of_video_are_each_those_of_their_channel() {
    // The medium is said; only the party tells; neither does in the answer.
    for said in [[Some(AUDIO), Some(VIDEO)], [None, None], [Some(AUDIO), None], [None, Some(VIDEO)]] {
        for answers in [[0x107, 0x207], [0, 0]] {
            let mut stage = Stage::registered();
            stage.server_sends(1, request(7, 0x107, said[0]));
            stage.server_sends(1, request(7, 0x207, said[1]));
            stage.phone.clear();
            let audio = told(&mut stage, 7, answers[0], said[0]);
            let video = told(&mut stage, 7, answers[1], said[1]);
            assert_ne!(audio, video);
            assert_eq!(opened(&mut stage, open(7, None)), audio, "{said:?}");
            assert_eq!(opened(&mut stage, open_video(7, 0x207)), video, "{said:?}");
            assert_eq!(stage.proxy.sessions().len(), 2);
        }
    }
}

#[test]
fn ports_of_two_videos_are_each_those_of_their_channel_whether_or_not_the_answers_name_a_party() {
    for answers in [[0x207, 0x208], [0, 0]] {
        let mut stage = Stage::registered();
        stage.server_sends(1, request(7, 0x207, Some(VIDEO)));
        stage.server_sends(1, request(7, 0x208, Some(VIDEO)));
        stage.phone.clear();
        let told = answers.map(|party| told(&mut stage, 7, party, Some(VIDEO)));
        assert_ne!(told[0], told[1], "{answers:?}");
        for (party, told) in [0x207, 0x208].into_iter().zip(told) {
            assert_eq!(opened(&mut stage, open_video(7, party)), told, "{answers:?}");
        }
        assert_eq!(stage.proxy.sessions().len(), 2);
    }
}

#[test]
fn medium_that_was_guessed_wrong_is_that_of_the_channel() {
    // Video is asked for first, then audio; or video alone.
    let mut stage = Stage::registered();
    stage.server_sends(1, request(7, 0x207, None));
    stage.server_sends(1, request(7, 0x107, None));
    let video = told(&mut stage, 7, 0x207, None);
    let audio = told(&mut stage, 7, 0x107, None);
    assert_eq!(opened(&mut stage, open_video(7, 0x207)), video);
    assert_eq!(opened(&mut stage, open(7, None)), audio);
    let mut stage = Stage::registered();
    stage.server_sends(1, request(7, 0x207, None));
    let video = told(&mut stage, 7, 0x207, None);
    assert_eq!(opened(&mut stage, open_video(7, 0x207)), video);
    assert_ne!(opened(&mut stage, open(7, None)), video);
    assert_eq!(stage.proxy.sessions().len(), 2);
}

#[test]
fn ports_of_two_videos_and_audio_whose_media_nobody_said_are_each_those_of_their_channel() {
    const PARTIES: [u32; 3] = [0x207, 0x208, 0x107];
    // In whatever order the channels open.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut stage = Stage::registered();
        for party in PARTIES {
            stage.server_sends(1, request(7, party, None));
        }
        stage.phone.clear();
        let told = PARTIES.map(|party| told(&mut stage, 7, party, None));
        for at in order {
            let channel = if at == 2 { open(7, None) } else { open_video(7, PARTIES[at]) };
            assert_eq!(opened(&mut stage, channel), told[at], "{order:?}");
        }
        assert_eq!(stage.proxy.sessions().len(), 3, "{order:?}");
    }
}

#[test]
fn ports_that_are_asked_for_again_are_the_same() {
    for medium in [None, Some(AUDIO), Some(VIDEO)] {
        let mut stage = Stage::registered();
        stage.server_sends(1, request(7, 0x107, None));
        let first = told(&mut stage, 7, 0x107, None);
        stage.server_sends(1, request(7, 0x107, medium));
        assert_eq!(told(&mut stage, 7, 0x107, medium), first, "{medium:?}");
        assert_eq!(stage.proxy.ports().in_use, 2);
    }
}

#[test]
fn media_that_are_not_known_share_the_ports_of_a_call() {
    let mut stage = Stage::registered();
    stage.server_sends(1, request(7, 0x107, Some(99)));
    assert_eq!(told(&mut stage, 7, 0x107, Some(99)), opened(&mut stage, open(7, None)));
}

#[test]
fn closed_ports_are_those_of_the_party_or_else_of_the_medium() {
    for (party, medium) in [(0x207, None), (0, Some(VIDEO))] {
        let mut stage = Stage::registered();
        stage.server_sends(1, request(7, 0x107, Some(AUDIO)));
        stage.server_sends(1, request(7, 0x207, Some(VIDEO)));
        let audio = told(&mut stage, 7, 0x107, Some(AUDIO));
        let words = [(0, 7), (4, 7), (8, party), (12, medium.unwrap_or_default())];
        let length = if medium.is_some() { 16 } else { 12 };
        stage.server_sends(1, frame(MessageId::PORT_CLOSE, 19, &body(16, &words)[..length]));
        assert_eq!(stage.proxy.ports().in_use, 2, "{party}");
        assert_eq!(opened(&mut stage, open(7, None)), audio);
        // Neither of a channel that is open, nor of one that is not known.
        for late in [0x107, 0x999] {
            let words = [(0, 7), (4, 7), (8, late)];
            stage.server_sends(1, frame(MessageId::PORT_CLOSE, 19, &body(12, &words)));
        }
        assert_eq!(stage.proxy.ports().in_use, 2);
    }
}
