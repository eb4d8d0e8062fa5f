const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.resolveTargetQuery(.{ .cpu_arch = .wasm32, .os_tag = .freestanding });
    const sdk = b.createModule(.{ .root_source_file = b.path("evergate.zig") });
    const policy = b.addExecutable(.{
        .name = "my-policy",
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/policy.zig"),
            .target = target,
            .optimize = .ReleaseSmall,
            .strip = true,
            .imports = &.{.{ .name = "evergate", .module = sdk }},
        }),
    });
    policy.entry = .disabled;
    policy.rdynamic = true;
    policy.stack_size = 16 * 1024;
    b.installArtifact(policy);
}
