//! What is checked of a module before any of it is compiled.
//!
//! Compiling is the one costly step that no fuel bounds, so whatever makes it costly is bounded
//! here: bytes, functions, the size of one function, parameters and locals.

use std::collections::HashMap;

use evergate_abi::{Function, IMPORT_MODULE, IMPORTS, ValueType, export};
use wasmparser::{
    CompositeInnerType, Export, ExternalKind, FuncType, FunctionBody, Import, MemoryType, Parser,
    Payload, SubType, TypeRef, ValType, Validator, WasmFeatures,
};

use crate::error::other_version;
use crate::limits::Limits;
use crate::wasi::{WASI_MODULE, function_named};

/// The most functions of a module.
pub const FUNCTIONS_MAX: usize = 8_192;
/// The largest function body in bytes; compile time grows faster than a body.
pub const FUNCTION_BYTES_MAX: usize = 128 * 1024;
/// The most locals of one function.
pub const LOCALS_MAX: usize = 5_000;
/// The most locals of all functions together.
pub const LOCALS_TOTAL_MAX: usize = 200_000;
/// The most locals times bytes, summed over all functions: what the compiler's time for a function
/// with many branches grows with. About four seconds.
pub const LOCALS_BYTES_MAX: usize = 256_000_000;
/// The most parameters, and results, of one type.
pub const TYPE_ARITY_MAX: usize = 64;
/// The most types of a module.
pub const TYPES_MAX: usize = 4_096;
/// The most globals of a module; each instance holds them.
pub const GLOBALS_MAX: usize = 4_096;
/// The most exports of a module.
pub const EXPORTS_MAX: usize = 1_024;
const PAGE: u64 = 65_536;

/// Why a module was refused before it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The file is too large.
    #[error("it has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It is neither a wasm module nor text.
    #[error("it is neither a wasm module nor its text form (it does not begin with \\0asm or `(`)")]
    NotWasm,
    /// It is a component.
    #[error(
        "it is a component; components need the component model, which this gateway does not run: \
         build it as a core module (see `evergate policy new`)"
    )]
    Component,
    /// It breaks the rules of wasm, or uses a feature that is off.
    #[error("it is not a valid module: {0}")]
    Invalid(String),
    /// It has too much of something.
    #[error("it has {found} {what}, the limit is {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// It imports what the gateway does not offer.
    #[error("it imports `{module}.{name}`, which the gateway does not offer")]
    UnknownImport {
        /// The module name.
        module: String,
        /// The import's name.
        name: String,
    },
    /// It imports a host function with another type.
    #[error("it imports `{name}` as {found}, the gateway offers {expected}")]
    ImportType {
        /// The import's name.
        name: String,
        /// The type it wants.
        found: String,
        /// The type there is.
        expected: String,
    },
    /// It lacks an export.
    #[error("it does not export `{name}` {expected}")]
    MissingExport {
        /// The export's name.
        name: &'static str,
        /// The type it should have.
        expected: &'static str,
    },
    /// An export has another type.
    #[error("it exports `{name}` as {found}, expected {expected}")]
    ExportType {
        /// The export's name.
        name: String,
        /// The type it has.
        found: String,
        /// The type it should have.
        expected: &'static str,
    },
    /// It speaks another version.
    #[error("{0}")]
    Version(String),
}

/// The features of wasm that policies may use.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM1
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::SIMD);

/// Checks a binary module.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if !bytes.starts_with(b"\0asm") {
        return Err(Refusal::NotWasm);
    }
    let mut scan = Scan::default();
    for payload in Parser::new(0).parse_all(bytes) {
        scan.payload(payload.map_err(invalid)?, limits)?;
    }
    Validator::new_with_features(FEATURES).validate_all(bytes).map_err(invalid)?;
    scan.check_exports()
}

fn invalid(error: wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Invalid(error.to_string())
}

fn at_most(what: &'static str, found: impl TryInto<u64>, limit: usize) -> Result<(), Refusal> {
    let found = found.try_into().unwrap_or(u64::MAX);
    let limit = limit as u64;
    if found > limit { Err(Refusal::TooMany { what, found, limit }) } else { Ok(()) }
}

/// What the export rules need to know of a module.
#[derive(Default)]
struct Scan {
    types: Vec<Option<FuncType>>,
    /// The type index of every function, imported ones first.
    functions: Vec<u32>,
    memories: Vec<MemoryType>,
    exports: HashMap<String, (ExternalKind, u32)>,
    locals: usize,
    locals_bytes: usize,
}

