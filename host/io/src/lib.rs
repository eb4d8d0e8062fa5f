//! Tun devices, netlink, namespaces and clocks: the only unsafe code.
