"""Calls between SCCP and SIP phones: the SCCP call manager has a SIP trunk to kamailio, and media goes by the data plane."""

import pytest
from helpers import (SccpPhones, assert_encrypted, assert_plain, converse, eventually, hang_up, in_background, sccp_cryptos)

from pinhole_lab import audio, network, sccp
from pinhole_lab.certificates import DEVICES
from pinhole_lab.sccp_callmanager import SccpCallManager
from pinhole_lab.sccp_phone import connected

NUMBERS = dict(zip((*DEVICES, "SEP0010DB000004"), ("3001", "3002", "3003", "3004")))


@pytest.fixture(params=[False, True], ids=["delayed-offer", "early-offer"])
def manager(request, lab, appliance):
    """An SCCP call manager with a SIP trunk."""
    made = SccpCallManager(lab.processes, f"mixed-{request.param}", namespace="ph-inside", address=network.CALL_MANAGER, port=2000,
                           lines=NUMBERS, keep_alive=2, keys="rubbish", trunk=[5070, network.CALL_MANAGER, 5060],
                           early_offer=request.param).start()
    yield made
    made.process.stop()


@pytest.fixture
def sccp_phones(lab, appliance, manager, keys_ever):
    made = SccpPhones(lab, [2000], keys_ever)
    yield made
    made.close()


def call_sip(phone, other):
    """An SCCP phone calls a SIP phone, which answers."""
    mine = phone.dial(other.user)
    theirs = other.wait_call()
    mine.wait_state(sccp.RING_OUT)
    theirs.accept()
    theirs.wait_acknowledged()
    return mine.wait_state(sccp.CONNECTED).wait_media(), ready(theirs)


def call_sccp(phone, other):
    """A SIP phone calls an SCCP phone, which answers."""
    mine = phone.invite(other.user)
    theirs = other.wait_call(sccp.RING_IN)
    theirs.answer()
    mine.wait_answer()
    return ready(mine), theirs.wait_state(sccp.CONNECTED).wait_media()


def ready(call):
    """A SIP phone's end of a call, playing."""
    call.stream.start()
    return call


def sip_cryptos(*calls):
    return [crypto for call in calls for crypto in (call.crypto, *call.far.cryptos)]


@pytest.fixture
def captures(lab):
    """What passes on both wires; stopped by the test."""
    return lab.capture("mixed-outside", network.OUTSIDE_WIRE), lab.capture("mixed-inside", network.INSIDE_WIRE)


def test_sccp_phone_outside_and_sip_phone_inside_call_each_other(sccp_phones, phones, appliance, captures):
    outside, inside = sccp_phones.outside(), phones.inside()
    one, two = call_sip(outside, inside)
    converse(one, two)
    (shown,) = appliance.ctl("calls")
    assert shown["suite"] == "AES_CM_128_HMAC_SHA1_32" and shown["device"] == outside.device
    assert one.remote[0] == network.OUTSIDE and (two.far.address, two.far.profile) == (network.INSIDE, "RTP/AVP")
    waiting = in_background(two.accept_reinvite)
    one.soft_key(sccp.HOLD_KEY)
    one.wait_state(sccp.HOLD).wait_silent()
    assert waiting().direction == "inactive"
    two.stream.pause()
    waiting = in_background(two.accept_reinvite)
    one.soft_key(sccp.RESUME)
    assert waiting().direction == "sendrecv"
    one.wait_state(sccp.CONNECTED).wait_media()
    converse(one, ready(two))
    assert len({key.key for key in one.receive_keys + one.transmit_keys}) == 4
    two.bye()
    one.wait_state(sccp.ON_HOOK)
    three, four = call_sccp(inside, outside)
    converse(three, four)
    waiting = in_background(three.wait_bye)
    four.hang_up()
    waiting()
    assert not any(appliance.wait_idle().values())
    for capture in captures:
        capture.stop()
    assert_encrypted(captures[0], sccp_cryptos(one, four))
    assert_plain(captures[1])


def test_sip_and_sccp_phones_behind_the_same_nat_call_each_other(sccp_phones, phones, appliance, captures):
    first, second = sccp_phones.outside(), phones.second_outside(suites=["AEAD_AES_256_GCM"])
    second.show_suites()
    one, two = call_sip(first, second)
    converse(one, two)
    assert {shown["suite"] for shown in appliance.ctl("calls")} == {"AES_CM_128_HMAC_SHA1_32", "AEAD_AES_256_GCM"}
    waiting = in_background(two.wait_bye)
    one.hang_up()
    waiting()
    three, four = call_sccp(second, first)
    converse(three, four)
    three.bye()
    four.wait_state(sccp.ON_HOOK)
    assert not any(appliance.wait_idle().values())
    for capture in captures:
        capture.stop()
    assert_encrypted(captures[0], sccp_cryptos(one, four) + sip_cryptos(two, three))


