//! Batch SRTP transforms: AES-CM with HMAC-SHA1 and AES-GCM.
