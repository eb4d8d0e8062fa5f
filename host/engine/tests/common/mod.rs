//! A gateway of two interfaces without a system around it.

use std::sync::Arc;
use std::time::Duration;

use etherparse::{Ipv4Header, PacketBuilderStep};
use evergate_engine::{
    DefaultVerdict, Egress, FibBuilder, Gateway, GatewayConfig, IfId, Outcome, Totals, Worker,
};
use evergate_policy::{
    Chain, Compiler, CompilerConfig, Environment, Limits, Params, Policy, SharedChain, TableLimits,
    Tables,
};
use evergate_state::Timeouts;
use evergate_table::TableConfig;
use evergate_wire::fragment::FragmentLimits;
use evergate_wire::{Addr, Af, DropReason, Timestamp, VNET_HDR_LEN};

const LAN: IfId = IfId(1);
const WAN: IfId = IfId(2);

pub(crate) struct Net {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) lan: Worker,
    pub(crate) wan: Worker,
    pub(crate) now: Timestamp,
    chain: Arc<SharedChain>,
    compiler: Compiler,
    fib_address: Addr,
}

/// A policy that always gives this verdict word.
fn constant(word: i64) -> String {
    format!(
        r#"(module (memory (export "memory") 1)
             (func (export "evergate_abi_v1") (result i32) (i32.const 1024))
             (func (export "decide") (param i32) (result i64) (i64.const {word})))"#
    )
}

impl Net {
    pub(crate) fn new(word: i64) -> Net {
        Net::with_limit(word, 1_000)
    }

    pub(crate) fn with_limit(word: i64, limit: u64) -> Net {
        let mut net = Net::build(DefaultVerdict::Block, limit);
        net.swap(word);
        net
    }

    pub(crate) fn with_text(text: &str) -> Net {
        let mut net = Net::build(DefaultVerdict::Block, 1_000);
        net.swap_text(text);
        net
    }

    pub(crate) fn without_policy(default: DefaultVerdict) -> Net {
        Net::build(default, 1_000)
    }

    fn build(default: DefaultVerdict, limit: u64) -> Net {
        let chain = Arc::<SharedChain>::default();
        let fragments = FragmentLimits {
            datagrams: 16,
            bytes: 1 << 20,
            per_datagram_fragments: 64,
            timeout: Duration::from_secs(60),
        };
        let config = GatewayConfig {
            table: TableConfig { seed: 7, shards: 4, limit },
            fragments,
            default,
            timeouts: Timeouts::default(),
            creator: 1,
        };
        let gateway = Arc::new(Gateway::new(config, Arc::clone(&chain)));
        let fib_address = Addr::from(std::net::IpAddr::from([10, 0, 1, 1]));
        let mut fib = FibBuilder::default();
        fib.own(LAN, fib_address)
            .route(Addr::from(std::net::IpAddr::from([10, 0, 1, 0])), 24, Egress::Interface(LAN))
            .default_route(Af::V4, Egress::Interface(WAN));
        gateway.set_fib(fib.build());
        Net {
            lan: Worker::new(Arc::clone(&gateway), LAN),
            wan: Worker::new(Arc::clone(&gateway), WAN),
            now: Timestamp::from_nanos(5_000_000_000),
            gateway,
            chain,
            compiler: Compiler::new(CompilerConfig::default()).unwrap(),
            fib_address,
        }
    }

    pub(crate) fn swap(&mut self, word: i64) {
        self.swap_text(&constant(word));
    }

    pub(crate) fn swap_text(&mut self, text: &str) {
        let tables = Arc::new(Tables::new(TableLimits::default()));
        let names = ["self", "lan", "wan"].map(str::to_owned).to_vec();
        let environment = Arc::new(Environment::new(tables, names, 1));
        let policy: Arc<Policy> = self
            .compiler
            .load("test", text.as_bytes(), Limits::default(), &Params::new(), &environment)
            .unwrap();
        self.chain.store(Chain::new(vec![policy]).unwrap());
    }

    pub(crate) fn lan(&mut self, frame: &mut [u8]) -> Outcome {
        self.lan.process(self.now, 0, frame)
    }

    pub(crate) fn wan(&mut self, frame: &mut [u8]) -> Outcome {
        self.wan.process(self.now, 0, frame)
    }

    pub(crate) fn totals(&self) -> (Totals, Totals) {
        let sum = |worker: &Worker| {
            let mut totals = Totals::default();
            totals.add(&worker.counters());
            totals
        };
        (sum(&self.lan), sum(&self.wan))
    }

    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        let (lan, wan) = self.totals();
        lan.drops[reason.index()] + wan.drops[reason.index()]
    }

    pub(crate) fn gateway_address(&self, af: Af) -> Option<Addr> {
        let mut fib = FibBuilder::default();
        fib.own(LAN, self.fib_address);
        fib.build().own_address(LAN, af)
    }
}

pub(crate) fn client(port: u16) -> ([u8; 4], u16) {
    ([10, 0, 1, 2], port)
}

pub(crate) fn server(port: u16) -> ([u8; 4], u16) {
    ([10, 0, 2, 2], port)
}

/// A packet behind an empty virtio header.
pub(crate) fn frame<H: Write>(step: PacketBuilderStep<H>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; VNET_HDR_LEN];
    H::write(step, &mut bytes, payload);
    bytes
}

/// The transport headers that packets are built with here.
pub(crate) trait Write: Sized {
    fn write(step: PacketBuilderStep<Self>, to: &mut Vec<u8>, payload: &[u8]);
}

impl Write for etherparse::TcpHeader {
    fn write(step: PacketBuilderStep<Self>, to: &mut Vec<u8>, payload: &[u8]) {
        step.write(to, payload).unwrap();
    }
}

impl Write for etherparse::UdpHeader {
    fn write(step: PacketBuilderStep<Self>, to: &mut Vec<u8>, payload: &[u8]) {
        step.write(to, payload).unwrap();
    }
}

impl Write for etherparse::Icmpv4Header {
    fn write(step: PacketBuilderStep<Self>, to: &mut Vec<u8>, payload: &[u8]) {
        step.write(to, payload).unwrap();
    }
}

pub(crate) fn ipv4(packet: &[u8]) -> Ipv4Header {
    Ipv4Header::from_slice(packet).unwrap().0
}
