//! TCP options (RFC 9293 section 3.2, RFC 7323 sections 2.2 and 3.2, RFC 2018 sections 2 and 3).

use crate::counters::DropReason;

/// Bytes that options may take in one segment: a header of 15 words less the fixed 20 bytes.
pub const MAX_LEN: usize = 40;

/// Option kinds (IANA "TCP Option Kind Numbers").
mod kind {
    pub const END_OF_LIST: u8 = 0;
    pub const NO_OPERATION: u8 = 1;
    pub const MAXIMUM_SEGMENT_SIZE: u8 = 2;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMP: u8 = 8;
}

/// The timestamp option (RFC 7323 section 3.2). Both numbers count in units of the sender of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the latest TSval of the receiver of this segment; valid only with ACK.
    pub echo: u32,
}

/// The blocks of a SACK option in their order on the wire (RFC 2018 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SackBlocks {
    /// Blocks beyond `len` are zero, so that equal lists compare equal.
    blocks: [(u32, u32); SackBlocks::CAPACITY],
    len: u8,
}

impl SackBlocks {
    /// Blocks that fit into one segment without other options.
    pub const CAPACITY: usize = 4;
    /// No block.
    pub const EMPTY: SackBlocks = SackBlocks { blocks: [(0, 0); SackBlocks::CAPACITY], len: 0 };

    /// Appends a block: `left` is its first sequence number, `right` the one after its last. False if the list is full.
    pub fn push(&mut self, left: u32, right: u32) -> bool {
        match self.blocks.get_mut(usize::from(self.len)) {
            Some(block) => {
                *block = (left, right);
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The blocks as (left, right) edges.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.blocks[..self.len()].iter().copied()
    }

    /// How many blocks there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// True without any block.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The options of a segment that this stack understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Maximum segment size in bytes, as sent (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
    /// Window scale in bits to shift, as sent: not limited to 14 here (RFC 7323 section 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323 section 3.2).
    pub timestamp: Option<Timestamp>,
    /// SACK blocks, empty without the option.
    pub sack: SackBlocks,
}

/// Parses the option area of a TCP header, of any segment. Of an option that occurs twice the last one counts.
pub fn parse(mut bytes: &[u8]) -> Result<TcpOptions, DropReason> {
    // 9293-MUST-5: nothing here asks which flags the segment carries.
    let mut options = TcpOptions::default();
    // 9293-MUST-64: octet by octet, so an option may start anywhere.
    while let [kind, rest @ ..] = bytes {
        bytes = match *kind {
            // 9293-MUST-4: what follows the end of the list is padding, whatever it holds.
            kind::END_OF_LIST => break,
            kind::NO_OPERATION => rest,
            // 9293-MUST-68: every other kind, known or not, has a length octet; it counts kind and length too.
            kind => {
                // Without room for it there is no length that could be wrong: the list ends there, as with Linux.
                let Some(&length) = rest.first() else { break };
                let length = usize::from(length);
                // 9293-MUST-7: lengths 0 and 1 would not advance, longer ones than the area would leave it.
                let value = bytes.get(2..length).ok_or(DropReason::TcpOption)?;
                read(kind, value, &mut options);
                &bytes[length..]
            }
        };
    }
    Ok(options)
}

/// Notes one option. A known kind with a length that is not its own says nothing that could be believed.
fn read(kind: u8, value: &[u8], options: &mut TcpOptions) {
    match (kind, value) {
        (kind::MAXIMUM_SEGMENT_SIZE, &[high, low]) => options.mss = Some(u16::from_be_bytes([high, low])),
        (kind::WINDOW_SCALE, &[shift]) => options.window_scale = Some(shift),
        (kind::SACK_PERMITTED, &[]) => options.sack_permitted = true,
        (kind::TIMESTAMP, value) => {
            if let ([octets], []) = value.as_chunks::<8>() {
                let (value, echo) = two_numbers(octets);
                options.timestamp = Some(Timestamp { value, echo });
            }
        }
        // 2018-3: whole blocks, and one at least.
        (kind::SACK, value) => {
            if let (blocks @ [_, ..], []) = value.as_chunks::<8>() {
                options.sack = SackBlocks::default();
                for (left, right) in blocks.iter().map(two_numbers) {
                    options.sack.push(left, right);
                }
            }
        }
        // 9293-MUST-6: an unknown kind is no error; the caller goes on after its length.
        _ => {}
    }
}

/// Two 32-bit numbers in network byte order.
fn two_numbers(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> (u32, u32) {
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Bytes that the options take before any SACK block.
fn len_before_sack(options: &TcpOptions) -> usize {
    let permitted_and_timestamp = match (options.sack_permitted, options.timestamp) {
        (_, Some(_)) => 12,
        (true, None) => 4,
        (false, None) => 0,
    };
    4 * usize::from(options.mss.is_some()) + permitted_and_timestamp + 4 * usize::from(options.window_scale.is_some())
}

/// SACK blocks that still fit behind the other options.
fn sack_blocks_that_fit(options: &TcpOptions) -> usize {
    options.sack.len().min((MAX_LEN - len_before_sack(options) - 4) / 8)
}

/// Bytes that [`emit`] writes: a multiple of 4, at most [`MAX_LEN`].
pub fn emitted_len(options: &TcpOptions) -> usize {
    let blocks = sack_blocks_that_fit(options);
    len_before_sack(options) + if blocks > 0 { 4 + 8 * blocks } else { 0 }
}

/// Writes the options in the order that Linux uses; returns their length, a multiple of 4. SACK blocks that do not fit
/// are left out, the last ones first.
pub fn emit(options: &TcpOptions, buffer: &mut [u8]) -> usize {
    use kind::*;
    let mut at = 0;
    let mut put = |octets: &[u8]| {
        buffer[at..at + octets.len()].copy_from_slice(octets);
        at += octets.len();
    };
    // 9293-MUST-68: each option but NOP is written with its length octet.
    // 9293-MUST-69: NOPs align each group to whole words, so no end-of-list and no padding after it is ever needed.
    if let Some(mss) = options.mss {
        put(&[MAXIMUM_SEGMENT_SIZE, 4]);
        put(&mss.to_be_bytes());
    }
    match (options.sack_permitted, options.timestamp) {
        (true, Some(_)) => put(&[SACK_PERMITTED, 2]),
        (false, Some(_)) => put(&[NO_OPERATION, NO_OPERATION]),
        (true, None) => put(&[NO_OPERATION, NO_OPERATION, SACK_PERMITTED, 2]),
        (false, None) => {}
    }
    if let Some(Timestamp { value, echo }) = options.timestamp {
        put(&[TIMESTAMP, 10]);
        put(&value.to_be_bytes());
        put(&echo.to_be_bytes());
    }
    if let Some(shift) = options.window_scale {
        put(&[NO_OPERATION, WINDOW_SCALE, 3, shift]);
    }
    let blocks = sack_blocks_that_fit(options);
    if blocks > 0 {
        put(&[NO_OPERATION, NO_OPERATION, SACK, (2 + 8 * blocks) as u8]);
        for (left, right) in options.sack.iter().take(blocks) {
            put(&left.to_be_bytes());
            put(&right.to_be_bytes());
        }
    }
    at
}
