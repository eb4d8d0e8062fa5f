//! What a module is made of, told without running it.

use wasmparser::{
    CompositeInnerType, Encoding, ExternalKind, FuncType, KnownCustom, Name, Parser, Payload,
    TypeRef,
};

use evergate_abi::export;
use sha2::{Digest, Sha256};

use crate::validate::{Refusal, shown_type};

/// The most of each list that is told.
const LISTED_MAX: usize = 1024;

/// What a module is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// SHA-256 of the file in hexadecimal digits.
    pub hash: String,
    /// Size of the file in bytes.
    pub size: usize,
    /// The version of the ABI that it speaks, if its exports tell.
    pub abi_version: Option<u32>,
    /// Imports as `module.name`, with their types.
    pub imports: Vec<(String, String)>,
    /// Exports, with their types.
    pub exports: Vec<(String, String)>,
    /// Bytes of memory that it begins with.
    pub memory: Option<u64>,
    /// Bytes of memory that it may grow to, if it says.
    pub memory_max: Option<u64>,
    /// How many functions it defines.
    pub functions: u32,
    /// Custom sections and their sizes in bytes.
    pub custom: Vec<(String, usize)>,
    /// The module's own name, if it has a name section that says so.
    pub name: Option<String>,
}

/// Describes a binary module; `file` is what it was read from, for its hash and size.
pub(crate) fn describe(file: &[u8], wasm: &[u8]) -> Result<Description, Refusal> {
    if !wasm.starts_with(b"\0asm") {
        return Err(Refusal::NotWasm);
    }
    let hash: [u8; 32] = Sha256::digest(file).into();
    let mut scan = Scan {
        told: Description {
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            size: file.len(),
            ..Description::default()
        },
        types: Vec::new(),
        functions: Vec::new(),
    };
    for payload in Parser::new(0).parse_all(wasm) {
        scan.payload(payload.map_err(invalid)?)?;
    }
    let versions = scan.told.exports.iter();
    scan.told.abi_version = versions
        .filter_map(|(name, _)| name.strip_prefix(export::VERSION_PREFIX)?.parse().ok())
        .next();
    Ok(scan.told)
}

fn invalid(error: wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Invalid(error.to_string())
}

struct Scan {
    told: Description,
    types: Vec<Option<FuncType>>,
    functions: Vec<u32>,
}

impl Scan {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other sections are not told")]
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                return Err(Refusal::Component);
            }
            Payload::TypeSection(reader) => {
                for group in reader {
                    for ty in group.map_err(invalid)?.types() {
                        self.types.push(match &ty.composite_type.inner {
                            CompositeInnerType::Func(func) => Some(func.clone()),
                            CompositeInnerType::Array(_)
                            | CompositeInnerType::Struct(_)
                            | CompositeInnerType::Cont(_) => None,
                        });
                    }
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports().take(LISTED_MAX) {
                    let import = import.map_err(invalid)?;
                    let ty = match import.ty {
                        TypeRef::Func(index) => {
                            self.functions.push(index);
                            self.type_of(index)
                        }
                        TypeRef::FuncExact(_)
                        | TypeRef::Table(_)
                        | TypeRef::Memory(_)
                        | TypeRef::Global(_)
                        | TypeRef::Tag(_) => "not a function".to_owned(),
                    };
                    let name = format!("{}.{}", clean(import.module), clean(import.name));
                    self.told.imports.push((name, ty));
                }
            }
            Payload::FunctionSection(reader) => {
                self.told.functions = reader.count();
                for ty in reader {
                    self.functions.push(ty.map_err(invalid)?);
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    let memory = memory.map_err(invalid)?;
                    self.told.memory = Some(memory.initial.saturating_mul(65_536));
                    self.told.memory_max = memory.maximum.map(|n| n.saturating_mul(65_536));
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader.into_iter().take(LISTED_MAX) {
                    let export = export.map_err(invalid)?;
                    let ty = self.export_type(export.kind, export.index);
                    self.told.exports.push((clean(export.name), ty));
                }
            }
            Payload::CustomSection(section) if self.told.custom.len() < LISTED_MAX => {
                self.told.custom.push((clean(section.name()), section.data().len()));
                if let KnownCustom::Name(names) = section.as_known() {
                    // A name section that does not parse only lacks a name.
                    let module = names.into_iter().filter_map(Result::ok).find_map(|n| match n {
                        Name::Module { name, .. } => Some(clean(name)),
                        _ => None,
                    });
                    self.told.name = module.or_else(|| self.told.name.take());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn export_type(&self, kind: ExternalKind, index: u32) -> String {
        if kind != ExternalKind::Func {
            return format!("{kind:?}").to_lowercase();
        }
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.functions.get(index).map_or_else(|| "a function".to_owned(), |ty| self.type_of(*ty))
    }

    fn type_of(&self, index: u32) -> String {
        let ty = self.types.get(usize::try_from(index).unwrap_or(usize::MAX));
        ty.and_then(Option::as_ref).map_or_else(|| "a function".to_owned(), shown_type)
    }
}

fn clean(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}
