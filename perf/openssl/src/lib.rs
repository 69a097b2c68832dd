//! The packaged OpenSSL's EVP functions, as a reference that the kernels are measured beside.
//!
//! Only for benchmarks: nothing that is shipped links it. A context holds an expanded key; a packet gives it
//! an IV and nothing else, which is the quickest way that EVP offers.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

#[expect(non_camel_case_types, reason = "bindgen names")]
#[allow(missing_docs, dead_code, clippy::all, reason = "bindgen output")]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

/// Length of a GCM tag.
pub const GCM_TAG: usize = 16;

/// Length of a SHA-1 digest.
const SHA1: usize = 20;

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

/// A SHA-1 context.
struct Digest {
    context: NonNull<sys::EVP_MD_CTX>,
}

impl Digest {
    /// A context that has taken in one block.
    fn of(block: &[u8; 64]) -> Result<Self, Error> {
        // SAFETY: allocates; null if it cannot.
        let context =
            NonNull::new(unsafe { sys::EVP_MD_CTX_new() }).ok_or(Error::Failed("EVP_MD_CTX_new"))?;
        let digest = Self { context };
        // SAFETY: the context keeps its own reference to the algorithm, and reads 64 bytes.
        let results = unsafe {
            let sha1 = sys::EVP_MD_fetch(ptr::null_mut(), c"SHA1".as_ptr(), ptr::null());
            let initialised = sys::EVP_DigestInit_ex(context.as_ptr(), sha1, ptr::null_mut());
            sys::EVP_MD_free(sha1);
            [initialised, sys::EVP_DigestUpdate(context.as_ptr(), block.as_ptr().cast(), block.len())]
        };
        check(c_int::from(results == [1; 2]), "EVP_DigestUpdate")?;
        Ok(digest)
    }

    /// The digest of what `midstate` has taken in and of `message`.
    fn finish(&mut self, midstate: &Self, message: &[u8]) -> Result<[u8; SHA1], Error> {
        let context = self.context.as_ptr();
        let (mut digest, mut written) = ([0; SHA1], 0);
        // SAFETY: both contexts are alive; the digest has room for what is written.
        let results = unsafe {
            [
                sys::EVP_MD_CTX_copy_ex(context, midstate.context.as_ptr()),
                sys::EVP_DigestUpdate(context, message.as_ptr().cast(), message.len()),
                sys::EVP_DigestFinal_ex(context, digest.as_mut_ptr(), &mut written),
            ]
        };
        check(c_int::from(results == [1; 3]), "EVP_DigestFinal_ex")?;
        Ok(digest)
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        // SAFETY: allocated in `of`, freed once.
        unsafe { sys::EVP_MD_CTX_free(self.context.as_ptr()) };
    }
}

/// HMAC-SHA1 with its key: a context after each of the two padded keys. Quicker than EVP_MAC, which copies as
/// many contexts for a packet and does more beside.
pub struct Mac {
    inner: Digest,
    outer: Digest,
}

/// The context that [`Mac`]s work in.
pub struct Scratch(Digest);

impl Scratch {
    /// One is enough for any number of keys.
    pub fn new() -> Result<Self, Error> {
        Ok(Self(Digest::of(&[0; 64])?))
    }
}

impl Mac {
    /// Prepares a key of at most 64 bytes.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        let padded = |pad| {
            let mut block = [pad; 64];
            block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
            Digest::of(&block)
        };
        Ok(Self { inner: padded(0x36)?, outer: padded(0x5c)? })
    }

    /// The untruncated tag of a message.
    pub fn tag(&self, Scratch(scratch): &mut Scratch, message: &[u8]) -> Result<[u8; SHA1], Error> {
        let inner = scratch.finish(&self.inner, message)?;
        scratch.finish(&self.outer, &inner)
    }
}

fn check(result: c_int, function: &'static str) -> Result<(), Error> {
    if result == 1 { Ok(()) } else { Err(Error::Failed(function)) }
}
