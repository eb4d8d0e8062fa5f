//! time-of-day: refuses new connections outside of given hours.
//!
//!     setting      default     meaning
//!     from         "00:00"     when the hours begin
//!     to           "24:00"     when they end; earlier than from: on the next day
//!     days         every day   weekdays on which they begin: ["mon", "tue"]
//!     utc_offset   0           minutes that local time is ahead of UTC, -720 to 840
//!     tag          none        tag for packets outside of the hours, instead of refusing them
//!
//!     rule 1: outside of the hours

const std = @import("std");
const evergate = @import("evergate");

const day_min = 24 * 60;
/// 1970-01-01 was a Thursday.
const epoch_weekday = 3;
const weekdays = [_][]const u8{ "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

const TimeOfDay = struct {
    from: i64,
    to: i64,
    /// Bit 0 is Monday.
    days: u8,
    utc_offset: i64,
    tag: ?evergate.Tag,

    pub fn init(setup: evergate.Setup) !TimeOfDay {
        const from = try minuteSetting(setup, "from", 0);
        const to = try minuteSetting(setup, "to", day_min);
        if (from == to) return setup.refuse(&.{"settings `from` and `to` are the same"});
        const tag = try setup.text("tag", 0);
        return .{
            .from = from,
            .to = to,
            .days = try daysSetting(setup),
            .utc_offset = try setup.number(i64, "utc_offset", 0, -720, 840),
            .tag = if (tag) |name| setup.tag(name.slice()) else null,
        };
    }

    pub fn decide(self: *TimeOfDay, packet: *const evergate.Packet) evergate.Verdict {
        if (self.isWithin(@intCast(evergate.wallS()))) return .go_on;
        if (self.tag) |tag| return .{ .action = .go_on, .tag = tag };
        var verdict: evergate.Verdict = .refuse(packet);
        verdict.rule = 1;
        return verdict;
    }

    fn isWithin(self: *const TimeOfDay, wall_s: i64) bool {
        // A week more keeps the first days of 1970 west of Greenwich positive.
        const minutes: u64 = @intCast(@divFloor(wall_s, 60) + self.utc_offset + 7 * day_min);
        const day = minutes / day_min;
        const minute = minutes % day_min;
        if (self.from < self.to) return minute >= self.from and minute < self.to and self.beginsOn(day);
        return (minute >= self.from and self.beginsOn(day)) or
            (minute < self.to and self.beginsOn(day - 1));
    }

    fn beginsOn(self: *const TimeOfDay, day: u64) bool {
        return self.days >> @intCast((day + epoch_weekday) % 7) & 1 == 1;
    }
};

/// Reads a time such as 08:30 as minutes.
fn minuteSetting(setup: evergate.Setup, key: []const u8, default: i64) !i64 {
    const text = try setup.text(key, 0) orelse {
        if (setup.int(key, 0) == null) return default;
        return badTime(setup, key);
    };
    const time = text.slice();
    if (time.len != 5 or time[2] != ':') return badTime(setup, key);
    for ([_]u8{ time[0], time[1], time[3], time[4] }) |c| {
        if (!std.ascii.isDigit(c)) return badTime(setup, key);
    }
    const minutes: i64 = (time[3] - '0') * @as(i64, 10) + time[4] - '0';
    const minute = ((time[0] - '0') * @as(i64, 10) + time[1] - '0') * 60 + minutes;
    return if (minutes < 60 and minute <= day_min) minute else badTime(setup, key);
}

fn badTime(setup: evergate.Setup, key: []const u8) evergate.Refused {
    return setup.refuse(&.{ "setting `", key, "` has to be a time such as 08:30" });
}

fn daysSetting(setup: evergate.Setup) !u8 {
    const bad: []const []const u8 = &.{"setting `days` has to name weekdays such as mon"};
    var days: u8 = 0;
    var index: u32 = 0;
    while (true) : (index += 1) {
        const text = try setup.text("days", index) orelse {
            if (setup.int("days", index) != null) return setup.refuse(bad);
            return if (days == 0) 0x7f else days;
        };
        const day = for (weekdays, 0..) |weekday, n| {
            if (std.mem.eql(u8, text.slice(), weekday)) break n;
        } else return setup.refuse(bad);
        days |= @as(u8, 1) << @intCast(day);
    }
}

comptime {
    evergate.policy(TimeOfDay);
}
