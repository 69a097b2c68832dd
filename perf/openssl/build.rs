//! Binds the packaged OpenSSL's EVP functions with bindgen.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(what) = bind() {
        println!("cargo::error={what}");
    }
}

fn bind() -> Result<(), String> {
    let library = pkg_config::Config::new().atleast_version("3.0").probe("libcrypto").map_err(|_| {
        "OpenSSL 3.0 or newer, which the kernels are measured beside, was not found by pkg-config: \
         install it with `apt-get install libssl-dev`"
    })?;
    let includes = library.include_paths.iter().map(|path| format!("-I{}", path.display()));
    let bindings = bindgen::Builder::default()
        .header_contents(
            "evp.h",
            "#include <openssl/evp.h>\n#include <openssl/params.h>\n#include <openssl/crypto.h>",
        )
        .clang_args(includes)
        .allowlist_function(
            "EVP_CIPHER_(fetch|free)|EVP_CIPHER_CTX_(new|free|ctrl)|EVP_Cipher(Init_ex|Update|Final_ex)",
        )
        .allowlist_function(
            "EVP_MD_(fetch|free)|EVP_MD_CTX_(new|free|copy_ex)|EVP_Digest(Init_ex|Update|Final_ex)",
        )
        .allowlist_function("OpenSSL_version")
        .allowlist_var("EVP_CTRL_AEAD_(GET|SET)_TAG|OPENSSL_VERSION")
        .derive_debug(false)
        .generate()
        .map_err(|error| format!("bindgen cannot bind OpenSSL ({error}): install clang and libssl-dev"))?;
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?;
    let file = PathBuf::from(out).join("bindings.rs");
    bindings.write_to_file(&file).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
