//! The C header `guest-sdk/evergate.h`, written from the definitions of this crate.

use core::fmt::{Result, Write};

use crate::{
    ABI_VERSION, Action, Direction, ENDED_FIELDS, ENDED_SIZE, EndCause, Field, FieldType, IF_SELF,
    IF_UNKNOWN, IMPORT_MODULE, IMPORTS, INSPECT_MAX, Keep, LogLevel, PAYLOAD_FIELDS, PAYLOAD_SIZE,
    RECORD_FIELDS, RECORD_SIZE, REQUEST_FIELDS, REQUEST_SIZE, ResolveKind, SAVE_MAX, TIMEOUT_MAX_S,
    ValueType, export, flags, record_fields, word_flags,
};

/// Writes the C header.
///
/// # Errors
/// Only the writer's own.
pub fn write_c_header(out: &mut dyn Write) -> Result {
    write_preamble(out)?;
    write_constants(out)?;
    let structs: [(&str, &str, &[Field], usize); 4] = [
        ("eg_request", "What a guest is told about one packet.", &REQUEST_FIELDS, REQUEST_SIZE),
        ("eg_verdict", "What the verdict word cannot hold.", &RECORD_FIELDS, RECORD_SIZE),
        ("eg_payload", "Where the gateway puts payload.", &PAYLOAD_FIELDS, PAYLOAD_SIZE),
        ("eg_state_end", "What a guest is told about a state's end.", &ENDED_FIELDS, ENDED_SIZE),
    ];
    for (name, doc, fields, size) in structs {
        write_struct(out, name, doc, fields, size)?;
    }
    write_imports(out)?;
    write_helpers(out)?;
    out.write_str("\n#endif\n")
}

fn write_preamble(out: &mut dyn Write) -> Result {
    writeln!(
        out,
        "/* Evergate policy ABI, version {ABI_VERSION}. Generated from guest-sdk/abi: do not edit.\n \
         * The meaning of everything here is in ABI.md. A policy in C looks like this:\n \
         *\n \
         *   static eg_request request;\n \
         *   EG_EXPORT({version}) int32_t version(void) {{ return (int32_t)(intptr_t)&request; }}\n \
         *   EG_EXPORT({decide}) int64_t decide(int32_t address) {{\n \
         *     (void)address;\n \
         *     return eg_word(request.dport == 443 ? EG_PASS : EG_CONTINUE, 0, 1, 0);\n \
         *   }}\n \
         */\n\
         #ifndef EVERGATE_H\n#define EVERGATE_H\n\n#include <stdint.h>\n\n\
         #define EG_ABI_VERSION {ABI_VERSION}\n\
         #define EG_EXPORT(name) __attribute__((export_name(#name)))\n\
         #define EG_IMPORT(name) \\\n  \
         __attribute__((import_module(\"{IMPORT_MODULE}\"), import_name(#name)))\n",
        version = export::VERSION,
        decide = export::DECIDE,
    )
}

fn write_constants(out: &mut dyn Write) -> Result {
    out.write_str("/* Actions of a verdict. */\n")?;
    for action in Action::ALL {
        write_define(out, "EG_", action.name(), action as u32)?;
    }
    out.write_str("\n/* Flags of a verdict word. */\n")?;
    write_define(out, "EG_", "log", word_flags::LOG.into())?;
    write_define(out, "EG_", "allow-options", word_flags::ALLOW_OPTIONS.into())?;
    write_define(out, "EG_", "each", word_flags::EACH.into())?;
    out.write_str("\n/* Values of eg_verdict.keep. */\n")?;
    for keep in Keep::ALL {
        write_define(out, "EG_KEEP_", keep.name(), keep as u32)?;
    }
    out.write_str("\n/* Bits of eg_verdict.fields. */\n")?;
    write_define(out, "EG_HAS_", "icmp-code", record_fields::ICMP_CODE.into())?;
    out.write_str("\n/* Values of eg_request.direction. */\n")?;
    write_define(out, "EG_", "forwarded", Direction::Forwarded as u32)?;
    write_define(out, "EG_", "to-gateway", Direction::ToGateway as u32)?;
    write_define(out, "EG_", "from-gateway", Direction::FromGateway as u32)?;
    out.write_str("\n/* Bits of eg_request.flags. */\n")?;
    write_define(out, "EG_", "reassembled", flags::REASSEMBLED.into())?;
    write_define(out, "EG_", "ip-options", flags::IP_OPTIONS.into())?;
    write_define(out, "EG_", "super-packet", flags::SUPER_PACKET.into())?;
    write_define(out, "EG_", "payload-end", flags::PAYLOAD_END.into())?;
    out.write_str("\n/* Values of eg_state_end.cause. */\n")?;
    for cause in EndCause::ALL {
        write_define(out, "EG_END_", cause.name(), cause as u32)?;
    }
    out.write_str(
        "\n/* The most payload to inspect, and the largest blob to save, in bytes. */\n",
    )?;
    write_define(out, "EG_", "inspect-max", INSPECT_MAX.into())?;
    write_define(out, "EG_", "save-max", SAVE_MAX)?;
    out.write_str("\n/* Interface ids with a meaning of their own. */\n")?;
    write_define(out, "EG_IF_", "self", IF_SELF.into())?;
    write_define(out, "EG_IF_", "unknown", IF_UNKNOWN.into())?;
    out.write_str("\n/* Kinds for eg_resolve. */\n")?;
    for kind in ResolveKind::ALL {
        write_define(out, "EG_KIND_", kind.name(), kind as u32)?;
    }
    out.write_str("\n/* Levels for eg_log. */\n")?;
    for level in LogLevel::ALL {
        write_define(out, "EG_LEVEL_", level.name(), level as u32)?;
    }
    out.write_str("\n/* Kinds for eg_clock. */\n")?;
    write_define(out, "EG_CLOCK_", "monotonic-ns", 0)?;
    write_define(out, "EG_CLOCK_", "wall-s", 1)?;
    out.write_str("\n/* The longest timeout of a verdict, in seconds. */\n")?;
    write_define(out, "EG_", "timeout-max-s", TIMEOUT_MAX_S)
}

