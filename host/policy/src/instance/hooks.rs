//! The calls that are not about a packet: hooks, and what survives a replacement.

use evergate_abi::{ALIGNMENT, ENDED_SIZE, Ended, SAVE_MAX, export};
use wasmtime::{Instance as WasmInstance, Memory, Store, TypedFunc, WasmParams, WasmResults};

use super::{INIT_HOST_CALLS, INIT_TICKS, Instance, Moment, failure};
use crate::error::Failure;
use crate::host::HostState;
use crate::policy::Policy;

/// What a module saves before another takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    version: i32,
    bytes: Vec<u8>,
}

/// Asks the guest where it wants ended states; `None` if it does not want any.
pub(super) fn ended_buffer(
    store: &mut Store<HostState>,
    instance: &WasmInstance,
    memory: Memory,
    fuel: u64,
) -> Result<Option<usize>, Failure> {
    if instance.get_func(&mut *store, export::STATE_END).is_none() {
        return Ok(None);
    }
    let fail = |e: wasmtime::Error| failure(&e, fuel);
    let place: TypedFunc<(), i32> =
        instance.get_typed_func(&mut *store, export::STATE_END).map_err(fail)?;
    let address = place.call(&mut *store, ()).map_err(fail)?.cast_unsigned();
    let start = usize::try_from(address).ok();
    let end = start.and_then(|start| start.checked_add(ENDED_SIZE));
    let fits = end.is_some_and(|end| end <= memory.data_size(&*store));
    if fits && address.is_multiple_of(ALIGNMENT) {
        return Ok(start);
    }
    Err(Failure::EndedAddress(address))
}

impl Instance {
    /// Calls `on_state_end`, with the bounds of a decision.
    pub(crate) fn state_ended(
        &mut self,
        policy: &Policy,
        moment: Moment,
        ended: &Ended,
    ) -> Result<(), Failure> {
        let Some(start) = self.ended else { return Ok(()) };
        let memory = self.memory.data_mut(&mut self.store);
        let Some(place) = memory.get_mut(start..).and_then(<[u8]>::first_chunk_mut) else {
            return Err(Failure::EndedAddress(u32::try_from(start).unwrap_or(u32::MAX)));
        };
        *place = ended.encode();
        let address = u32::try_from(start).unwrap_or(u32::MAX).cast_signed();
        let fuel = policy.limits().fuel;
        self.hook::<_, ()>(moment, fuel, export::ON_STATE_END, address).map(|_| ())
    }

    /// Calls `on_tick`, if there is one.
    pub(crate) fn tick(&mut self, policy: &Policy, moment: Moment) -> Result<(), Failure> {
        let fuel = policy.limits().init_fuel;
        let now = moment.now_ns.cast_signed();
        let times = (now, moment.wall_s.cast_signed());
        self.hook::<_, ()>(moment, fuel, export::ON_TICK, times).map(|_| ())
    }

    /// Calls `on_load` or `on_unload`, if there is one.
    pub(crate) fn turn(
        &mut self,
        policy: &Policy,
        moment: Moment,
        name: &str,
    ) -> Result<(), Failure> {
        self.hook::<_, ()>(moment, policy.limits().init_fuel, name, ()).map(|_| ())
    }

    /// Asks for what shall survive; `None` if nothing shall.
    pub(crate) fn save(
        &mut self,
        policy: &Policy,
        moment: Moment,
    ) -> Result<Option<Blob>, Failure> {
        let fuel = policy.save_fuel();
        let Some(version) = self.hook(moment, fuel, export::SAVE_VERSION, ())? else {
            return Ok(None);
        };
        let Some(word) = self.hook::<_, i64>(moment, fuel, export::SAVE, ())? else {
            return Ok(None);
        };
        let [a0, a1, a2, a3, l0, l1, l2, l3] = word.to_le_bytes();
        let address = u32::from_le_bytes([a0, a1, a2, a3]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length > SAVE_MAX {
            return Err(Failure::Blob(format!("it saves {length} bytes, the most is {SAVE_MAX}")));
        }
        let memory = self.memory.data(&self.store);
        let (start, len) = (address as usize, length as usize);
        let bytes = start.checked_add(len).and_then(|end| memory.get(start..end));
        let Some(bytes) = bytes else {
            return Err(Failure::Blob(format!(
                "the {length} bytes that it saves at {address:#x} are outside its memory"
            )));
        };
        Ok(Some(Blob { version, bytes: bytes.to_vec() }))
    }

    /// Hands over what another module has saved; tells whether it was taken.
    pub(crate) fn restore(
        &mut self,
        policy: &Policy,
        moment: Moment,
        blob: &Blob,
    ) -> Result<bool, Failure> {
        let fuel = policy.save_fuel();
        if self.hook(moment, fuel, export::SAVE_VERSION, ())? != Some(blob.version) {
            return Ok(false);
        }
        let length = i32::try_from(blob.bytes.len()).unwrap_or(i32::MAX);
        let Some(address) = self.hook::<_, i32>(moment, fuel, export::RESTORE_BUFFER, length)?
        else {
            return Ok(false);
        };
        if address == 0 {
            return Ok(false);
        }
        let start = address.cast_unsigned() as usize;
        let memory = self.memory.data_mut(&mut self.store);
        let place = memory.get_mut(start..).and_then(|rest| rest.get_mut(..blob.bytes.len()));
        let Some(place) = place else {
            return Err(Failure::Blob(format!(
                "its buffer for {length} saved bytes at {start:#x} is outside its memory"
            )));
        };
        place.copy_from_slice(&blob.bytes);
        let code = self.hook::<_, i32>(moment, fuel, export::RESTORE, (address, length))?;
        Ok(code == Some(0))
    }

    /// Calls an export with bounds of its own; `None` if there is no such export.
    fn hook<P: WasmParams, R: WasmResults>(
        &mut self,
        moment: Moment,
        fuel: u64,
        name: &str,
        params: P,
    ) -> Result<Option<R>, Failure> {
        if self.instance.get_func(&mut self.store, name).is_none() {
            return Ok(None);
        }
        let state = self.store.data_mut();
        state.loading = false;
        state.now_ns = moment.now_ns;
        state.wall_s = moment.wall_s;
        state.calls_left = INIT_HOST_CALLS;
        self.store.set_epoch_deadline(INIT_TICKS);
        let function: wasmtime::Result<TypedFunc<P, R>> =
            self.instance.get_typed_func(&mut self.store, name);
        function
            .and_then(|function| {
                self.store.set_fuel(fuel)?;
                function.call(&mut self.store, params)
            })
            .map(Some)
            .map_err(|error| failure(&error, fuel))
    }
}