impl Scan {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the validator looks at the other sections, and nothing there is costly to compile"
    )]
    fn payload(&mut self, payload: Payload<'_>, limits: &Limits) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(Refusal::Component);
            }
            Payload::TypeSection(reader) => {
                for group in reader {
                    for ty in group.map_err(invalid)?.types() {
                        self.add_type(ty)?;
                    }
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    self.import(&import.map_err(invalid)?)?;
                }
            }
            Payload::FunctionSection(reader) => {
                at_most("functions", reader.count(), FUNCTIONS_MAX)?;
                for ty in reader {
                    self.functions.push(ty.map_err(invalid)?);
                }
            }
            Payload::MemorySection(reader) => {
                at_most("memories", reader.count(), 1)?;
                for memory in reader {
                    let memory = memory.map_err(invalid)?;
                    at_most("bytes of memory", memory.initial.saturating_mul(PAGE), limits.memory)?;
                    self.memories.push(memory);
                }
            }
            Payload::TableSection(reader) => {
                at_most("tables", reader.count(), 1)?;
                for table in reader {
                    let initial = table.map_err(invalid)?.ty.initial;
                    at_most("table elements", initial, limits.table_elements)?;
                }
            }
            Payload::GlobalSection(reader) => at_most("globals", reader.count(), GLOBALS_MAX)?,
            Payload::ExportSection(reader) => {
                at_most("exports", reader.count(), EXPORTS_MAX)?;
                for export in reader {
                    let Export { name, kind, index } = export.map_err(invalid)?;
                    self.exports.insert(name.to_owned(), (kind, index));
                }
            }
            Payload::CodeSectionEntry(body) => self.body(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn add_type(&mut self, ty: &SubType) -> Result<(), Refusal> {
        at_most("types", self.types.len() + 1, TYPES_MAX)?;
        let func = match &ty.composite_type.inner {
            CompositeInnerType::Func(func) => {
                at_most("parameters in one type", func.params().len(), TYPE_ARITY_MAX)?;
                at_most("results in one type", func.results().len(), TYPE_ARITY_MAX)?;
                Some(func.clone())
            }
            CompositeInnerType::Array(_)
            | CompositeInnerType::Struct(_)
            | CompositeInnerType::Cont(_) => None,
        };
        self.types.push(func);
        Ok(())
    }

    fn import(&mut self, import: &Import<'_>) -> Result<(), Refusal> {
        at_most("imports", self.functions.len() + 1, EXPORTS_MAX)?;
        let offered = match import.module {
            IMPORT_MODULE => IMPORTS.iter().find(|function| function.name == import.name),
            WASI_MODULE => function_named(import.name),
            _ => None,
        };
        let Some(function) = offered else {
            return Err(Refusal::UnknownImport {
                module: short(import.module),
                name: short(import.name),
            });
        };
        let found = match import.ty {
            TypeRef::Func(index) => {
                self.functions.push(index);
                self.func_type(index)
            }
            TypeRef::FuncExact(_)
            | TypeRef::Table(_)
            | TypeRef::Memory(_)
            | TypeRef::Global(_)
            | TypeRef::Tag(_) => None,
        };
        if !found.is_some_and(|ty| same(ty, function)) {
            return Err(Refusal::ImportType {
                name: function.name.to_owned(),
                found: found.map_or_else(|| "something that is no function".to_owned(), show),
                expected: show(&wanted(function)),
            });
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let bytes = body.range().len();
        at_most("bytes in one function", bytes, FUNCTION_BYTES_MAX)?;
        let mut locals = 0usize;
        for group in body.get_locals_reader().map_err(invalid)? {
            let (count, _) = group.map_err(invalid)?;
            locals = locals.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
        }
        at_most("locals in one function", locals, LOCALS_MAX)?;
        self.locals = self.locals.saturating_add(locals);
        at_most("locals in all functions", self.locals, LOCALS_TOTAL_MAX)?;
        self.locals_bytes = self.locals_bytes.saturating_add(locals.saturating_mul(bytes));
        at_most("locals times bytes in all functions", self.locals_bytes, LOCALS_BYTES_MAX)
    }

    fn func_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(usize::try_from(index).ok()?)?.as_ref()
    }

    fn check_exports(&self) -> Result<(), Refusal> {
        let found = |name: &str| self.exports.get(name).copied();
        if found(export::VERSION).is_none()
            && let Some(other) = self.exports.keys().filter(|n| is_version(n)).min()
        {
            return Err(Refusal::Version(other_version(&short(other))));
        }
        match found(export::MEMORY) {
            Some((ExternalKind::Memory, _)) => {}
            Some((kind, _)) => {
                return Err(Refusal::ExportType {
                    name: export::MEMORY.to_owned(),
                    found: format!("a {kind:?}").to_lowercase(),
                    expected: "the linear memory",
                });
            }
            None => {
                return Err(Refusal::MissingExport {
                    name: export::MEMORY,
                    expected: "(the linear memory)",
                });
            }
        }
        let i32_result = ([].as_slice(), [ValType::I32].as_slice(), "() -> i32");
        let decide = ([ValType::I32].as_slice(), [ValType::I64].as_slice(), "(i32) -> i64");
        let nothing = ([].as_slice(), [].as_slice(), "() -> ()");
        self.check_function(export::VERSION, true, i32_result)?;
        self.check_function(export::DECIDE, true, decide)?;
        self.check_function(export::INIT, false, i32_result)?;
        self.check_function(export::SELF_TEST, false, i32_result)?;
        self.check_function(export::INITIALIZE, false, nothing)?;
        self.check_optional(found)
    }

    /// What belongs to payload and hooks: the symbol that announces it makes the rest required.
    fn check_optional(
        &self,
        found: impl Fn(&str) -> Option<(ExternalKind, u32)>,
    ) -> Result<(), Refusal> {
        const I32: &[ValType] = &[ValType::I32];
        const I64: &[ValType] = &[ValType::I64];
        let address = ([].as_slice(), I32, "() -> i32");
        let inspect = ([ValType::I32; 2].as_slice(), I64, "(i32, i32) -> i64");
        let tick = ([ValType::I64; 2].as_slice(), [].as_slice(), "(i64, i64) -> ()");
        let nothing = ([].as_slice(), [].as_slice(), "() -> ()");
        if found(export::PAYLOAD).is_some() {
            self.check_function(export::PAYLOAD, true, address)?;
            self.check_function(export::INSPECT, true, inspect)?;
        }
        if found(export::STATE_END).is_some() {
            self.check_function(export::STATE_END, true, address)?;
            self.check_function(export::ON_STATE_END, true, (I32, &[], "(i32) -> ()"))?;
        }
        if found(export::SAVE_VERSION).is_some() {
            self.check_function(export::SAVE_VERSION, true, address)?;
            self.check_function(export::SAVE, true, (&[], I64, "() -> i64"))?;
            self.check_function(export::RESTORE_BUFFER, true, (I32, I32, "(i32) -> i32"))?;
            let restore = ([ValType::I32; 2].as_slice(), I32, "(i32, i32) -> i32");
            self.check_function(export::RESTORE, true, restore)?;
        }
        self.check_function(export::ON_TICK, false, tick)?;
        self.check_function(export::ON_LOAD, false, nothing)?;
        self.check_function(export::ON_UNLOAD, false, nothing)
    }

    fn check_function(
        &self,
        name: &'static str,
        required: bool,
        (params, results, expected): (&[ValType], &[ValType], &'static str),
    ) -> Result<(), Refusal> {
        let Some((kind, index)) = self.exports.get(name).copied() else {
            return if required { Err(Refusal::MissingExport { name, expected }) } else { Ok(()) };
        };
        let ty = (kind == ExternalKind::Func)
            .then(|| self.functions.get(usize::try_from(index).ok()?))
            .flatten()
            .and_then(|ty| self.func_type(*ty));
        match ty {
            Some(ty) if ty.params() == params && ty.results() == results => Ok(()),
            Some(_) | None => Err(Refusal::ExportType {
                name: name.to_owned(),
                found: ty.map_or_else(|| "something that is no function".to_owned(), show),
                expected,
            }),
        }
    }
}

fn is_version(name: &str) -> bool {
    name.strip_prefix(export::VERSION_PREFIX)
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn val_type(ty: ValueType) -> ValType {
    match ty {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
    }
}

fn wanted(function: &Function) -> FuncType {
    let params = function.params.iter().map(|(_, ty)| val_type(*ty));
    FuncType::new(params, function.result.map(val_type))
}

fn same(ty: &FuncType, function: &Function) -> bool {
    *ty == wanted(function)
}

pub(crate) fn shown_type(ty: &FuncType) -> String {
    show(ty)
}

fn show(ty: &FuncType) -> String {
    let list =
        |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let results = match ty.results() {
        [one] => one.to_string(),
        several => format!("({})", list(several)),
    };
    format!("({}) -> {results}", list(ty.params()))
}

fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
