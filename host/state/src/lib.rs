//! State keys, states and connection tracking.
