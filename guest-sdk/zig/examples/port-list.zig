//! port-list: lets connections to listed ports pass, and leaves the rest to the next policy.
//!
//!     setting   default  meaning
//!     tcp       none     TCP ports and ranges: [22, 443, "6000-6010"]
//!     udp       none     UDP ports and ranges
//!     label     none     label of the states that are made
//!
//!     rule 1: a TCP port of the list    rule 2: a UDP port of the list

const evergate = @import("evergate");

const PortList = struct {
    tcp: evergate.Ports,
    udp: evergate.Ports,
    label: ?evergate.Label,

    pub fn init(setup: evergate.Setup) !PortList {
        const label = try setup.text("label", 0);
        return .{
            .tcp = try .fromSetting(setup, "tcp"),
            .udp = try .fromSetting(setup, "udp"),
            .label = if (label) |name| setup.label(name.slice()) else null,
        };
    }

    pub fn decide(self: *PortList, packet: *const evergate.Packet) evergate.Verdict {
        if (packet.isTcp() and self.tcp.contains(packet.dport))
            return .{ .action = .pass, .rule = 1, .label = self.label };
        if (packet.isUdp() and self.udp.contains(packet.dport))
            return .{ .action = .pass, .rule = 2, .label = self.label };
        return .go_on;
    }
};

comptime {
    evergate.policy(PortList);
}
