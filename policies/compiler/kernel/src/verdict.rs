//! The verdict and its form in ABI version 1.

/// Size in bytes of a verdict record.
pub const RECORD_SIZE: usize = 64;

/// Actions, as the ABI numbers them.
pub(crate) mod action {
    pub(crate) const CONTINUE: u8 = 0;
    pub(crate) const PASS: u8 = 1;
    pub(crate) const RETURN_ICMP: u8 = 4;
}

/// Ways to keep a state, as the ABI numbers them.
pub(crate) mod keep {
    pub(crate) const STATE: u8 = 0;
    pub(crate) const NONE: u8 = 1;
    pub(crate) const SLOPPY: u8 = 2;
    pub(crate) const LOOSE: u8 = 3;
}

/// What is said about a packet; numbers are the ABI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Continue, pass, block, return-rst or return-icmp.
    pub action: u8,
    /// Whether to log.
    pub log: bool,
    /// Whether IP options may pass.
    pub allow_options: bool,
    /// Number of the rule that decided, from 1; 0 if none did.
    pub rule: u16,
    /// How a state is kept.
    pub keep: u8,
    /// Code of the ICMP error.
    pub icmp_code: Option<u8>,
    /// Id of the packet's new tag, or 0.
    pub tag: u16,
    /// Id of the state's label, or 0.
    pub label: u16,
    /// Timeouts in seconds, 0 for the gateway's.
    pub timeouts: [u32; 6],
}

impl Verdict {
    /// Tells whether the verdict says more than its word can hold.
    pub fn needs_record(&self) -> bool {
        self.keep != keep::STATE
            || self.icmp_code.is_some()
            || self.tag != 0
            || self.label != 0
            || self.timeouts != [0; 6]
    }

    /// Returns the verdict word with this address of a record, or 0 for none.
    pub fn word(&self, record: u32) -> i64 {
        let flags = u8::from(self.log) | u8::from(self.allow_options) << 1;
        let [r0, r1] = self.rule.to_le_bytes();
        let [a0, a1, a2, a3] = record.to_le_bytes();
        i64::from_le_bytes([self.action, flags, r0, r1, a0, a1, a2, a3])
    }

    /// Writes the record's bytes.
    pub fn write(&self, record: &mut [u8; RECORD_SIZE]) {
        *record = [0; RECORD_SIZE];
        record[0] = 64;
        record[2] = self.keep;
        if let Some(code) = self.icmp_code {
            record[3] = code;
            record[4] = 1;
        }
        record[6..8].copy_from_slice(&self.tag.to_le_bytes());
        record[8..10].copy_from_slice(&self.label.to_le_bytes());
        for (place, seconds) in record[12..36].chunks_exact_mut(4).zip(self.timeouts) {
            place.copy_from_slice(&seconds.to_le_bytes());
        }
    }
}