def test_sip_phone_holds_and_resumes_a_call_with_an_sccp_phone(sccp_phones, phones):
    outside, inside = sccp_phones.outside(), phones.inside()
    two, one = call_sccp(inside, outside)
    converse(one, two, 1)
    before = one.remote
    assert two.reinvite("sendonly").direction == "inactive"
    one.wait_silent()
    two.stream.pause()
    assert two.reinvite("sendrecv").direction == "sendrecv"
    one.wait_media()
    assert one.remote != before
    converse(one, ready(two), 1)
    two.bye()
    one.wait_state(sccp.ON_HOOK)


def test_sccp_phone_transfers_a_sip_phone_to_another_sccp_phone(sccp_phones, phones):
    first, second, inside = sccp_phones.outside(0), sccp_phones.outside(1), phones.inside()
    mine, theirs = call_sip(first, inside)
    converse(mine, theirs, 1)
    waiting = in_background(theirs.accept_reinvite)
    mine.soft_key(sccp.TRANSFER)
    assert waiting().direction == "inactive"
    theirs.stream.pause()
    consultation = first.wait_call(sccp.OFF_HOOK)
    consultation.press(second.user)
    other = second.wait_call(sccp.RING_IN)
    other.answer()
    converse(*connected(consultation, other), 1)
    waiting = in_background(theirs.accept_reinvite)
    consultation.soft_key(sccp.TRANSFER)
    assert waiting().direction == "sendrecv"
    first.wait(lambda: not first.calls, "the end of its calls")
    second.wait(lambda: len(other.streams) == 2, "media with the SIP phone")
    converse(other.wait_media(), ready(theirs))
    theirs.bye()
    other.wait_state(sccp.ON_HOOK)


def test_sip_and_sccp_phones_behind_the_same_nat_call_inside_at_once(sccp_phones, phones, appliance):
    outside, desk = sccp_phones.outside(), sccp_phones.inside()
    second, inside = phones.second_outside(), phones.inside(namespace="ph-desk2", seed=6)
    one, two = call_sip(outside, inside)
    three, four = call_sccp(second, desk)
    waiting = in_background(lambda: converse(three, four))
    converse(one, two)
    waiting()
    assert len(appliance.ctl("sessions")) == 2
    two.bye()
    three.bye()
    for each in (one, four):
        each.wait_state(sccp.ON_HOOK)


def test_call_over_the_trunk_that_is_given_up_or_refused_leaves_nothing(sccp_phones, phones, appliance):
    outside, inside = sccp_phones.outside(), phones.inside()
    one = outside.dial(inside.user)
    ringing = inside.wait_call()
    waiting = in_background(lambda: inside.expect(lambda m: m.method == "CANCEL", "the CANCEL"))
    one.hang_up()
    inside.respond(waiting(), 200, "OK")
    ringing.reject(487, "Request Terminated")
    one.wait_state(sccp.ON_HOOK)
    two = outside.dial(inside.user)
    inside.wait_call().reject(486, "Busy Here")
    two.wait_state(sccp.ON_HOOK)
    three = inside.invite(outside.user)
    outside.wait_call(sccp.RING_IN)
    three.cancel()
    eventually(lambda: not outside.calls, what="the end of the call")
    assert not any(appliance.wait_idle().values())


def test_sccp_phone_outside_talks_with_a_packaged_sip_phone_inside(sccp_phones, lab, appliance):
    inside = lab.inside_softphone("mixed-desk", "ph-desk2", "2002", 4)
    try:
        inside.wait_registered()
        outside = sccp_phones.outside()
        one = outside.dial("2002").wait_state(sccp.CONNECTED).wait_media()
        eventually(lambda: len(one.stream.heard) > 100, what="audio from baresip")
        one.hang_up()
        one.wait_state(sccp.ON_HOOK)
        assert one.stream.refused == [] and one.stream.repeated == 0
        match = audio.compare(lab.recording(4)[0], one.stream.heard_audio())
        assert match.correlation > 0.9 and match.seconds > 1, match
        recording = eventually(inside.recordings, what="what baresip has heard")[-1]
        match = audio.compare(outside.recording, audio.read(recording))
        assert match.correlation > 0.9 and match.seconds > 1, match
    finally:
        inside.process.stop()
