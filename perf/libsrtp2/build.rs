//! Binds the packaged libsrtp2 with bindgen.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(what) = bind() {
        println!("cargo::error={what}");
    }
}

fn bind() -> Result<(), String> {
    let library = pkg_config::Config::new().atleast_version("2.4").probe("libsrtp2").map_err(|_| {
        "libsrtp2 2.4 or newer, which SRTP is tested against, was not found by pkg-config: \
         install it with `apt-get install libsrtp2-dev`"
    })?;
    let includes = library.include_paths.iter().map(|path| format!("-I{}", path.display()));
    let bindings = bindgen::Builder::default()
        .header_contents("libsrtp2.h", "#include <srtp2/srtp.h>")
        .clang_args(includes)
        .allowlist_function(
            "srtp_(init|get_version_string|create|dealloc|(un)?protect(_rtcp)?_mki|set_stream_roc)",
        )
        .allowlist_function("srtp_crypto_policy_set_aes_cm_(128_hmac_sha1_32|(192|256)_hmac_sha1_(80|32))")
        .allowlist_function("srtp_crypto_policy_set_(rtp_default|aes_gcm_(128|256)_16_auth)")
        .allowlist_var("SRTP_MAX_(TRAILER|KEY)_LEN")
        .derive_debug(false)
        .generate()
        .map_err(|error| format!("bindgen cannot bind libsrtp2 ({error}): install clang and libsrtp2-dev"))?;
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?;
    let file = PathBuf::from(out).join("bindings.rs");
    bindings.write_to_file(&file).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
