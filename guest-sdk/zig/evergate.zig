//! The Zig SDK for Evergate policies: one file, nothing but the language.
//!
//!     const evergate = @import("evergate");
//!
//!     const WebOnly = struct {
//!         pub fn init(_: evergate.Setup) !WebOnly {
//!             return .{};
//!         }
//!
//!         pub fn decide(_: *WebOnly, packet: *const evergate.Packet) evergate.Verdict {
//!             if (packet.isTcp() and packet.dport == 443) return .{ .action = .pass, .rule = 1 };
//!             return .go_on;
//!         }
//!     };
//!
//!     comptime {
//!         evergate.policy(WebOnly);
//!     }

const std = @import("std");

const host = struct {
    extern "evergate" fn resolve(kind: i32, name: [*]const u8, name_len: usize) i32;
    extern "evergate" fn config_int(key: [*]const u8, key_len: usize, index: u32) i64;
    extern "evergate" fn config_str(key: [*]const u8, key_len: usize, index: u32, out: [*]u8, cap: usize) i32;
    extern "evergate" fn table_match(table: i32, address: *const Address) i32;
    extern "evergate" fn count(counter: i32, n: u64) void;
    extern "evergate" fn meter(meter: i32, key: [*]const u8, key_len: usize, rate_milli: u32, burst: u32) i32;
    extern "evergate" fn log(level: i32, text: [*]const u8, text_len: usize) void;
    extern "evergate" fn clock(kind: i32) u64;
    extern "evergate" fn random() u64;
};

/// A 16-byte address; IPv4 as ::ffff:a.b.c.d.
pub const Address = [16]u8;

/// IP protocols; others have their number.
pub const Protocol = enum(u8) { icmp = 1, tcp = 6, udp = 17, icmp6 = 58, _ };

/// Where a packet comes from and goes to, seen from the gateway.
pub const Direction = enum(u8) { forwarded = 0, to_gateway = 1, from_gateway = 2 };

/// One packet, where the gateway described it.
pub const Packet = extern struct {
    size: u16 align(8),
    /// 4 or 6.
    af: u8,
    proto: Protocol,
    direction: Direction,
    tcp_flags: u8,
    icmp_type: u8,
    icmp_code: u8,
    src: Address,
    dst: Address,
    /// Ports; 0 where there are none.
    sport: u16,
    dport: u16,
    /// Ids of interfaces, see `Setup.interface`.
    in_if: u16,
    out_if: u16,
    /// Bytes of the whole IP packet.
    length: u32,
    ttl: u8,
    tos: u8,
    flags: packed struct(u16) { reassembled: bool, ip_options: bool, super_packet: bool, payload_end: bool, _: u12 },
    /// Tag that an earlier policy of the chain set; 0 none.
    tag: u16,
    reserved: [6]u8,

    pub fn isV4(packet: *const Packet) bool {
        return packet.af == 4;
    }

    pub fn isTcp(packet: *const Packet) bool {
        return packet.proto == .tcp;
    }

    pub fn isUdp(packet: *const Packet) bool {
        return packet.proto == .udp;
    }
};

/// How a connection that passes is remembered.
pub const Keep = enum(u8) { state = 0, none = 1, sloppy = 2, loose = 3 };

