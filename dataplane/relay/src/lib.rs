//! What happens to a burst of frames: parse, match, unprotect, readdress, protect.
