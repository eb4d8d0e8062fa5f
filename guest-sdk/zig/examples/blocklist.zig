//! blocklist: blocks addresses of a table: countries, scanners, advertisers.
//!
//!     setting   default       meaning
//!     table     "blocklist"   the address table
//!     log       false         whether to log what is blocked
//!
//!     rule 1: from an address of the table, dropped silently
//!     rule 2: to an address of the table, refused, so that its sender sees an error
//!
//! Both count in "blocked".

const evergate = @import("evergate");

const Blocklist = struct {
    table: evergate.Table,
    blocked: ?evergate.Counter,
    log: bool,

    pub fn init(setup: evergate.Setup) !Blocklist {
        const text = try setup.text("table", 0);
        const name = if (text) |*name| name.slice() else "blocklist";
        return .{
            .table = setup.table(name) orelse
                return setup.refuse(&.{ "setting `table`: there is no table `", name, "`" }),
            .blocked = setup.counter("blocked"),
            .log = try setup.flag("log", false),
        };
    }

    pub fn decide(self: *Blocklist, packet: *const evergate.Packet) evergate.Verdict {
        var verdict: evergate.Verdict = .{ .action = .block, .rule = 1 };
        if (!self.table.contains(&packet.src)) {
            if (!self.table.contains(&packet.dst)) return .go_on;
            verdict = .refuse(packet);
            verdict.rule = 2;
        }
        if (self.blocked) |blocked| blocked.add(1);
        verdict.log = self.log;
        return verdict;
    }
};

comptime {
    evergate.policy(Blocklist);
}