fn write_define(out: &mut dyn Write, prefix: &str, name: &str, value: u32) -> Result {
    write!(out, "#define {prefix}")?;
    for c in name.chars() {
        out.write_char(if c == '-' { '_' } else { c.to_ascii_uppercase() })?;
    }
    writeln!(out, " {value}")
}

fn write_struct(
    out: &mut dyn Write,
    name: &str,
    doc: &str,
    fields: &[Field],
    size: usize,
) -> Result {
    writeln!(out, "\n/* {doc} */\ntypedef struct {name} {{")?;
    for (index, field) in fields.iter().enumerate() {
        let align = if index == 0 { "_Alignas(8) " } else { "" };
        match field.ty {
            FieldType::U8 => write!(out, "  {align}uint8_t {};", field.name)?,
            FieldType::U16 => write!(out, "  {align}uint16_t {};", field.name)?,
            FieldType::U32 => write!(out, "  {align}uint32_t {};", field.name)?,
            FieldType::U64 => write!(out, "  {align}uint64_t {};", field.name)?,
            FieldType::Address => write!(out, "  {align}uint8_t *{};", field.name)?,
            FieldType::Bytes(n) => write!(out, "  {align}uint8_t {}[{n}];", field.name)?,
        }
        writeln!(out, " /* {}: {} */", field.offset, field.doc)?;
    }
    writeln!(out, "}} {name};")?;
    writeln!(out, "_Static_assert(sizeof({name}) == {size}, \"size of {name}\");")?;
    for field in fields {
        writeln!(
            out,
            "_Static_assert(__builtin_offsetof({name}, {field}) == {offset}, \"{name}.{field}\");",
            field = field.name,
            offset = field.offset,
        )?;
    }
    Ok(())
}

fn write_imports(out: &mut dyn Write) -> Result {
    out.write_str(
        "\n/* What the gateway offers. Pointers are addresses in the guest's memory. */\n",
    )?;
    for function in &IMPORTS {
        writeln!(out, "/* {} */", function.doc)?;
        let result = function.result.map_or("void", c_type);
        write!(out, "EG_IMPORT({name}) extern {result} eg_{name}(", name = function.name)?;
        if function.params.is_empty() {
            out.write_str("void")?;
        }
        for (index, (param, ty)) in function.params.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let ty = match *param {
                "name" | "key" | "text" | "address" => "const void *",
                "out" => "void *",
                _ => c_type(*ty),
            };
            let space = if ty.ends_with('*') { "" } else { " " };
            write!(out, "{comma}{ty}{space}{param}")?;
        }
        out.write_str(");\n")?;
    }
    Ok(())
}

fn c_type(ty: ValueType) -> &'static str {
    match ty {
        ValueType::I32 => "int32_t",
        ValueType::I64 => "int64_t",
    }
}

fn write_helpers(out: &mut dyn Write) -> Result {
    out.write_str(
        "\n/* Puts a verdict word together; record may be 0. */\n\
         static inline int64_t eg_word(uint32_t action, uint32_t flags, uint32_t rule,\n                              \
         const eg_verdict *record) {\n  \
         return (int64_t)((uint64_t)(action & 0xff) | (uint64_t)(flags & 0xff) << 8 |\n                   \
         (uint64_t)(rule & 0xffff) << 16 | (uint64_t)(uint32_t)(uintptr_t)record << 32);\n\
         }\n",
    )
}
