//! The kernel's wasm with an image put into its memory.

use evergate_rules_kernel::layout::IMAGE_WORDS_MAX;
use wasm_encoder::{MemorySection, MemoryType, Module, RawSection, SectionId};

/// The kernel, built from its source by `kernel/build`.
static KERNEL: &[u8] = include_bytes!("kernel.wasm");
const PAGE: usize = 65_536;
const CUSTOM: u8 = 0;
const MEMORY: u8 = 5;
const GLOBAL: u8 = 6;
const EXPORT: u8 = 7;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;

/// Reads numbers and names of the binary format.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// An LEB128 number of up to 32 bits; signed ones that are addresses are not negative.
    fn number(&mut self) -> Option<usize> {
        let mut n = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            n |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }
}

fn sections() -> Vec<(u8, &'static [u8])> {
    let mut reader = Reader(KERNEL.get(8..).unwrap_or(&[]));
    let mut sections = Vec::new();
    while let Some(id) = reader.byte() {
        let Some(body) = reader.number().and_then(|len| reader.take(len)) else { break };
        if id != CUSTOM {
            sections.push((id, body));
        }
    }
    sections
}

/// Where the kernel's memory has its image: the exported global's value.
fn image_address(sections: &[(u8, &[u8])]) -> Option<usize> {
    let body = |wanted| sections.iter().find(|(id, _)| *id == wanted).map(|(_, body)| *body);
    let mut exports = Reader(body(EXPORT)?);
    let mut index = None;
    for _ in 0..exports.number()? {
        let len = exports.number()?;
        let name = exports.take(len)?;
        let kind = exports.byte()?;
        let target = exports.number()?;
        if name == b"IMAGE" && kind == 3 {
            index = Some(target);
        }
    }
    let mut globals = Reader(body(GLOBAL)?);
    for at in 0..globals.number()? {
        let (_, _, constant) = (globals.byte()?, globals.byte()?, globals.byte()?);
        if constant != 0x41 {
            return None;
        }
        let value = globals.number()?;
        globals.byte()?;
        if Some(at) == index {
            return Some(value);
        }
    }
    None
}

fn leb(mut n: usize, signed: bool, out: &mut Vec<u8>) {
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 && !(signed && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Bytes of memory that a module with an image of so many words needs.
pub(crate) fn memory_of(words: usize) -> usize {
    let address = image_address(&sections()).unwrap_or(0);
    (address + words * 4).div_ceil(PAGE) * PAGE
}

/// The module with this image.
pub(crate) fn module(words: &[u32]) -> Vec<u8> {
    assert!(words.len() <= IMAGE_WORDS_MAX, "the caller bounds the memory");
    let sections = sections();
    let address = image_address(&sections).expect("invariant: the kernel exports IMAGE");
    let had_data = sections.iter().any(|(id, _)| *id == DATA);
    let mut module = Module::new();
    for (id, body) in &sections {
        match *id {
            MEMORY => {
                let pages = memory_of(words.len()) / PAGE;
                let mut memories = MemorySection::new();
                memories.memory(MemoryType {
                    minimum: pages as u64,
                    maximum: Some(pages as u64),
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                });
                module.section(&memories);
            }
            DATA => {
                let data = data_section(body, address, words);
                module.section(&RawSection { id: DATA, data: &data });
            }
            // Only needed by instructions that the kernel does not use.
            DATA_COUNT => {}
            id => {
                module.section(&RawSection { id, data: body });
            }
        }
    }
    if !had_data {
        let data = data_section(&[0], address, words);
        module.section(&RawSection { id: SectionId::Data as u8, data: &data });
    }
    module.finish()
}

/// The kernel's data and one more segment.
fn data_section(body: &[u8], address: usize, words: &[u32]) -> Vec<u8> {
    let mut reader = Reader(body);
    let count = reader.number().unwrap_or(0);
    let mut data = Vec::with_capacity(body.len() + words.len() * 4 + 16);
    leb(count + 1, false, &mut data);
    data.extend_from_slice(reader.0);
    data.extend([0x00, 0x41]);
    leb(address, true, &mut data);
    data.push(0x0b);
    leb(words.len() * 4, false, &mut data);
    data.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_its_image_last_in_memory() {
        let sections = sections();
        let address = image_address(&sections).unwrap();
        assert!(address < 2 * PAGE, "{address}");
        let memory = sections.iter().find(|(id, _)| *id == MEMORY).unwrap().1;
        let mut reader = Reader(memory);
        let (_, _, pages) = (reader.number(), reader.byte(), reader.number().unwrap());
        let end = address + IMAGE_WORDS_MAX * 4;
        assert_eq!(pages, end.div_ceil(PAGE), "something lies behind the image");
    }
}
