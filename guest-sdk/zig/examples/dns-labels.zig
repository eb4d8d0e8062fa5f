//! dns-labels: refuses DNS queries for names with a listed label, whatever is around it. It looks
//! into what goes to port 53, over UDP and TCP; over TCP into the first query.
//!
//!     setting   default   meaning
//!     labels    none      up to 8 labels: ["ads", "tracker"]
//!
//!     rule 1: a listed label    rule 2: not a query of one name
//!
//! Both count in "blocked" and are logged.

const std = @import("std");
const evergate = @import("evergate");

const header = 12;
/// RFC 1035 2.3.4; the root's byte is not counted.
const name_max = 254;
const label_max = 63;
const labels_max = 8;
/// So that the work is bounded; a name of ip6.arpa has 34.
const name_labels_max = 40;

const DnsLabels = struct {
    labels: [labels_max]evergate.Text = undefined,
    len: u32 = 0,
    blocked: ?evergate.Counter,

    pub const payload_capacity = 1024;

    pub fn init(setup: evergate.Setup) !DnsLabels {
        var self: DnsLabels = .{ .blocked = setup.counter("blocked") };
        while (try setup.text("labels", self.len)) |label| : (self.len += 1) {
            if (label.len == 0 or label.len > label_max)
                return setup.refuse(&.{"setting `labels`: a label has 1 to 63 bytes"});
            if (std.mem.findScalar(u8, label.slice(), '.') != null)
                return setup.refuse(&.{"setting `labels`: a label has no dot"});
            if (self.len == labels_max) return setup.refuse(&.{"setting `labels` has more than 8 entries"});
            self.labels[self.len] = label;
        }
        if (setup.int("labels", self.len) != null)
            return setup.refuse(&.{"setting `labels` has to hold texts"});
        return self;
    }

    pub fn decide(_: *DnsLabels, packet: *const evergate.Packet) evergate.Verdict {
        const is_dns = (packet.isUdp() or packet.isTcp()) and packet.dport == 53;
        return if (is_dns) .look else .go_on;
    }

    pub fn inspect(self: *DnsLabels, packet: *const evergate.Packet, payload: []const u8) evergate.Verdict {
        var message = payload;
        if (packet.isTcp()) message = messageOf(payload) orelse empty: {
            if (!packet.flags.payload_end) return .look;
            break :empty &.{};
        };
        const is_listed = self.isListed(message) catch null;
        if (is_listed == false) return .{ .action = .go_on, .each = true };
        if (self.blocked) |blocked| blocked.add(1);
        var verdict: evergate.Verdict = .refuse(packet);
        verdict.rule = if (is_listed == null) 2 else 1;
        verdict.log = true;
        return verdict;
    }

    /// Tells whether the name that a query asks for has a listed label (RFC 1035 4.1).
    fn isListed(self: *const DnsLabels, message: []const u8) error{NoQuery}!bool {
        if (message.len < header or message[2] & 0x80 != 0 or message[4] != 0 or message[5] != 1)
            return error.NoQuery;
        var is_listed = false;
        var at: usize = header;
        for (0..name_labels_max + 1) |_| {
            if (at == message.len) break;
            const length = message[at];
            at += 1;
            // Behind the root, type and class follow.
            if (length == 0) return if (message.len - at >= 4) is_listed else error.NoQuery;
            if (length > label_max or message.len - at < length) return error.NoQuery;
            is_listed = is_listed or self.hasLabel(message[at..][0..length]);
            at += length;
            if (at - header > name_max) return error.NoQuery;
        }
        return error.NoQuery;
    }

    fn hasLabel(self: *const DnsLabels, label: []const u8) bool {
        for (self.labels[0..self.len]) |*listed| {
            if (std.ascii.eqlIgnoreCase(listed.slice(), label)) return true;
        }
        return false;
    }
};

/// Returns a message behind its length, once all of it is there (RFC 1035 4.2.2).
fn messageOf(payload: []const u8) ?[]const u8 {
    if (payload.len < 2) return null;
    const length = std.mem.readInt(u16, payload[0..2], .big);
    return if (payload.len - 2 < length) null else payload[2..][0..length];
}

comptime {
    evergate.policy(DnsLabels);
}
