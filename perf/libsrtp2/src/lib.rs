//! The packaged libsrtp2, as an independent implementation to test against and to measure beside.
