//! Packet views, checksums and drop reasons.
