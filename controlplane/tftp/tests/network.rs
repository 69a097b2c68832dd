//! Server and client over a network that loses, doubles and reorders.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Network, Weather, file};
use pinhole_tftp::{FetchSettings, Settings};
use proptest::prelude::*;

/// Around block boundaries, and beyond what a block number counts without wrapping (of 512 bytes).
const SIZES: [usize; 7] = [0, 1, 511, 512, 513, 65_535, 100_000];

#[test]
fn a_file_of_any_size_arrives_as_it_is() {
    for size in SIZES {
        for block_size in [8, 511, 512, 513, 1428] {
            let settings = FetchSettings { block_size, ..FetchSettings::default() };
            let sent = file(size);
            let got = Network::new(Weather::default(), 1).fetch(&sent, settings, Settings::default());
            assert_eq!(got, Ok(sent), "{size} bytes in blocks of {block_size}");
        }
    }
}

#[test]
fn a_file_of_40_mb_arrives_although_block_numbers_wrap() {
    let sent = file(40 << 20);
    let settings = FetchSettings { block_size: 512, ..FetchSettings::default() };
    let got = Network::new(Weather::default(), 2).fetch(&sent, settings, Settings::default());
    assert!(got == Ok(sent));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_arrives_is_the_file_or_a_failure_but_never_another_file(
        seed in any::<u64>(),
        size in 0..20_000usize,
        block_size in 8..2000u16,
        loss in 0..30u32,
        doubling in 0..30u32,
        delay in 0..3000u64,
    ) {
        let sent = file(size);
        let weather = Weather { loss, doubling, delay_ms: delay };
        let settings = FetchSettings { block_size: block_size.max(200), ..FetchSettings::default() };
        let got = Network::new(weather, seed).fetch(&sent, settings, Settings::default());
        if let Ok(got) = got {
            prop_assert_eq!(got, sent);
        }
    }

    #[test]
    fn little_loss_loses_no_file(seed in any::<u64>(), size in 0..20_000usize) {
        let sent = file(size);
        let weather = Weather { loss: 3, doubling: 10, delay_ms: 300 };
        let got = Network::new(weather, seed).fetch(&sent, FetchSettings::default(), Settings::default());
        prop_assert_eq!(got, Ok(sent));
    }
}

#[test]
fn duplicates_do_not_multiply() {
    let weather = Weather { loss: 0, doubling: 100, delay_ms: 20 };
    let sent = file(512 * 200);
    let mut network = Network::new(weather, 5);
    let settings = FetchSettings { block_size: 512, ..FetchSettings::default() };
    assert_eq!(network.fetch(&sent, settings, Settings::default()), Ok(sent));
    // Every packet is doubled by the network; none is answered twice.
    assert!(network.carried < 2 * 2 * 210, "{} packets for 201 blocks", network.carried);
}

#[test]
fn an_empty_file_has_no_size_in_the_options() {
    let settings = FetchSettings { block_size: 600, ..FetchSettings::default() };
    assert_eq!(Network::new(Weather::default(), 3).fetch(&[], settings, Settings::default()), Ok(vec![]));
}
