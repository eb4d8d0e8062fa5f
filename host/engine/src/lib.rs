//! From a packet to a verdict, without IO and without a clock.
