//! A TCP endpoint reduced to what decides which segments it may send.

use evergate_wire::{Tcp, TcpFlags};

use crate::testing::{ACK, FIN_ACK, SYN, segment};

/// What one end is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) iss: u32,
    pub(super) wscale: Option<u8>,
    /// Its receive buffer.
    pub(super) buffer: u32,
    /// How much it sends before it closes its half.
    pub(super) bytes: u32,
}

/// Cumulative acknowledgements, no reassembly queue, and a reader that may be
/// slow. Numbers are offsets from the initial sequence number of the sender.
#[derive(Debug)]
pub(super) struct Endpoint {
    traits: Traits,
    is_client: bool,
    /// How far own windows and those of the other end are shifted.
    shifts: (u8, u8),
    peer_offers_scale: bool,
    peer_iss: Option<u32>,
    /// The first offset that is not acknowledged.
    una: u32,
    /// One past the highest that was sent.
    max: u32,
    /// Where the other end's window ends.
    edge: u32,
    /// The next offset expected of the other end.
    received: u32,
    unread: u32,
    /// Where the window ends that was advertised.
    promised: u32,
    peer_finished: bool,
    kept_alive: bool,
    /// How often it has learned something, or been silent for long.
    pub(super) epoch: u64,
}

impl Endpoint {
    pub(super) fn new(traits: Traits, is_client: bool) -> Self {
        Self {
            traits,
            is_client,
            shifts: (0, 0),
            peer_offers_scale: is_client,
            peer_iss: None,
            una: 0,
            max: 0,
            edge: 1,
            received: 0,
            unread: 0,
            promised: 0,
            peer_finished: false,
            kept_alive: false,
            epoch: 0,
        }
    }

    pub(super) fn finished(&self) -> bool {
        self.una > self.fin() && self.peer_finished
    }

    /// Does what `choice` (below 100) and `size` say, if it may.
    pub(super) fn act(&mut self, choice: u32, size: u32) -> Option<Tcp> {
        self.epoch += u64::from(std::mem::take(&mut self.kept_alive));
        if !self.is_established() {
            return self.handshake();
        }
        match choice {
            0..40 => self.send_new(size, choice < 20),
            40..60 => self.resend(size),
            60..70 => self.read(size),
            70..80 => Some(self.build(ACK, self.max, 0)),
            80..85 => self.keep_alive(size % 2),
            85..95 => self.probe(),
            _ => None,
        }
    }

    /// Does what brings the connection on: one segment.
    pub(super) fn recover(&mut self) -> Option<Tcp> {
        if !self.is_established() {
            return self.handshake();
        }
        self.unread = 0;
        self.resend(65_000)
            .or_else(|| self.send_new(65_000, true))
            .or_else(|| self.probe())
            .or_else(|| Some(self.build(ACK, self.max, 0)))
    }

    /// Takes a segment; answers with an ACK if it occupies sequence numbers.
    pub(super) fn receive(&mut self, tcp: &Tcp) -> Option<Tcp> {
        self.epoch += 1;
        if tcp.flags.contains(SYN) && self.peer_iss.is_none() {
            self.meet(tcp);
        }
        let peer_iss = self.peer_iss?;
        if tcp.flags.contains(ACK) {
            self.take_ack(tcp);
        }
        if !self.is_established() {
            return None;
        }
        self.take_data(tcp, tcp.seq.wrapping_sub(peer_iss));
        let occupies = tcp.data_len > 0 || tcp.flags.intersects(SYN.union(TcpFlags::FIN));
        occupies.then(|| self.build(ACK, self.max, 0))
    }

    /// The offset of the FIN.
    fn fin(&self) -> u32 {
        1 + self.traits.bytes
    }

    fn is_established(&self) -> bool {
        self.peer_iss.is_some() && self.una > 0
    }

    fn handshake(&mut self) -> Option<Tcp> {
        let may_open = self.is_client || self.peer_iss.is_some();
        may_open.then(|| self.build(SYN, 0, 0))
    }

