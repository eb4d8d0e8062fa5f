//! The transport between gateways over QUIC.
