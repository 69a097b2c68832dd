//! Answers as tables.

use pinhole_admin::{
    Call, Counters, Direction, Event, Leg, Phone, Response, Session, Severity, Status, Worker,
};

use crate::table::{self, duration, line, moment, or_dash, plain, with};

/// An answer for people. `all` shows counters that are zero as well.
pub fn of(response: &Response, all: bool) -> String {
    plain(&text(response, all))
}

/// A response as one JSON value; what is only said in words, in words.
///
/// # Errors
/// None that a response could cause.
pub fn json(response: &Response, all: bool) -> serde_json::Result<String> {
    match response {
        Response::Status(status) => table::json(status),
        Response::Phones(phones) => table::json(phones),
        Response::Calls(calls) => table::json(calls),
        Response::Sessions(sessions) => table::json(sessions),
        Response::Workers(workers) => table::json(workers),
        Response::Counters(counters) => table::json(counters),
        Response::Provisioned(phones) => table::json(phones),
        Response::Changes { changes, .. } => table::json(changes),
        Response::Password { .. } => table::json(response),
        response => Ok(of(response, all)),
    }
}

fn text(response: &Response, all: bool) -> String {
    match response {
        Response::Status(status) => self::status(status),
        Response::Phones(phones) if phones.is_empty() => "no phones".into(),
        Response::Phones(phones) => self::phones(phones),
        Response::Calls(calls) if calls.is_empty() => "no calls".into(),
        Response::Calls(calls) => self::calls(calls),
        Response::Sessions(sessions) if sessions.is_empty() => "no media sessions".into(),
        Response::Sessions(list) => list.iter().map(session).collect::<Vec<_>>().join("\n"),
        Response::Workers(workers) if workers.is_empty() => "no data plane is attached".into(),
        Response::Workers(workers) => self::workers(workers),
        Response::Counters(counters) => self::counters(counters, all),
        Response::Provisioned(phones) if phones.is_empty() => {
            "no phone is allowed, and none has asked".into()
        }
        Response::Provisioned(phones) => crate::provisioned::shown(phones),
        Response::Changes { changes, unlisted } => crate::provisioned::changes(changes, *unlisted),
        Response::Password { device, password, minutes } => {
            format!("The one-time password of {device} is {password}, for {minutes} minutes.")
        }
        Response::Done(text) => text.clone(),
        Response::Event(event) => self::event(event),
        Response::Trace(traced) => crate::trace::shown(traced),
        Response::End => String::new(),
        Response::Error(text) => text.clone(),
    }
}

/// An event as one line.
pub fn event(event: &Event) -> String {
    let mark = match event.kind.severity() {
        Severity::Info => ' ',
        Severity::Warning => '!',
        Severity::Error => '#',
    };
    let mut text = format!("{} {mark} {:<18} {}", moment(event.time_ms), event.kind.name(), event.text);
    for (name, value) in [("device", &event.device), ("call", &event.call_id)] {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={value}"));
        }
    }
    line(&text)
}

fn status(status: &Status) -> String {
    let dataplane = &status.dataplane;
    let media = if dataplane.attached {
        format!(
            "attached: version {}, process {}, {} worker(s), engine {}, {} sessions at most",
            dataplane.version, dataplane.pid, dataplane.workers, dataplane.engine, dataplane.max_sessions
        )
    } else {
        format!("NOT ATTACHED ({})", dataplane.socket)
    };
    let legacy = status.legacy_tls.as_ref().map_or_else(
        || "off".to_owned(),
        |legacy| {
            let runs = match legacy.pid {
                0 => "DOES NOT RUN".to_owned(),
                pid => format!("process {pid} ({})", legacy.confined),
            };
            let again = legacy.started.saturating_sub(1);
            format!(
                "{runs}, at {}, {} phone(s), started again {again} time(s)",
                legacy.listen.join(", "),
                legacy.connections
            )
        },
    );
    let rows = [
        (
            "Control plane",
            format!("version {}, process {}, up {}", status.version, status.pid, duration(status.uptime_s)),
        ),
        ("Configuration", status.config.clone()),
        ("Data plane", media),
        (
            "Commands",
            format!("{} outstanding, {} queued", dataplane.commands_outstanding, dataplane.commands_queued),
        ),
        ("Phones at", format!("{} ({} shard(s))", status.listen, status.shards)),
        (
            "Connections",
            format!(
                "{}, {} handshake(s) in progress, {} registered",
                status.connections, status.handshakes, status.registered
            ),
        ),
        ("Legacy TLS", legacy),
        ("Calls", format!("{}, {} media session(s)", status.calls, status.sessions)),
        (
            "Media port pairs",
            format!(
                "{} in use, {} resting, {} in all",
                status.ports.in_use, status.ports.quarantined, status.ports.total
            ),
        ),
        ("Open files", format!("{} allowed", status.file_limit)),
        ("Log lines lost", status.log_lines_lost.to_string()),
    ];
    rows.map(|(name, value)| format!("{name:<17} {value}")).join("\n")
}

