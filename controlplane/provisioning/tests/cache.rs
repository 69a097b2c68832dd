//! What the cache keeps and what it gives.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pinhole_provisioning::cache::{Cached, Lookup, Origin};
use pinhole_provisioning::{Cache, Counter, Counters};
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn origin(name: &str) -> Origin {
    Origin { upstream: "hq".into(), name: name.into() }
}

fn open(folder: &Path, limit: u64) -> (Cache, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    (Cache::open(folder, limit, counters.clone()).unwrap(), counters)
}

fn bytes(mut cached: Cached) -> Vec<u8> {
    let mut bytes = Vec::new();
    cached.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, cached.len);
    bytes
}

fn stale(cache: &mut Cache, name: &str) -> Option<Vec<u8>> {
    cache.stale(&origin(name), at(0)).map(bytes)
}

#[test]
fn files_of_every_size_come_back_whole_and_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let (mut cache, _) = open(folder.path(), 1 << 30);
    let sizes = [0, 1, 511, 512, 513, 65_535, 40 << 20];
    let content = |size: usize| (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    for size in sizes {
        cache.store(&origin(&format!("{size}.loads")), &content(size), at(1)).unwrap();
    }
    let used = cache.used();
    drop(cache);
    let (mut cache, _) = open(folder.path(), 1 << 30);
    assert_eq!(cache.used(), used);
    for size in sizes {
        let Lookup::Fresh(cached) = cache.lookup(&origin(&format!("{size}.loads")), HOUR, at(2)) else {
            panic!("{size}")
        };
        assert_eq!(cached.fetched, at(1));
        assert!(bytes(cached) == content(size), "{size}");
    }
}

#[test]
fn same_name_of_two_servers_is_two_files() {
    let folder = TempDir::new().unwrap();
    let (mut cache, _) = open(folder.path(), 1 << 20);
    let other = Origin { upstream: "branch".into(), name: "Ringlist.xml".into() };
    cache.store(&origin("Ringlist.xml"), b"hq", at(0)).unwrap();
    cache.store(&other, b"branch", at(0)).unwrap();
    assert_eq!(stale(&mut cache, "Ringlist.xml").unwrap(), b"hq");
    assert_eq!(bytes(cache.stale(&other, at(0)).unwrap()), b"branch");
}

#[test]
fn aged_file_is_given_only_as_stale_and_that_is_counted() {
    let folder = TempDir::new().unwrap();
    let (mut cache, counters) = open(folder.path(), 1 << 20);
    assert!(matches!(cache.lookup(&origin("a.xml"), HOUR, at(0)), Lookup::Absent));
    cache.store(&origin("a.xml"), b"one", at(0)).unwrap();
    assert!(matches!(cache.lookup(&origin("a.xml"), HOUR, at(3600)), Lookup::Fresh(_)));
    assert!(matches!(cache.lookup(&origin("a.xml"), HOUR, at(3601)), Lookup::Aged));
    // From the future: the clock was set back.
    assert!(matches!(cache.lookup(&origin("a.xml"), HOUR, at(0) - HOUR), Lookup::Aged));
    assert_eq!(counters.get(Counter::Stale), 0);
    assert_eq!(stale(&mut cache, "a.xml").unwrap(), b"one");
    assert_eq!((counters.get(Counter::Stale), counters.get(Counter::CacheHits)), (1, 1));
    cache.store(&origin("a.xml"), b"two", at(4000)).unwrap();
    assert_eq!(stale(&mut cache, "a.xml").unwrap(), b"two");
}

#[test]
fn least_recently_used_files_make_room_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let (mut cache, counters) = open(folder.path(), 50_000);
    let ten = vec![7; 9000];
    for (second, name) in (0..).zip(["a", "b", "c", "d", "e"]) {
        cache.store(&origin(name), &ten, at(second)).unwrap();
    }
    assert!(matches!(cache.lookup(&origin("a"), HOUR, at(100_000)), Lookup::Aged));
    assert!(cache.stale(&origin("a"), SystemTime::now()).is_some());
    cache.store(&origin("f"), &ten, at(9)).unwrap();
    assert!(stale(&mut cache, "b").is_none());
    assert!(stale(&mut cache, "a").is_some());
    assert_eq!(counters.get(Counter::CacheEvicted), 1);
    assert!(cache.used() <= 50_000);
    drop(cache);
    let (cache, _) = open(folder.path(), 15_000);
    assert!(cache.used() <= 15_000);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn many_empty_files_are_bounded_too() {
    let folder = TempDir::new().unwrap();
    let (mut cache, _) = open(folder.path(), 100_000);
    for number in 0..200 {
        cache.store(&origin(&number.to_string()), b"", at(0)).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 24);
}

#[test]
fn file_that_does_not_fit_or_ends_early_leaves_the_copy_before() {
    let folder = TempDir::new().unwrap();
    let (mut cache, _) = open(folder.path(), 20_000);
    cache.store(&origin("a"), b"good", at(0)).unwrap();
    let error = cache.store(&origin("a"), &[0; 20_001], at(1)).unwrap_err();
    assert!(error.to_string().contains("does not fit"));
    let mut early = cache.begin(&origin("a"), 10, at(1)).unwrap();
    early.write_all(b"12345").unwrap();
    assert!(cache.finish(early).is_err());
    let mut late = cache.begin(&origin("a"), 3, at(1)).unwrap();
    assert!(late.write_all(b"12345").is_err());
    drop(late);
    drop(cache.begin(&origin("a"), 3, at(1)).unwrap());
    assert!(cache.begin(&origin(&"x".repeat(2000)), 3, at(1)).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(stale(&mut cache, "a").unwrap(), b"good");
}

#[test]
fn what_is_broken_or_unfinished_on_disk_is_never_given() {
    let folder = TempDir::new().unwrap();
    let (mut cache, _) = open(folder.path(), 1 << 20);
    for name in ["whole", "cut", "changed"] {
        cache.store(&origin(name), name.as_bytes(), at(0)).unwrap();
    }
    let find = |content: &str| {
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .into_iter()
            .find(|path| fs::read(path).unwrap().ends_with(format!("\n{content}").as_bytes()))
            .unwrap()
    };
    let (cut, changed) = (find("cut"), find("changed"));
    fs::OpenOptions::new().append(true).open(&changed).unwrap().write_all(b"!").unwrap();
    assert!(stale(&mut cache, "changed").is_none());
    drop(cache);
    let length = fs::metadata(&cut).unwrap().len();
    fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(length - 1).unwrap();
    fs::write(folder.path().join("unfinished-7"), b"half").unwrap();
    fs::write(folder.path().join("README"), b"somebody's note").unwrap();
    fs::copy(find("whole"), folder.path().join("0".repeat(64))).unwrap();
    let (mut cache, _) = open(folder.path(), 1 << 20);
    assert!(stale(&mut cache, "cut").is_none());
    assert_eq!(stale(&mut cache, "whole").unwrap(), b"whole");
    assert!(!folder.path().join("unfinished-7").exists());
    assert!(folder.path().join("README").exists());
}

#[test]
fn files_are_of_their_owner_alone() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("cache");
    let (mut cache, _) = open(&folder, 1 << 20);
    cache.store(&origin("SEP0010DB000001.cnf.xml"), b"<device/>", at(0)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}
