//! The packaged OpenSSL's EVP functions, as a reference that the kernels are measured beside.
//!
//! Only for benchmarks: nothing that is shipped links it. A context holds an expanded key; a packet gives it
//! an IV and nothing else, which is the quickest way that EVP offers.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::{self, NonNull};

#[expect(non_camel_case_types, reason = "bindgen names")]
#[allow(missing_docs, dead_code, clippy::all, reason = "bindgen output")]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

/// Length of a GCM tag.
pub const GCM_TAG: usize = 16;

/// OpenSSL did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A function failed: memory is short, or the algorithm is disabled.
    #[error("OpenSSL's {0} failed")]
    Failed(&'static str),
    /// The tag does not match.
    #[error("authentication failed")]
    AuthFailed,
}

/// The library's version, such as "OpenSSL 3.0.19 27 Jan 2026".
pub fn version() -> String {
    // SAFETY: a constant string of the library.
    unsafe { CStr::from_ptr(sys::OpenSSL_version(sys::OPENSSL_VERSION as c_int)) }
        .to_string_lossy()
        .into_owned()
}

/// What a [`Cipher`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// AES in counter mode, which encrypts and decrypts alike.
    Counter,
    /// AES-GCM, to encrypt.
    GcmSeal,
    /// AES-GCM, to decrypt.
    GcmOpen,
}

/// A cipher context with its key.
pub struct Cipher {
    context: NonNull<sys::EVP_CIPHER_CTX>,
}

impl Cipher {
    /// Expands an AES key of 16 or 32 bytes.
    pub fn new(mode: Mode, key: &[u8]) -> Result<Self, Error> {
        let name = match (mode, key.len()) {
            (Mode::Counter, 16) => c"AES-128-CTR",
            (Mode::Counter, 32) => c"AES-256-CTR",
            (_, 16) => c"AES-128-GCM",
            (_, 32) => c"AES-256-GCM",
            _ => return Err(Error::Failed("EVP_CIPHER_fetch")),
        };
        // SAFETY: allocates; null if it cannot.
        let context =
            NonNull::new(unsafe { sys::EVP_CIPHER_CTX_new() }).ok_or(Error::Failed("EVP_CIPHER_CTX_new"))?;
        let cipher = Self { context };
        let encrypt = c_int::from(mode != Mode::GcmOpen);
        // SAFETY: the key has the cipher's length; the context keeps its own reference to the cipher.
        let result = unsafe {
            let fetched = sys::EVP_CIPHER_fetch(ptr::null_mut(), name.as_ptr(), ptr::null());
            let result = sys::EVP_CipherInit_ex(
                context.as_ptr(),
                fetched,
                ptr::null_mut(),
                key.as_ptr(),
                ptr::null(),
                encrypt,
            );
            sys::EVP_CIPHER_free(fetched);
            result
        };
        check(result, "EVP_CipherInit_ex")?;
        Ok(cipher)
    }

    /// Encrypts or decrypts in counter mode, in place.
    pub fn counter(&mut self, iv: &[u8; 16], payload: &mut [u8]) -> Result<(), Error> {
        self.set_iv(iv)?;
        self.update(payload)
    }

    /// Encrypts in place; returns the tag.
    pub fn seal(&mut self, iv: &[u8; 12], aad: &[u8], payload: &mut [u8]) -> Result<[u8; GCM_TAG], Error> {
        self.set_iv(iv)?;
        self.associate(aad)?;
        self.update(payload)?;
        check(self.finish(), "EVP_CipherFinal_ex")?;
        let mut tag = [0; GCM_TAG];
        self.tag(sys::EVP_CTRL_AEAD_GET_TAG, &mut tag)?;
        Ok(tag)
    }

    /// Decrypts in place and checks the tag; the payload is changed even if the tag is wrong.
    pub fn open(
        &mut self,
        iv: &[u8; 12],
        aad: &[u8],
        payload: &mut [u8],
        mut tag: [u8; GCM_TAG],
    ) -> Result<(), Error> {
        self.set_iv(iv)?;
        self.tag(sys::EVP_CTRL_AEAD_SET_TAG, &mut tag)?;
        self.associate(aad)?;
        self.update(payload)?;
        check(self.finish(), "EVP_CipherFinal_ex").map_err(|_| Error::AuthFailed)
    }

