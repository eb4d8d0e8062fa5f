//! What is measured.

use std::time::Duration;

use clap::ValueEnum;
use evergate_lab::Gateway;

use crate::calm::Others;
use crate::connections::Servers;
use crate::flood::Flood;
use crate::{connections, iperf};

/// A kind of traffic from the client to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Bulk TCP in one connection.
    Tcp1,
    /// Bulk TCP in four connections.
    Tcp4,
    /// UDP packets of 64 bytes on 16 pairs of ports.
    Udp16,
    /// UDP packets of 64 bytes on 10,000 pairs of ports.
    Udp10000,
    /// Short TCP connections.
    Connections,
}

/// What one measurement found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The throughput, in the workload's unit.
    pub(crate) value: f64,
    /// Which part of the packets sent did not arrive, where that is known.
    pub(crate) loss: Option<f64>,
    /// Cores that other programs kept busy meanwhile.
    pub(crate) others: f64,
}

impl Workload {
    pub(crate) const ALL: [Workload; 5] = [
        Workload::Tcp1,
        Workload::Tcp4,
        Workload::Udp16,
        Workload::Udp10000,
        Workload::Connections,
    ];

    /// The name on the command line and in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Tcp1 => "tcp1",
            Workload::Tcp4 => "tcp4",
            Workload::Udp16 => "udp16",
            Workload::Udp10000 => "udp10000",
            Workload::Connections => "connections",
        }
    }

    /// The name for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Workload::Tcp1 => "bulk TCP, 1 stream",
            Workload::Tcp4 => "bulk TCP, 4 streams",
            Workload::Udp16 => "64-byte UDP, 16 flows",
            Workload::Udp10000 => "64-byte UDP, 10,000 flows",
            Workload::Connections => "TCP connections",
        }
    }

    /// The unit for people, how many of what is measured it is, and the decimals worth showing.
    pub(crate) fn unit(self) -> (&'static str, f64, usize) {
        match self {
            Workload::Tcp1 | Workload::Tcp4 => ("Gbit/s", 1e9, 1),
            Workload::Udp16 | Workload::Udp10000 => ("1000 packets/s", 1e3, 0),
            Workload::Connections => ("connections/s", 1.0, 0),
        }
    }
}

/// The servers that all subjects are measured with.
pub(crate) struct Traffic {
    iperf: iperf::Server,
    servers: Servers,
}

impl Traffic {
    pub(crate) fn start(net: &Gateway) -> anyhow::Result<Traffic> {
        Ok(Traffic { iperf: iperf::Server::start(net)?, servers: Servers::start(net)? })
    }

    /// Measures for `time` what passes the gateway as it now is.
    pub(crate) fn measure(
        &self,
        net: &Gateway,
        workload: Workload,
        time: Duration,
    ) -> anyhow::Result<Sample> {
        let others = Others::look();
        let sample = self.traffic(net, workload, time)?;
        Ok(Sample { others: others.busy_cores(), ..sample })
    }

    fn traffic(&self, net: &Gateway, workload: Workload, time: Duration) -> anyhow::Result<Sample> {
        let rate = |value| Sample { value, loss: None, others: 0.0 };
        match workload {
            Workload::Tcp1 => self.iperf.measure(net, 1, time).map(rate),
            Workload::Tcp4 => self.iperf.measure(net, 4, time).map(rate),
            Workload::Udp16 => Flood::new(net, 16)?.measure(net, time),
            Workload::Udp10000 => Flood::new(net, 10_000)?.measure(net, time),
            Workload::Connections => connections::measure(net, &self.servers, time).map(rate),
        }
    }
}
