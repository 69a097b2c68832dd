//! Generates the DPDK bindings: the build script of dataplane/dpdk-sys.
//!
//! DPDK is found through pkg-config and bound by bindgen under an explicit allow-list. DPDK's burst
//! and buffer functions are `static inline`: bindgen writes a C wrapper for each, which is compiled
//! and linked here, so the repository holds no C source. The poll-mode drivers are not linked: the
//! EAL loads them at start from the directory that the packaged DPDK was built with.
//!
//! Whatever is missing ends the build with one line that names the Debian package to install.

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

/// The DPDK series that the bindings are checked against.
const SERIES: &str = "22.11";

/// The headers, and what in DPDK is a macro that bindgen does not see through.
const HEADERS: &str = r#"
#include <rte_eal.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_thash.h>
#include <rte_version.h>
static inline int dpdk_errno(void) { return rte_errno; }
static const uint64_t dpdk_rss_ipv4_udp = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
"#;

const FUNCTIONS: &[&str] = &[
    "dpdk_errno",
    "rte_dev_probe",
    "rte_eal_cleanup",
    "rte_eal_has_hugepages",
    "rte_eal_init",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_rss_reta_query",
    "rte_eth_dev_rss_reta_update",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_link_get_nowait",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_disable",
    "rte_eth_promiscuous_enable",
    "rte_eth_rx_burst",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_burst",
    "rte_eth_tx_queue_setup",
    "rte_flow_create",
    "rte_flow_flush",
    "rte_mempool_avail_count",
    "rte_openlog_stream",
    "rte_pktmbuf_alloc",
    "rte_pktmbuf_free",
    "rte_pktmbuf_free_bulk",
    "rte_pktmbuf_pool_create",
    "rte_ring_create",
    "rte_ring_free",
    "rte_ring_sc_dequeue_burst",
    "rte_ring_sp_enqueue_burst",
    "rte_softrss",
    "rte_strerror",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_version",
];

const VARIABLES: &[&str] = &[
    "RING_F_SC_DEQ",
    "RING_F_SP_ENQ",
    "RTE_ETH_RETA_GROUP_SIZE",
    "RTE_MBUF_DEFAULT_BUF_SIZE",
    "RTE_PKTMBUF_HEADROOM",
    "dpdk_rss_ipv4_udp",
];

/// Types that are used, but that no function above names.
const TYPES: &[&str] = &[
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_link",
    "rte_eth_stats",
    "rte_flow_action_queue",
    "rte_flow_item_udp",
    "rte_mbuf",
];

/// What is linked. The rest of DPDK comes with these or with the drivers.
const LIBRARIES: &[&str] = &["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal"];

fn main() {
    println!("cargo:rerun-if-changed=../../build.rs");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");

    let version = pkg_config(&["--modversion"]);
    if version != SERIES && !version.starts_with(&format!("{SERIES}.")) {
        fail(&format!(
            "Pinhole is built against DPDK {SERIES}.x and found {version}: install libdpdk-dev of Debian 12 (apt install libdpdk-dev), or point PKG_CONFIG_PATH at a DPDK {SERIES}"
        ));
    }
    let cflags: Vec<String> = pkg_config(&["--cflags"]).split_whitespace().map(str::to_owned).collect();
    let libdir = pkg_config(&["--variable=libdir"]);
    require_libclang();

    let out = PathBuf::from(
        env::var_os("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set: run this through cargo")),
    );
    let header = out.join("dpdk.h");
    if let Err(error) = std::fs::write(&header, HEADERS) {
        fail(&format!("cannot write {}: {error}", header.display()));
    }
    let wrappers = out.join("wrappers.c");
    let mut builder = bindgen::builder()
        .header(header.to_string_lossy())
        .clang_args(&cflags)
        .wrap_static_fns(true)
        .wrap_static_fns_path(&wrappers)
        .derive_debug(false)
        .generate_comments(false)
        .layout_tests(true)
        .use_core();
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for variable in VARIABLES {
        builder = builder.allowlist_var(variable);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    let bindings = builder.generate().unwrap_or_else(|error| {
        fail(&format!("bindgen cannot read the DPDK headers ({error}): install the compiler's own headers too (apt install libclang-dev libdpdk-dev)"))
    });
    if let Err(error) = bindings.write_to_file(out.join("bindings.rs")) {
        fail(&format!("cannot write the DPDK bindings to {}: {error}", out.display()));
    }

    let mut compiler = cc::Build::new();
    compiler.file(&wrappers).opt_level(3).warnings(false).cargo_warnings(false);
    for flag in &cflags {
        compiler.flag(flag);
    }
    if let Err(error) = compiler.try_compile("dpdk_wrappers") {
        fail(&format!(
            "cannot compile DPDK's inline functions: install a C compiler (apt install gcc libc6-dev libdpdk-dev): {error}"
        ));
    }
    println!("cargo:rustc-link-search=native={libdir}");
    for library in LIBRARIES {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}

/// Asks pkg-config about libdpdk.
fn pkg_config(arguments: &[&str]) -> String {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let output = match Command::new(&program).args(arguments).arg("libdpdk").output() {
        Ok(output) => output,
        Err(error) => fail(&format!("cannot run {program}: {error} (apt install pkg-config)")),
    };
    if !output.status.success() {
        fail(&format!(
            "DPDK {SERIES} is not installed (pkg-config finds no libdpdk): apt install libdpdk-dev"
        ));
    }
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// bindgen loads libclang when first used and panics without it: found out here, said in one line.
fn require_libclang() {
    std::panic::set_hook(Box::new(|_| {}));
    let found = std::panic::catch_unwind(bindgen::clang_version).is_ok();
    drop(std::panic::take_hook());
    if !found {
        fail(
            "libclang is not installed, bindgen needs it to read the DPDK headers: apt install libclang-dev",
        );
    }
}

/// One line for the person who builds, and the end of the build.
fn fail(line: &str) -> ! {
    println!("cargo::error={line}");
    exit(1)
}