    fn set_iv(&mut self, iv: &[u8]) -> Result<(), Error> {
        // SAFETY: the callers give an IV of the mode's length; -1 leaves the direction as it is.
        let result = unsafe {
            sys::EVP_CipherInit_ex(
                self.context.as_ptr(),
                ptr::null(),
                ptr::null_mut(),
                ptr::null(),
                iv.as_ptr(),
                -1,
            )
        };
        check(result, "EVP_CipherInit_ex")
    }

    fn associate(&mut self, aad: &[u8]) -> Result<(), Error> {
        let mut written = 0;
        let aad_len = c_int::try_from(aad.len()).map_err(|_| Error::Failed("EVP_CipherUpdate"))?;
        // SAFETY: without an output buffer the bytes are associated data.
        let result = unsafe {
            sys::EVP_CipherUpdate(self.context.as_ptr(), ptr::null_mut(), &mut written, aad.as_ptr(), aad_len)
        };
        check(result, "EVP_CipherUpdate")
    }

    fn update(&mut self, payload: &mut [u8]) -> Result<(), Error> {
        let mut written = 0;
        let len = c_int::try_from(payload.len()).map_err(|_| Error::Failed("EVP_CipherUpdate"))?;
        let at = payload.as_mut_ptr();
        // SAFETY: a stream cipher writes as much as it reads, and may do so in place.
        let result = unsafe { sys::EVP_CipherUpdate(self.context.as_ptr(), at, &mut written, at, len) };
        check(result, "EVP_CipherUpdate")
    }

    fn finish(&mut self) -> c_int {
        let (mut rest, mut written) = ([0; 32], 0);
        // SAFETY: a stream cipher has nothing left to write; a block cipher would have 16 bytes.
        unsafe { sys::EVP_CipherFinal_ex(self.context.as_ptr(), rest.as_mut_ptr(), &mut written) }
    }

    fn tag(&mut self, control: u32, tag: &mut [u8; GCM_TAG]) -> Result<(), Error> {
        // SAFETY: reads or writes as many bytes as the tag has.
        let result = unsafe {
            sys::EVP_CIPHER_CTX_ctrl(
                self.context.as_ptr(),
                control as c_int,
                GCM_TAG as c_int,
                tag.as_mut_ptr().cast(),
            )
        };
        check(result, "EVP_CIPHER_CTX_ctrl")
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once.
        unsafe { sys::EVP_CIPHER_CTX_free(self.context.as_ptr()) };
    }
}

/// An HMAC-SHA1 context with its key.
pub struct Mac {
    context: NonNull<sys::EVP_MAC_CTX>,
}

impl Mac {
    /// Prepares a key.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        // SAFETY: strings are constants; the context keeps its own reference to the algorithm; the parameters
        // live until the call that reads them returns.
        unsafe {
            let hmac = sys::EVP_MAC_fetch(ptr::null_mut(), c"HMAC".as_ptr(), ptr::null());
            let context = sys::EVP_MAC_CTX_new(hmac);
            sys::EVP_MAC_free(hmac);
            let context = NonNull::new(context).ok_or(Error::Failed("EVP_MAC_CTX_new"))?;
            let mac = Self { context };
            let mut digest = *b"SHA1\0";
            let name = c"digest".as_ptr();
            let params = [
                sys::OSSL_PARAM_construct_utf8_string(name, digest.as_mut_ptr().cast::<c_char>(), 0),
                sys::OSSL_PARAM_construct_end(),
            ];
            let result = sys::EVP_MAC_init(context.as_ptr(), key.as_ptr(), key.len(), params.as_ptr());
            check(result, "EVP_MAC_init")?;
            Ok(mac)
        }
    }

    /// The untruncated tag of a message.
    pub fn tag(&mut self, message: &[u8]) -> Result<[u8; 20], Error> {
        let context = self.context.as_ptr();
        let (mut tag, mut written) = ([0; 20], 0);
        // SAFETY: without a key the prepared one is used again; the tag has room for what is written.
        let results = unsafe {
            [
                sys::EVP_MAC_init(context, ptr::null(), 0, ptr::null()),
                sys::EVP_MAC_update(context, message.as_ptr(), message.len()),
                sys::EVP_MAC_final(context, tag.as_mut_ptr(), &mut written, tag.len()),
            ]
        };
        check(c_int::from(results == [1; 3]), "EVP_MAC_final")?;
        Ok(tag)
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once.
        unsafe { sys::EVP_MAC_CTX_free(self.context.as_ptr()) };
    }
}

fn check(result: c_int, function: &'static str) -> Result<(), Error> {
    if result == 1 { Ok(()) } else { Err(Error::Failed(function)) }
}
