//! What the rounds came to, as one JSON object.

use pinhole_perf::spread::Spread;
use pinhole_relay::Stage;
use serde_json::{Map, Value, json};

use crate::lines;
use crate::scene::Scene;

/// Sessions, and keys of the bare kernel, that the overhead is taken at.
pub const YARDSTICK: u32 = 10_000;

/// What the rounds of one number of sessions came to, in nanoseconds per packet.
#[derive(Default)]
pub struct Rounds {
    pub whole: Vec<f64>,
    pub inwards: Vec<f64>,
    pub outwards: Vec<f64>,
    pub stages: Vec<[f64; Stage::COUNT]>,
    pub allocations: u64,
}

/// All figures by their names.
pub fn report(
    scenes: &[(Scene, Rounds)],
    bare: &[f64],
    memory: &[f64],
    bytes: f64,
    engine: &str,
    cycles_per_ns: f64,
) -> Value {
    let of = |sessions: u32| scenes.iter().find(|(scene, _)| scene.sessions() == sessions);
    let ratio = |above: &[f64], below: &[f64]| Spread::of(above.iter().zip(below).map(|(a, b)| a / b));
    let mut out = Map::new();
    if let Some((_, yardstick)) = of(YARDSTICK) {
        put_ratio(&mut out, "relay.overhead", ratio(&yardstick.whole, bare));
    }
    if let (Some((_, most)), Some((_, few))) = (of(100_000), of(1_000)) {
        put_ratio(&mut out, "relay.growth", ratio(&most.whole, &few.whole));
    }
    let bursts: f64 = scenes.iter().map(|(_, done)| (done.whole.len() + 1) as f64).sum();
    let allocations: u64 = scenes.iter().map(|(_, done)| done.allocations).sum();
    out.insert("relay.allocations_per_burst".into(), json!(allocations as f64 / bursts.max(1.0)));
    out.insert("relay.bytes_per_session".into(), json!(bytes.ceil()));
    out.insert("engine".into(), json!(engine));
    out.insert("cycles_per_ns".into(), json!(cycles_per_ns));
    out.insert("kernel_ns".into(), json!(Spread::of(bare.iter().copied())));
    out.insert("relay.lines_per_packet".into(), json!(lines::OF_PACKET));
    out.insert("relay.line_ns".into(), json!(Spread::of(memory.iter().copied())));
    let stages = of(YARDSTICK).map(|(_, yardstick)| stages_of(yardstick, cycles_per_ns));
    out.insert("relay.stages".into(), json!(stages.unwrap_or_default()));
    let sizes = scenes.iter().map(|(scene, done)| {
        let whole = Spread::of(done.whole.iter().copied());
        json!({
            "sessions": scene.sessions(),
            "ns": whole.map(|whole| whole.median),
            "cycles": whole.map(|whole| whole.median * cycles_per_ns),
            "spread_ns": whole,
            "srtp_to_rtp_ns": Spread::of(done.inwards.iter().copied()),
            "rtp_to_srtp_ns": Spread::of(done.outwards.iter().copied()),
            "stages": stages_of(done, cycles_per_ns),
        })
    });
    out.insert("relay.sizes".into(), sizes.collect());
    Value::Object(out)
}

/// The cost of a packet by stage: the middle of the rounds.
fn stages_of(done: &Rounds, cycles_per_ns: f64) -> Vec<Value> {
    let median = |stage: Stage| {
        let rounds = done.stages.iter().filter_map(|stages| stages.get(stage as usize).copied());
        Spread::of(rounds).map(|spread| spread.median)
    };
    let row = |stage: Stage| {
        let ns = median(stage);
        json!({ "stage": stage.name(), "ns": ns, "cycles": ns.map(|ns| ns * cycles_per_ns) })
    };
    Stage::ALL.map(row).into()
}

/// The median under its name, all of it beside.
fn put_ratio(out: &mut Map<String, Value>, name: &str, ratio: Option<Spread>) {
    out.insert(name.into(), json!(ratio.map(|ratio| ratio.median)));
    out.insert(format!("{name}.spread"), json!(ratio));
}
