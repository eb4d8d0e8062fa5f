//! The policy ABI, shared by the gateway and its guests.