fn phones(phones: &[Phone]) -> String {
    let headings = [
        "Device",
        "Protocol",
        "Cluster",
        "Call manager",
        "Peer",
        "Since",
        "TLS",
        "Registered",
        "Expires",
        "Calls",
        "Shard",
    ];
    let mut table = with(&headings, &["Since", "Expires", "Calls", "Shard"]);
    for phone in phones {
        let peer = phone.peer.map_or_else(|| "(lost)".into(), |peer| peer.to_string());
        table.add_row([
            phone.device.clone(),
            phone.protocol.to_uppercase(),
            phone.cluster.clone(),
            or_dash(phone.call_manager),
            peer,
            duration(phone.since_s),
            phone.tls.clone(),
            if phone.registered.is_empty() { "-".into() } else { phone.registered.join("\n") },
            or_dash(phone.expires_s.map(duration)),
            phone.calls.to_string(),
            phone.shard.to_string(),
        ]);
    }
    table.to_string()
}

fn calls(calls: &[Call]) -> String {
    let headings = ["Device", "Direction", "From", "To", "State", "Since", "Suite", "Slots", "Call-ID"];
    let mut table = with(&headings, &["Since"]);
    for call in calls {
        let slots: Vec<_> = call.sessions.iter().map(ToString::to_string).collect();
        table.add_row([
            call.device.clone(),
            match call.direction {
                Direction::FromPhone => "from phone".into(),
                Direction::ToPhone => "to phone".into(),
            },
            or_dash(Some(&call.from).filter(|from| !from.is_empty())),
            or_dash(Some(&call.to).filter(|to| !to.is_empty())),
            format!("{:?}", call.state).to_lowercase(),
            duration(call.since_s),
            or_dash(call.suite.as_ref()),
            slots.join(" "),
            call.call_id.clone(),
        ]);
    }
    table.to_string()
}

fn session(session: &Session) -> String {
    let headings = [
        "Leg",
        "Local",
        "Remote",
        "Suite in",
        "Suite out",
        "PT",
        "Received",
        "Sent",
        "Lost",
        "Jitter",
        "Idle",
        "Drops",
    ];
    let mut table = with(&headings, &["Received", "Sent", "Lost", "Jitter", "Idle"]);
    for leg in &session.legs {
        table.add_row(self::leg(leg));
    }
    format!(
        "Slot {} generation {}, device {}, call {}, open for {}, shard {}, worker {}\n{table}",
        session.slot,
        session.generation,
        or_dash(session.device.as_ref()),
        or_dash(session.call_id.as_ref()),
        duration(session.since_s),
        session.shard,
        session.worker,
    )
}

fn leg(leg: &Leg) -> [String; 12] {
    let learned = if leg.learned { " (learned)" } else { "" };
    let drops: Vec<_> = leg.drops.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    [
        leg.port.clone(),
        format!("{}, RTCP {}", leg.local, leg.local_rtcp),
        leg.remote.as_ref().map_or_else(|| "-".into(), |remote| format!("{remote}{learned}")),
        leg.suite_in.clone().unwrap_or_else(|| "RTP".into()),
        leg.suite_out.clone().unwrap_or_else(|| "RTP".into()),
        or_dash(leg.payload_type),
        format!("{} + {} RTCP", leg.rx_packets, leg.rtcp_rx),
        format!("{} + {} RTCP", leg.tx_packets, leg.rtcp_tx),
        format!("{} ({:.2} %)", leg.lost, leg.loss_percent),
        format!("{:.1} ms", leg.jitter_ms),
        or_dash(leg.idle_ms.map(|ms| format!("{ms} ms"))),
        if drops.is_empty() { "-".into() } else { drops.join("\n") },
    ]
}