/// What a policy says about a packet; what is not set is the gateway's default.
pub const Verdict = struct {
    action: enum(u8) { go_on = 0, pass = 1, block = 2, return_rst = 3, return_icmp = 4, inspect = 5 },
    /// Number of the rule that decided, shown in logs.
    rule: u16 = 0,
    log: bool = false,
    allow_options: bool = false,
    /// Decide each further packet of its sender too; not for TCP.
    each: bool = false,
    keep: Keep = .state,
    icmp_code: ?u8 = null,
    tag: ?Tag = null,
    label: ?Label = null,
    timeouts: Timeouts = .{},
    /// How much payload `inspect` wants to see; 0 is what the buffer takes.
    inspect: u16 = 0,

    /// Asks the next policy of the chain.
    pub const go_on: Verdict = .{ .action = .go_on };

    /// Asks to see payload, as much as the buffer takes.
    pub const look: Verdict = .{ .action = .inspect };

    /// Drops the packet and tells its sender at once: a reset for TCP, else "prohibited".
    pub fn refuse(packet: *const Packet) Verdict {
        if (packet.isTcp()) return .{ .action = .return_rst };
        return .{ .action = .return_icmp, .icmp_code = if (packet.isV4()) 13 else 1 };
    }

    fn encode(verdict: Verdict, record: *Record) u64 {
        const needs_record = verdict.keep != .state or verdict.icmp_code != null or
            verdict.tag != null or verdict.label != null or verdict.inspect != 0 or
            !verdict.timeouts.isDefault();
        if (needs_record) record.* = .{
            .keep = verdict.keep,
            .icmp_code = verdict.icmp_code orelse 0,
            .fields = @intFromBool(verdict.icmp_code != null),
            .tag = if (verdict.tag) |tag| tag.id else 0,
            .label = if (verdict.label) |label| label.id else 0,
            .inspect = verdict.inspect,
            .timeouts = verdict.timeouts,
        };
        const address: u64 = if (needs_record) @intFromPtr(record) else 0;
        const flags: packed struct(u64) { log: bool, options: bool, each: bool, _: u61 = 0 } =
            .{ .log = verdict.log, .options = verdict.allow_options, .each = verdict.each };
        return @intFromEnum(verdict.action) | @as(u64, @bitCast(flags)) << 8 | @as(u64, verdict.rule) << 16 | address << 32;
    }
};

/// Timeouts of a state in seconds; 0 is the gateway's.
pub const Timeouts = extern struct {
    first: u32 = 0,
    opening: u32 = 0,
    established: u32 = 0,
    closing: u32 = 0,
    finwait: u32 = 0,
    closed: u32 = 0,

    fn isDefault(t: Timeouts) bool {
        return t.first | t.opening | t.established | t.closing | t.finwait | t.closed == 0;
    }
};

const Record = extern struct {
    size: u16 align(8) = 64,
    keep: Keep = .state,
    icmp_code: u8 = 0,
    fields: u16 = 0,
    tag: u16 = 0,
    label: u16 = 0,
    inspect: u16 = 0,
    timeouts: Timeouts = .{},
    reserved: [28]u8 = @splat(0),
};

comptime {
    std.debug.assert(@sizeOf(Packet) == 64 and @offsetOf(Packet, "length") == 48);
    std.debug.assert(@sizeOf(Record) == 64 and @offsetOf(Record, "timeouts") == 12);
}

/// An address table.
pub const Table = struct {
    id: i32,

    pub fn contains(table: Table, address: *const Address) bool {
        return host.table_match(table.id, address) != 0;
    }
};

/// A counter that operators see.
pub const Counter = struct {
    id: i32,

    pub fn add(counter: Counter, n: u64) void {
        host.count(counter.id, n);
    }
};

/// Token buckets, one per key.
pub const Meter = struct {
    id: i32,

    /// Takes a token from the bucket of a key of at most 32 bytes and tells whether there was one.
    /// The bucket gains `rate_milli` thousandths of a token per second and holds `burst` tokens.
    pub fn take(meter: Meter, key: []const u8, rate_milli: u32, burst: u32) bool {
        return host.meter(meter.id, key.ptr, key.len, rate_milli, burst) != 0;
    }
};

/// A tag that packets carry along the chain.
pub const Tag = struct { id: u16 };

/// A label of states.
pub const Label = struct { id: u16 };

pub const Level = enum(i32) { err = 0, warn = 1, info = 2, debug = 3 };

/// Writes a line to the gateway's log, which cuts it at 256 bytes and limits the rate.
pub fn log(level: Level, text: []const u8) void {
    host.log(@intFromEnum(level), text.ptr, text.len);
}

/// Monotonic nanoseconds at the packet's arrival.
pub fn monotonicNs() u64 {
    return host.clock(0);
}

