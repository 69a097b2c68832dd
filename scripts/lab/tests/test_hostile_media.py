"""What attackers have done to media relays, done to the running data plane a million times, while calls go on.

The phone farm plays the calls and the attacker. It checks every packet of every call: none lost, none twice, none
changed.
"""

import pytest

from pinhole_lab.farm import Farm

MANY = 1_000_000
RATE = 100_000
"""Packets of the attacker in a second."""
CALLS = 20


@pytest.fixture(scope="module")
def farm(wires):
    made = Farm(wires.state, wires.processes)
    made.start()
    yield made
    assert made.dataplane.alive()
    assert made.dataplane.stop() == 0


def attack(farm, scenario, *, packets=MANY, calls=CALLS, least=None):
    """Attacks while `calls` calls go on. The calls must hardly notice, go on afterwards, and the attacker gets nothing.
    `least` packets of the calls are played meanwhile."""
    result = farm.play("attack", scenario, "--packets", packets, "--rate", RATE, "--sessions", calls)
    assert_sound(result["legit"], least or packets / RATE * 50 * 2 * calls * 0.9)
    # 20 packets more of each phone and desk: each is relayed.
    assert_sound(result["later"], 20 * 2 * calls)
    assert result["later"]["lost"] == 0, result["later"]
    assert result["attacker_received"] == 0, result
    return result


def assert_sound(heard, least):
    """Calls heard what was sent: less than a thousandth lost, and nothing else."""
    assert heard["sent"] >= least, heard
    assert heard["lost"] * 1000 <= heard["sent"], heard
    assert not any(heard[what] for what in ("duplicates", "wrong", "unexpected", "auth_failed", "other_frames")), heard


def assert_dropped(result, forged, *causes):
    """The attacker's packets, but for what a wire that was full did not take, were dropped for these causes and no others."""
    drops = result["legit"]["data_plane"]["drops"]
    assert set(drops) <= set(causes), drops
    assert forged * 0.9 <= sum(drops.values()) <= forged, drops
    return drops


def test_a_million_bad_tags_during_calls_cost_them_nothing(farm):
    result = attack(farm, "bad-tag")
    assert_dropped(result, MANY, "auth_failed")


def test_bad_tags_from_elsewhere_neither_move_nor_end_a_call(farm):
    result = attack(farm, "bad-tag-elsewhere", packets=MANY // 5)
    assert_dropped(result, MANY // 5, "auth_failed")


def test_a_million_random_ssrcs_make_no_state_and_take_no_memory(farm):
    attack(farm, "random-ssrc", packets=10_000)
    before = farm.usage()
    result = attack(farm, "random-ssrc")
    assert_dropped(result, MANY, "auth_failed")
    assert result["streams_per_leg_max"] == 1, result
    assert grown(before, farm.usage()) < 1024


def test_forged_floods_at_rollover_counters_0_to_3_deafen_nobody(farm):
    result = attack(farm, "forged-roc")
    assert_dropped(result, MANY, "auth_failed")
    assert result["streams_per_leg_max"] == 1, result


def test_packets_sent_again_at_once_and_a_window_and_a_rollover_later_are_relayed_once(farm):
    result = attack(farm, "replay", calls=1, least=2 * 65536)
    assert [replay["packets_later"] for replay in result["replays"]] == [0, 64, 128, 1 << 16], result
    assert all(replay["sent"] > 20 for replay in result["replays"]), result
    # A rollover later the index is another, and the tag does not fit.
    drops = assert_dropped(result, result["forged"], "replayed", "too_old", "auth_failed")
    assert min(drops["replayed"], drops["too_old"]) > 50_000, drops


def test_broken_headers_of_rtp_and_rtcp_on_both_legs_are_dropped(farm):
    result = attack(farm, "malformed")
    drops = assert_dropped(result, MANY, "rtp_malformed", "auth_failed", "plain_on_secure")
    assert drops["rtp_malformed"] > MANY / 2, drops


def test_a_third_party_that_sprays_all_ports_hears_nothing_and_is_heard_nowhere(farm):
    """Before set-up, before the phones' first packets, during calls with an update, and after their end."""
    result = attack(farm, "spray", least=CALLS * 2 * 50)
    assert result["forged"] == MANY, result
    drops = assert_dropped(result, MANY // 4, "closed_pinhole", "wrong_source", "auth_failed", "plain_on_secure",
                           "rtp_malformed")
    assert {"closed_pinhole", "wrong_source", "auth_failed"} <= set(drops), drops
    assert set(result["without_calls"]) == {"before_set_up", "before_first_packet", "after_end"}, result
    for heard in result["without_calls"].values():
        assert heard["received"] == 0, heard
        assert_sound(heard, 0)


def test_a_million_sessions_opened_and_closed_leave_nothing(farm):
    farm.play("churn", "--cycles", 10_000)
    before = farm.usage()
    result = farm.play("churn", "--cycles", MANY, seconds=400)
    assert (result["cycles"], result["slots_open"], result["sessions_open"]) == (MANY, 0, 0), result
    assert result["data_plane"]["commands_refused"] == 0, result
    assert farm.usage()["files"] == before["files"]
    assert grown(before, farm.usage()) < 1024
    # All slots and ports are there for as many calls as the data plane takes.
    assert_sound(farm.play("run", "--sessions", farm.sessions, "--seconds", 1), least=farm.sessions)


def grown(before, after):
    """Resident memory that came in addition, in KiB."""
    return after["resident"] - before["resident"]
