//! One living instance of a policy: its store, its exports, and a call.

mod hooks;
mod payload;

use std::collections::BTreeSet;

use evergate_abi::{
    ALIGNMENT, BadVerdict, INSPECT_MAX, RECORD_SIZE, REQUEST_SIZE, Request, Verdict, VerdictWord,
    export, flags,
};
use wasmtime::{Instance as WasmInstance, Memory, Store, Trap, TypedFunc, WasmResults};

use crate::decision::Payload;
use crate::error::Failure;
use crate::host::{HostError, HostState};
use crate::policy::Policy;
use payload::PayloadCall;

/// Ticks of the epoch that making an instance may last, whatever their length.
const INIT_TICKS: u64 = 400;
/// Host calls while making an instance.
const INIT_HOST_CALLS: u32 = 20_000;
/// The longest message of a trap that is kept, in characters.
const MESSAGE_MAX: usize = 200;

/// What one call of a policy is told beside the packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now_ns: u64,
    pub(crate) wall_s: u64,
}

/// A living instance; it is thrown away after any failure.
pub(crate) struct Instance {
    instance: WasmInstance,
    store: Store<HostState>,
    memory: Memory,
    decide: TypedFunc<i32, i64>,
    address: usize,
    address_i32: i32,
    payload: Option<PayloadCall>,
    /// Where ended states go.
    ended: Option<usize>,
}

impl Instance {
    /// Makes an instance and runs everything that runs once: start function, `_initialize`, the
    /// version symbol, `init`.
    pub(crate) fn new(policy: &Policy, moment: Moment) -> Result<Self, Failure> {
        let limits = policy.limits();
        let mut store = policy.new_store();
        store.limiter(|state| &mut state.limits);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(INIT_TICKS);
        store.set_fuel(limits.init_fuel).map_err(|e| failure(&e, limits.init_fuel))?;
        let state = store.data_mut();
        state.calls_left = INIT_HOST_CALLS;
        state.now_ns = moment.now_ns;
        state.wall_s = moment.wall_s;
        let fail = |e: wasmtime::Error| failure(&e, limits.init_fuel);
        let instance = policy.pre().instantiate(&mut store).map_err(fail)?;
        let Some(memory) = instance.get_memory(&mut store, export::MEMORY) else {
            return Err(Failure::Trap("it has no memory".to_owned()));
        };
        store.data_mut().memory = Some(memory);
        call_if_there::<()>(&mut store, &instance, export::INITIALIZE).map_err(fail)?;
        let version: TypedFunc<(), i32> =
            instance.get_typed_func(&mut store, export::VERSION).map_err(fail)?;
        let address_i32 = version.call(&mut store, ()).map_err(fail)?;
        let decide = instance.get_typed_func(&mut store, export::DECIDE).map_err(fail)?;
        let address = request_address(address_i32, memory.data_size(&store))?;
        store.data_mut().in_init = true;
        let code = call_if_there::<i32>(&mut store, &instance, export::INIT).map_err(fail)?;
        let state = store.data_mut();
        state.in_init = false;
        let message = state.last_line.take();
        match code {
            None | Some(0) => {}
            Some(code) => return Err(Failure::Init { code, message }),
        }
        let payload = PayloadCall::find(&mut store, &instance, memory, limits.init_fuel)?;
        let ended = hooks::ended_buffer(&mut store, &instance, memory, limits.init_fuel)?;
        Ok(Self { instance, store, memory, decide, address, address_i32, payload, ended })
    }

    /// Runs the module's own test, if it has one.
    pub(crate) fn self_test(&mut self, policy: &Policy) -> Result<(), Failure> {
        let fuel = policy.limits().init_fuel;
        self.store.set_epoch_deadline(INIT_TICKS);
        self.store.data_mut().calls_left = INIT_HOST_CALLS;
        let code = self
            .store
            .set_fuel(fuel)
            .and_then(|()| call_if_there::<i32>(&mut self.store, &self.instance, export::SELF_TEST))
            .map_err(|error| failure(&error, fuel))?;
        let message = self.store.data_mut().last_line.take();
        match code {
            None | Some(0) => Ok(()),
            Some(code) => Err(Failure::SelfTest { code, message }),
        }
    }

    /// Returns the settings that the guest has asked for.
    pub(crate) fn settings_read(&self) -> &BTreeSet<String> {
        &self.store.data().read
    }

    /// Asks for the verdict on one packet.
    #[inline]
    pub(crate) fn decide(
        &mut self,
        policy: &Policy,
        moment: Moment,
        request: &Request,
    ) -> Result<Verdict, Failure> {
        self.prepare(policy, moment, request)?;
        let word = self
            .decide
            .call(&mut self.store, self.address_i32)
            .map_err(|error| failure(&error, policy.limits().fuel))?;
        let verdict = self.verdict(policy, word).map_err(Failure::BadVerdict)?;
        if matches!(verdict.action, evergate_abi::Action::Inspect) {
            return self.wanted(verdict, 0, false).map_err(Failure::BadVerdict);
        }
        Ok(verdict)
    }