/// Seconds since 1970 at the packet's arrival.
pub fn wallS() u64 {
    return host.clock(1);
}

/// 64 random bits, not for cryptography.
pub fn random() u64 {
    return host.random();
}

/// A short text that owns its bytes.
pub const Text = struct {
    bytes: [capacity]u8 = undefined,
    len: usize = 0,

    pub const capacity = 112;

    pub fn slice(text: *const Text) []const u8 {
        return text.bytes[0..text.len];
    }

    /// Adds what fits.
    pub fn append(text: *Text, more: []const u8) void {
        const n = @min(more.len, capacity - text.len);
        @memcpy(text.bytes[text.len..][0..n], more[0..n]);
        text.len += n;
    }
};

/// The policy does not want to run; it has said why.
pub const Refused = error{Refused};

/// What a policy can do while it is made: resolve names and read its settings.
pub const Setup = struct {
    fn resolve(kind: i32, name: []const u8) ?i32 {
        const id = host.resolve(kind, name.ptr, name.len);
        return if (id >= 0) id else null;
    }

    /// Says why the policy does not want to run, from the parts of a sentence.
    pub fn refuse(_: Setup, parts: []const []const u8) Refused {
        var sentence: Text = .{};
        for (parts) |part| sentence.append(part);
        log(.err, sentence.slice());
        return error.Refused;
    }

    /// The address table of this name, if the configuration has it.
    pub fn table(_: Setup, name: []const u8) ?Table {
        return .{ .id = resolve(0, name) orelse return null };
    }

    /// A counter; null if there is no room for another. So with meters, tags and labels.
    pub fn counter(_: Setup, name: []const u8) ?Counter {
        return .{ .id = resolve(1, name) orelse return null };
    }

    pub fn meter(_: Setup, name: []const u8) ?Meter {
        return .{ .id = resolve(2, name) orelse return null };
    }

    pub fn tag(_: Setup, name: []const u8) ?Tag {
        return .{ .id = @intCast(resolve(3, name) orelse return null) };
    }

    pub fn label(_: Setup, name: []const u8) ?Label {
        return .{ .id = @intCast(resolve(4, name) orelse return null) };
    }

    /// The id of the interface of this name, if the configuration has it.
    pub fn interface(_: Setup, name: []const u8) ?u16 {
        return @intCast(resolve(5, name) orelse return null);
    }

    /// The index-th value of a setting as a number; a boolean is 0 or 1.
    pub fn int(_: Setup, key: []const u8, index: u32) ?i64 {
        const n = host.config_int(key.ptr, key.len, index);
        return if (n == std.math.minInt(i64)) null else n;
    }

    /// The index-th value of a setting as a text.
    pub fn text(setup: Setup, key: []const u8, index: u32) Refused!?Text {
        var value: Text = .{};
        const len = host.config_str(key.ptr, key.len, index, &value.bytes, Text.capacity);
        if (len < 0) return null;
        if (len > Text.capacity) return setup.refuse(&.{ "setting `", key, "` has a text that is too long" });
        value.len = @intCast(len);
        return value;
    }

    /// A setting that is a number within a range, or else `default`.
    pub fn number(setup: Setup, comptime T: type, key: []const u8, default: T, min: T, max: T) Refused!T {
        if (setup.int(key, 0)) |n| {
            if (n >= min and n <= max) return @intCast(n);
            return setup.refuse(&.{ "setting `", key, "` is out of range" });
        }
        if (try setup.text(key, 0) == null) return default;
        return setup.refuse(&.{ "setting `", key, "` has to be a number" });
    }

    /// A setting that is true or false, or else `default`.
    pub fn flag(setup: Setup, key: []const u8, default: bool) Refused!bool {
        const n = setup.int(key, 0) orelse {
            if (try setup.text(key, 0) == null) return default;
            return setup.refuse(&.{ "setting `", key, "` has to be true or false" });
        };
        if (n == 0 or n == 1) return n == 1;
        return setup.refuse(&.{ "setting `", key, "` has to be true or false" });
    }
};

