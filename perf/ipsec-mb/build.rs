//! Binds the packaged intel-ipsec-mb with bindgen. The library has no pkg-config file.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-lib=IPSec_MB");
    if let Err(what) = bind() {
        println!("cargo::error={what}");
    }
}

fn bind() -> Result<(), String> {
    let bindings = bindgen::Builder::default()
        // Without the names of version 0.53, which are macros over the same functions.
        .header_contents("ipsec-mb.h", "#define NO_COMPAT_IMB_API_053\n#include <intel-ipsec-mb.h>")
        .allowlist_function("(alloc|free)_mb_mgr|init_mb_mgr_(sse|avx|avx2|avx512)|imb_get_version_str")
        .allowlist_type(
            "IMB_(MGR|JOB|STATUS|CIPHER_MODE|CIPHER_DIRECTION|HASH_ALG|CHAIN_ORDER|KEY_SIZE_BYTES)",
        )
        .allowlist_type("gcm_(key|context)_data")
        .allowlist_var("IMB_CPUFLAGS_(SSE|AVX|AVX2|AVX512)|IMB_MAX_BURST_SIZE")
        .derive_debug(false)
        .generate()
        .map_err(|error| {
            format!("bindgen cannot bind intel-ipsec-mb ({error}): install clang and libipsec-mb-dev")
        })?;
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?;
    let file = PathBuf::from(out).join("bindings.rs");
    bindings.write_to_file(&file).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
