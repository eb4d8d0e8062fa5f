//! my-policy: lets TCP connections to the ports of a list pass.

const evergate = @import("evergate");

const MyPolicy = struct {
    ports: evergate.Ports,
    others: ?evergate.Counter,

    /// Reads the settings and resolves names.
    pub fn init(setup: evergate.Setup) !MyPolicy {
        return .{
            .ports = try .fromSetting(setup, "ports"),
            .others = setup.counter("others"),
        };
    }

    /// Decides about one packet that belongs to no state.
    pub fn decide(self: *MyPolicy, packet: *const evergate.Packet) evergate.Verdict {
        if (packet.isTcp() and self.ports.contains(packet.dport)) return .{ .action = .pass, .rule = 1 };
        if (self.others) |others| others.add(1);
        return .go_on;
    }
};

comptime {
    evergate.policy(MyPolicy);
}