fn workers(workers: &[Worker]) -> String {
    let headings = [
        "Worker",
        "Core",
        "Sessions",
        "Busy",
        "Idle turns",
        "Turns",
        "Last turn",
        "Missteered",
        "Taken over",
        "Handed on",
        "Old key",
        "Drops",
    ];
    let mut table = with(&headings, &headings);
    let percent = |share: Option<f64>| or_dash(share.map(|share| format!("{share:.1} %")));
    for worker in workers {
        table.add_row([
            worker.number.to_string(),
            worker.core.to_string(),
            worker.sessions.to_string(),
            percent(worker.busy_percent),
            percent(worker.idle_percent),
            worker.polls.to_string(),
            format!("{} ms ago", worker.silent_ms),
            worker.missteered.to_string(),
            worker.handoff_in.to_string(),
            worker.handoff_out.to_string(),
            worker.old_key.to_string(),
            worker.drops.to_string(),
        ]);
    }
    table.to_string()
}

/// Keeps the counters of one group, and of those below it.
///
/// # Errors
/// When there is no such group; names those that there are.
pub fn only(group: &str, counters: &mut Counters) -> anyhow::Result<()> {
    let known: Vec<_> = counters.groups.keys().cloned().collect();
    let is_of =
        |name: &str| name.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    counters.groups.retain(|name, _| is_of(name));
    anyhow::ensure!(
        !counters.groups.is_empty(),
        "there is no group {group:?}; there are: {}",
        known.join(", ")
    );
    Ok(())
}

fn counters(counters: &Counters, all: bool) -> String {
    let mut table = with(&["Group", "Counter", "Value"], &["Value"]);
    for (group, values) in &counters.groups {
        for (name, value) in values.iter().filter(|(_, value)| all || **value > 0) {
            table.add_row([group.clone(), name.clone(), value.to_string()]);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use pinhole_admin::EventKind;

    use super::*;

    #[test]
    fn nothing_is_said_in_words() {
        assert_eq!(of(&Response::Calls(vec![]), false), "no calls");
        assert_eq!(of(&Response::Phones(vec![]), false), "no phones");
        assert_eq!(of(&Response::Sessions(vec![]), false), "no media sessions");
        assert_eq!(of(&Response::Workers(vec![]), false), "no data plane is attached");
    }

    #[test]
    fn counters_that_are_zero_are_left_out_unless_asked_for() {
        let mut counters = Counters::default();
        counters.add("tls", "accepted", 3);
        counters.add("tls", "refused_unknown_ca", 0);
        let shown = |all| of(&Response::Counters(counters.clone()), all);
        assert!(shown(false).contains("accepted") && !shown(false).contains("refused_unknown_ca"));
        assert!(shown(true).contains("refused_unknown_ca"));
    }

    #[test]
    fn one_group_is_shown_with_those_below_it_and_another_is_named_as_unknown() {
        let mut counters = Counters::default();
        for group in ["dataplane", "dataplane.drops", "dataplanes", "tls"] {
            counters.add(group, "x", 1);
        }
        let mut known = counters.clone();
        only("dataplane", &mut known).unwrap();
        assert_eq!(known.groups.keys().collect::<Vec<_>>(), ["dataplane", "dataplane.drops"]);
        let error = only("tl", &mut counters).unwrap_err().to_string();
        assert!(error.contains("\"tl\"") && error.contains("dataplane, dataplane.drops"), "{error}");
    }

    #[test]
    fn every_worker_is_a_line() {
        let worker = Worker {
            number: 1,
            core: 3,
            sessions: 5_000,
            busy_percent: Some(12.34),
            idle_percent: None,
            polls: 77,
            silent_ms: 0,
            missteered: 8,
            handoff_in: 9,
            handoff_out: 10,
            old_key: 11,
            drops: 12,
        };
        let text = of(&Response::Workers(vec![worker]), false);
        let words: Vec<&str> = text.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!(
            words,
            ["1", "3", "5000", "12.3", "%", "-", "77", "0", "ms", "ago", "8", "9", "10", "11", "12"]
        );
    }

    #[test]
    fn event_is_one_line() {
        let event = Event::new(EventKind::PhoneRefused, "why").device("SEP1");
        assert_eq!(super::event(&event), "1970-01-01T00:00:00.000Z ! phone_refused      why device=SEP1");
    }

    #[test]
    fn what_phones_write_cannot_steer_a_terminal() {
        let event = Event::new(EventKind::CallStarted, "the phone calls").call_id("a\x1b[2J\u{9b}2Jb");
        let line = super::event(&event);
        assert!(!line.contains(['\x1b', '\u{9b}']) && line.contains("[2J"), "{line}");
        assert_eq!(of(&Response::Error("\x1b[31m".to_owned()), false), "\u{fffd}[31m");
    }
}