    fn send_new(&mut self, size: u32, may_finish: bool) -> Option<Tcp> {
        let end = self.fin().min(self.edge);
        let len = size.min(end.saturating_sub(self.max));
        let finishes = may_finish && self.max + len == self.fin();
        let flags = if finishes { FIN_ACK } else { ACK };
        (len > 0 || finishes).then(|| self.build(flags, self.max, len))
    }

    fn resend(&mut self, size: u32) -> Option<Tcp> {
        let len = size.min(self.max.min(self.fin()).saturating_sub(self.una));
        let finishes = self.una + len == self.fin() && self.max > self.fin();
        let flags = if finishes { FIN_ACK } else { ACK };
        (len > 0 || (finishes && self.una == self.fin())).then(|| self.build(flags, self.una, len))
    }

    fn read(&mut self, size: u32) -> Option<Tcp> {
        self.unread = self.unread.saturating_sub(size);
        Some(self.build(ACK, self.max, 0))
    }

    /// Sent after hours of silence: nothing overtakes it.
    fn keep_alive(&mut self, garbage: u32) -> Option<Tcp> {
        if self.una < self.max {
            return None;
        }
        self.epoch += 1;
        self.kept_alive = true;
        Some(self.build(ACK, self.una - 1, garbage))
    }

    /// One byte into a window that is known to be closed.
    fn probe(&mut self) -> Option<Tcp> {
        let closed = self.una == self.edge && self.una == self.max;
        (closed && self.max < self.fin()).then(|| self.build(ACK, self.max, 1))
    }

    fn build(&mut self, flags: TcpFlags, offset: u32, data_len: u32) -> Tcp {
        let flags = if self.peer_iss.is_some() { flags.union(ACK) } else { flags };
        let ack = self.peer_iss.map_or(0, |iss| iss.wrapping_add(self.received));
        let is_syn = flags.contains(SYN);
        let end = offset + data_len + u32::from(flags.intersects(SYN.union(TcpFlags::FIN)));
        self.max = self.max.max(end);
        let shift = if is_syn { 0 } else { self.shifts.0 };
        let free = self.traits.buffer - self.unread;
        let window = u16::try_from(free >> shift).unwrap_or(u16::MAX);
        self.promised = self.promised.max(self.received + (u32::from(window) << shift));
        let wscale = self.traits.wscale.filter(|_| is_syn && self.peer_offers_scale);
        let seq = self.traits.iss.wrapping_add(offset);
        Tcp { data_len, window, wscale, ..segment(flags, seq, ack) }
    }

    fn meet(&mut self, tcp: &Tcp) {
        self.peer_iss = Some(tcp.seq);
        self.received = 1;
        self.peer_offers_scale = tcp.wscale.is_some();
        if let (Some(own), Some(theirs)) = (self.traits.wscale, tcp.wscale) {
            self.shifts = (own, theirs);
        }
    }

    fn take_ack(&mut self, tcp: &Tcp) {
        let ack = tcp.ack.wrapping_sub(self.traits.iss);
        if ack > self.max {
            return;
        }
        self.una = self.una.max(ack);
        let shift = if tcp.flags.contains(SYN) { 0 } else { self.shifts.1 };
        self.edge = self.edge.max(ack + (u32::from(tcp.window) << shift));
    }

    fn take_data(&mut self, tcp: &Tcp, offset: u32) {
        let start = offset.wrapping_add(u32::from(tcp.flags.contains(SYN)));
        // A keep-alive before the first byte has the number of the SYN.
        if start > self.received {
            return;
        }
        let end = start + tcp.data_len;
        let taken = end.min(self.promised).saturating_sub(self.received);
        self.received += taken;
        self.unread += taken;
        if tcp.flags.contains(TcpFlags::FIN) && end == self.received && !self.peer_finished {
            self.received += 1;
            self.peer_finished = true;
        }
    }
}
