//! rate-limit: blocks what one source begins faster than it may. A source is an IPv4 address or an
//! IPv6 /64: one household, whatever address it picks today.
//!
//!     setting   default    meaning
//!     per_s     10         new connections per second and source, 1 to 1000000
//!     burst     as per_s   how many may come at once, 1 to 1000000
//!
//!     rule 1: over the rate
//!
//! What is blocked counts in "limited". Packets from the gateway itself are not limited.

const evergate = @import("evergate");

const max = 1_000_000;

const RateLimit = struct {
    sources: evergate.Meter,
    limited: ?evergate.Counter,
    per_s: u32,
    burst: u32,

    pub fn init(setup: evergate.Setup) !RateLimit {
        const per_s = try setup.number(u32, "per_s", 10, 1, max);
        return .{
            .sources = setup.meter("sources") orelse return setup.refuse(&.{"there is no room for a meter"}),
            .limited = setup.counter("limited"),
            .per_s = per_s,
            .burst = try setup.number(u32, "burst", per_s, 1, max),
        };
    }

    pub fn decide(self: *RateLimit, packet: *const evergate.Packet) evergate.Verdict {
        if (packet.direction == .from_gateway) return .go_on;
        const key = if (packet.isV4()) packet.src[12..16] else packet.src[0..8];
        if (self.sources.take(key, self.per_s * 1000, self.burst)) return .go_on;
        if (self.limited) |limited| limited.add(1);
        return .{ .action = .block, .rule = 1 };
    }
};

comptime {
    evergate.policy(RateLimit);
}
