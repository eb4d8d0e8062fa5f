//! Where a guest wants payload, and the call that looks at it.

use evergate_abi::{ALIGNMENT, INSPECT_MAX, PAYLOAD_SIZE, PayloadBuffer, export};
use wasmtime::{Instance as WasmInstance, Memory, Store, TypedFunc};

use super::failure;
use crate::error::Failure;
use crate::host::HostState;

/// A guest's `inspect` and its payload buffer, which lies in its memory.
#[derive(Clone)]
pub(super) struct PayloadCall {
    pub(super) inspect: TypedFunc<(i32, i32), i64>,
    pub(super) start: usize,
    pub(super) capacity: usize,
    record: u32,
}

impl PayloadCall {
    /// Asks the guest where it wants payload; `None` if it does not want any.
    pub(super) fn find(
        store: &mut Store<HostState>,
        instance: &WasmInstance,
        memory: Memory,
        fuel: u64,
    ) -> Result<Option<Self>, Failure> {
        if instance.get_func(&mut *store, export::PAYLOAD).is_none() {
            return Ok(None);
        }
        let fail = |e: wasmtime::Error| failure(&e, fuel);
        let place: TypedFunc<(), i32> =
            instance.get_typed_func(&mut *store, export::PAYLOAD).map_err(fail)?;
        let record = place.call(&mut *store, ()).map_err(fail)?.cast_unsigned();
        let inspect = instance.get_typed_func(&mut *store, export::INSPECT).map_err(fail)?;
        let bad = Failure::PayloadAddress(record);
        let buffer = buffer(memory.data(&*store), record).ok_or(bad)?;
        Ok(Some(Self { inspect, start: buffer.0, capacity: buffer.1, record }))
    }

    /// The failure of a buffer that is not in the memory any more.
    pub(super) fn lost(&self) -> Failure {
        Failure::PayloadAddress(self.record)
    }
}

/// Returns start and usable capacity of the buffer that a record names, if all is in the memory.
fn buffer(memory: &[u8], record: u32) -> Option<(usize, usize)> {
    if !record.is_multiple_of(ALIGNMENT) {
        return None;
    }
    let bytes: &[u8; PAYLOAD_SIZE] = memory.get(usize::try_from(record).ok()?..)?.first_chunk()?;
    let PayloadBuffer { address, capacity } = PayloadBuffer::decode(bytes);
    let (start, len) = (usize::try_from(address).ok()?, usize::try_from(capacity).ok()?);
    let fits = start.checked_add(len).is_some_and(|end| end <= memory.len());
    (fits && len > 0).then(|| (start, len.min(usize::from(INSPECT_MAX))))
}