/// A set of ports, from numbers and ranges: [22, 443, "6000-6010"].
pub const Ports = struct {
    ranges: [capacity]struct { first: u16, last: u16 } = undefined,
    len: usize = 0,

    pub const capacity = 64;

    /// Reads a setting; one that is absent is the empty set.
    pub fn fromSetting(setup: Setup, key: []const u8) Refused!Ports {
        var ports: Ports = .{};
        var index: u32 = 0;
        while (true) : (index += 1) {
            var first: u16 = undefined;
            var last: u16 = undefined;
            if (setup.int(key, index)) |n| {
                if (n < 1 or n > 65535) return setup.refuse(&.{ "setting `", key, "`: a port is 1 to 65535" });
                first = @intCast(n);
                last = first;
            } else if (try setup.text(key, index)) |text| {
                var parts = std.mem.splitScalar(u8, text.slice(), '-');
                first = port(parts.first());
                last = if (parts.next()) |part| port(part) else first;
                if (first == 0 or first > last or parts.next() != null)
                    return setup.refuse(&.{ "setting `", key, "`: `", text.slice(), "` is not a port or a range like 80-90" });
            } else return ports;
            if (ports.len == capacity) return setup.refuse(&.{ "setting `", key, "` has more than 64 entries" });
            ports.ranges[ports.len] = .{ .first = first, .last = last };
            ports.len += 1;
        }
    }

    /// Reads a port; 0 if it is none.
    fn port(part: []const u8) u16 {
        var n: u32 = 0;
        for (std.mem.trim(u8, part, " ")) |c| {
            if (c < '0' or c > '9') return 0;
            n = n * 10 + (c - '0');
            if (n > 65535) return 0;
        }
        return @intCast(n);
    }

    pub fn contains(ports: *const Ports, number: u16) bool {
        for (ports.ranges[0..ports.len]) |range| {
            if (number >= range.first and number <= range.last) return true;
        }
        return false;
    }
};

const Payload = extern struct { address: [*]u8 align(8), capacity: u32 };

/// Exports a policy: a struct with `init(Setup) !Self` and `decide(*Self, *const Packet) Verdict`,
/// and, if it likes, `selfTest(*Self) bool`. One that looks into payload has
/// `inspect(*Self, *const Packet, []const u8) Verdict` and `payload_capacity`, a number of bytes;
/// the payload begins with the first byte every time, and while the packet's flag `payload_end` is
/// false there may be more, which `.look` asks for. Hooks and saved state are exported with
/// `export fn`, as ABI.md describes them.
pub fn policy(comptime Policy: type) void {
    const exports = struct {
        var packet: Packet = undefined;
        var record: Record = .{};
        var self: Policy = undefined;

        fn version() callconv(.c) usize {
            return @intFromPtr(&packet);
        }

        fn init() callconv(.c) i32 {
            self = Policy.init(.{}) catch return 1;
            return 0;
        }

        fn selfTest() callconv(.c) i32 {
            return @intFromBool(!self.selfTest());
        }

        fn decide(_: i32) callconv(.c) u64 {
            return self.decide(&packet).encode(&record);
        }

        var bytes: [if (@hasDecl(Policy, "inspect")) Policy.payload_capacity else 1]u8 = undefined;
        var payload: Payload = .{ .address = &bytes, .capacity = bytes.len };

        fn payloadRecord() callconv(.c) usize {
            return @intFromPtr(&payload);
        }

        fn inspect(_: i32, length: u32) callconv(.c) u64 {
            return self.inspect(&packet, bytes[0..length]).encode(&record);
        }
    };
    @export(&exports.version, .{ .name = "evergate_abi_v1" });
    @export(&exports.init, .{ .name = "init" });
    @export(&exports.decide, .{ .name = "decide" });
    if (@hasDecl(Policy, "inspect")) {
        @export(&exports.payloadRecord, .{ .name = "evergate_payload_v1" });
        @export(&exports.inspect, .{ .name = "inspect" });
    }
    if (@hasDecl(Policy, "selfTest")) @export(&exports.selfTest, .{ .name = "self_test" });
}