    /// Asks for the verdict on a connection whose payload is known so far.
    pub(crate) fn inspect(
        &mut self,
        policy: &Policy,
        moment: Moment,
        request: &Request,
        payload: Payload<'_>,
    ) -> Result<Verdict, Failure> {
        let Some(call) = self.payload.clone() else {
            return Err(Failure::BadVerdict(BadVerdict::InspectUnable));
        };
        let shown = &payload.bytes[..payload.bytes.len().min(call.capacity)];
        let end = payload.end || shown.len() == call.capacity;
        let flag = if end { flags::PAYLOAD_END } else { 0 };
        self.prepare(policy, moment, &Request { flags: request.flags | flag, ..*request })?;
        let memory = self.memory.data_mut(&mut self.store);
        let place = memory.get_mut(call.start..).and_then(|rest| rest.get_mut(..shown.len()));
        let Some(place) = place else { return Err(call.lost()) };
        place.copy_from_slice(shown);
        let length = i32::try_from(shown.len()).unwrap_or(i32::MAX);
        let word = call
            .inspect
            .call(&mut self.store, (self.address_i32, length))
            .map_err(|error| failure(&error, policy.limits().fuel))?;
        let verdict = self.verdict(policy, word).map_err(Failure::BadVerdict)?;
        if matches!(verdict.action, evergate_abi::Action::Inspect) {
            return self.wanted(verdict, shown.len(), end).map_err(Failure::BadVerdict);
        }
        Ok(verdict)
    }

    /// Writes the request and gives the call its bounds.
    #[inline]
    fn prepare(
        &mut self,
        policy: &Policy,
        moment: Moment,
        request: &Request,
    ) -> Result<(), Failure> {
        let fuel = policy.limits().fuel;
        let state = self.store.data_mut();
        state.loading = false;
        state.now_ns = moment.now_ns;
        state.wall_s = moment.wall_s;
        state.calls_left = policy.limits().host_calls;
        let memory = self.memory.data_mut(&mut self.store);
        let Some(place) = memory.get_mut(self.address..).and_then(<[u8]>::first_chunk_mut) else {
            return Err(Failure::RequestAddress(self.address_i32.cast_unsigned()));
        };
        request.encode_into(place);
        self.store.set_epoch_deadline(policy.deadline_ticks());
        self.store.set_fuel(fuel).map_err(|error| failure(&error, fuel))
    }

    /// How much payload a verdict asks for, after so much was shown.
    fn wanted(&self, mut verdict: Verdict, shown: usize, end: bool) -> Result<Verdict, BadVerdict> {
        let Some(call) = &self.payload else { return Err(BadVerdict::InspectUnable) };
        let capacity = u16::try_from(call.capacity).unwrap_or(INSPECT_MAX);
        verdict.inspect = match verdict.inspect {
            0 => capacity,
            wanted => wanted.min(capacity),
        };
        if end || usize::from(verdict.inspect) <= shown {
            return Err(BadVerdict::InspectAgain);
        }
        Ok(verdict)
    }

    #[inline]
    fn verdict(&self, policy: &Policy, word: i64) -> Result<Verdict, BadVerdict> {
        let word = VerdictWord::decode(word)?;
        if word.record == 0 {
            return Ok(Verdict::from_word(word));
        }
        let outside = BadVerdict::RecordOutside(word.record);
        let start = usize::try_from(word.record).map_err(|_| outside)?;
        let memory = self.memory.data(&self.store);
        let record = memory.get(start..).and_then(<[u8]>::first_chunk::<RECORD_SIZE>);
        let verdict = Verdict::decode(word, record.ok_or(outside)?)?;
        let environment = policy.environment();
        if !environment.tags.is_known(verdict.tag) {
            return Err(BadVerdict::Tag(verdict.tag));
        }
        if !environment.labels.is_known(verdict.label) {
            return Err(BadVerdict::Label(verdict.label));
        }
        Ok(verdict)
    }
}

/// Checks where the guest wants its requests.
fn request_address(address: i32, memory_len: usize) -> Result<usize, Failure> {
    let bad = Failure::RequestAddress(address.cast_unsigned());
    let Ok(start) = usize::try_from(address.cast_unsigned()) else {
        return Err(bad);
    };
    let fits = start.checked_add(REQUEST_SIZE).is_some_and(|end| end <= memory_len);
    if fits && address.cast_unsigned().is_multiple_of(ALIGNMENT) { Ok(start) } else { Err(bad) }
}

fn call_if_there<R: WasmResults>(
    store: &mut Store<HostState>,
    instance: &WasmInstance,
    name: &str,
) -> wasmtime::Result<Option<R>> {
    if instance.get_func(&mut *store, name).is_none() {
        return Ok(None);
    }
    let function: TypedFunc<(), R> = instance.get_typed_func(&mut *store, name)?;
    function.call(store, ()).map(Some)
}

/// Says in our words why a call failed.
#[cold]
fn failure(error: &wasmtime::Error, fuel: u64) -> Failure {
    if let Some(HostError(message)) = error.downcast_ref() {
        return Failure::Host(message.clone());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Failure::Fuel(fuel),
        Some(Trap::Interrupt) => Failure::Deadline,
        Some(Trap::StackOverflow) => Failure::Stack,
        Some(trap) => Failure::Trap(trap.to_string()),
        None => {
            let message: String =
                error.root_cause().to_string().chars().take(MESSAGE_MAX).collect();
            match message.strip_prefix("forcing trap when ") {
                Some(growth) => Failure::Room(growth.to_owned()),
                None => Failure::Trap(message),
            }
        }
    }
}
