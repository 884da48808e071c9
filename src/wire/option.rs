//! TCP options (RFC 9293 section 3.2, RFC 7323 sections 2.2 and 3.2, RFC 2018 sections 2 and 3, RFC 7413 section 4.1.1, RFC
//! 9768 section 3.2.3).

use super::accurate_ecn::{self, EcnOption};
use super::fast_open::{self, Cookie};
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
    /// The Fast Open cookie, which means something only with SYN (RFC 7413 section 4.1.1).
    pub fast_open: Option<Cookie>,
    /// Accurate ECN (RFC 9768 section 3.2.3). Where the others leave no room for it, it is not written.
    pub accurate_ecn: Option<EcnOption>,
    /// In which order they are written; what is read says nothing of it.
    pub order: OptionOrder,
}

/// The order of the options of a SYN. Without SYN both write the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OptionOrder {
    /// As Linux: MSS, SACK permitted, timestamps, window scale, each group padded by NOPs to whole words.
    #[default]
    Linux,
    /// As FreeBSD: MSS, window scale, SACK permitted, timestamps, and the end of the list as often as it takes.
    Bsd,
    /// Of a SYN nothing but the MSS.
    MssAlone,
    /// No option at all.
    None,
}

/// Parses the option area of a TCP header, of any segment. Of an option that occurs twice the last one counts.
pub fn parse(bytes: &[u8]) -> Result<TcpOptions, DropReason> {
    let mut options = TcpOptions::default();
    parse_into(&mut options, bytes)?;
    Ok(options)
}

/// The same, to options that are none yet: they are large enough for a copy to count.
pub(super) fn parse_into(options: &mut TcpOptions, mut bytes: &[u8]) -> Result<(), DropReason> {
    // 9293-MUST-5: nothing here asks which flags the segment carries.
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
                read(kind, value, options);
                &bytes[length..]
            }
        };
    }
    Ok(())
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
        _ => read_rare(kind, value, options),
    }
}

/// Notes one option of a kind that few segments have.
#[inline(never)]
fn read_rare(kind: u8, value: &[u8], options: &mut TcpOptions) {
    match kind {
        // 7413-4.1.1: what no cookie can be says nothing.
        fast_open::KIND | fast_open::EXPERIMENTAL_KIND => {
            options.fast_open = Cookie::read(kind, value).or(options.fast_open);
        }
        accurate_ecn::KIND_0 | accurate_ecn::KIND_1 => options.accurate_ecn = EcnOption::read(kind, value),
        // 9293-MUST-6: an unknown kind is no error; the caller goes on after its length.
        _ => {}
    }
}

/// Two 32-bit numbers in network byte order.
fn two_numbers(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> (u32, u32) {
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// The option of Accurate ECN, if there is room for it behind so many bytes of others.
#[inline]
fn accurate_ecn_that_fits(options: &TcpOptions, behind: usize) -> Option<&EcnOption> {
    options.accurate_ecn.as_ref().filter(|option| behind + option.padded_len() <= MAX_LEN)
}

/// Bytes that the options take beside Accurate ECN and SACK blocks.
pub fn len_of_others(options: &TcpOptions) -> usize {
    let mss = 4 * usize::from(options.mss.is_some());
    let scale = 4 * usize::from(options.window_scale.is_some());
    let permitted_and_timestamp = match (options.sack_permitted, options.timestamp) {
        (_, Some(_)) => 12,
        (true, None) => 4,
        (false, None) => 0,
    };
    let cookie = options.fast_open.map_or(0, |cookie| cookie.option_len().next_multiple_of(4));
    mss + permitted_and_timestamp + scale + cookie
}

/// SACK blocks that still fit behind so many bytes of other options.
fn sack_blocks_that_fit(options: &TcpOptions, behind: usize) -> usize {
    options.sack.len().min((MAX_LEN - behind).saturating_sub(4) / 8)
}

/// Bytes that [`emit`] writes: a multiple of 4, at most [`MAX_LEN`].
pub fn emitted_len(options: &TcpOptions) -> usize {
    if options.order == OptionOrder::None {
        return 0;
    }
    let others = len_of_others(options);
    let before = others + accurate_ecn_that_fits(options, others).map_or(0, EcnOption::padded_len);
    let blocks = sack_blocks_that_fit(options, before);
    before + if blocks > 0 { 4 + 8 * blocks } else { 0 }
}

/// Writes options one behind the other.
struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, octets: &[u8]) {
        self.buffer[self.at..self.at + octets.len()].copy_from_slice(octets);
        self.at += octets.len();
    }

    fn mss(&mut self, options: &TcpOptions) {
        if let Some(mss) = options.mss {
            self.put(&[kind::MAXIMUM_SEGMENT_SIZE, 4]);
            self.put(&mss.to_be_bytes());
        }
    }

    fn window_scale(&mut self, options: &TcpOptions) {
        if let Some(shift) = options.window_scale {
            self.put(&[kind::NO_OPERATION, kind::WINDOW_SCALE, 3, shift]);
        }
    }

    fn timestamp(&mut self, options: &TcpOptions) {
        if let Some(Timestamp { value, echo }) = options.timestamp {
            self.put(&[kind::TIMESTAMP, 10]);
            self.put(&value.to_be_bytes());
            self.put(&echo.to_be_bytes());
        }
    }

    /// Behind the others, so that whole words of them are the same with it and without.
    #[inline]
    fn fast_open(&mut self, options: &TcpOptions, padding: u8) {
        if let Some(cookie) = &options.fast_open {
            self.cookie(cookie, padding);
        }
    }

    /// The last one before the SACK blocks.
    #[inline]
    fn accurate_ecn(&mut self, options: &TcpOptions) {
        if let Some(option) = accurate_ecn_that_fits(options, self.at) {
            self.put(&option.octets()[..option.len()]);
            self.put(&[kind::NO_OPERATION; 3][..option.padded_len() - option.len()]);
        }
    }

    /// The last one.
    #[inline]
    fn sack(&mut self, options: &TcpOptions) {
        let blocks = sack_blocks_that_fit(options, self.at);
        if blocks > 0 {
            self.put(&[kind::NO_OPERATION, kind::NO_OPERATION, kind::SACK, (2 + 8 * blocks) as u8]);
            for (left, right) in options.sack.iter().take(blocks) {
                self.put(&left.to_be_bytes());
                self.put(&right.to_be_bytes());
            }
        }
    }

    #[cold]
    fn cookie(&mut self, cookie: &Cookie, padding: u8) {
        let (prefix, len) = cookie.prefix();
        self.put(&prefix[..len]);
        self.put(cookie.octets());
        self.put(&[padding; 2][..(4 - cookie.option_len() % 4) % 4]);
    }

    /// All but the SACK blocks. Linux puts the permission of SACK where the timestamp's padding would be, before it.
    fn linux(&mut self, options: &TcpOptions) {
        self.mss(options);
        match (options.sack_permitted, options.timestamp) {
            (true, Some(_)) => self.put(&[kind::SACK_PERMITTED, 2]),
            (false, Some(_)) => self.put(&[kind::NO_OPERATION, kind::NO_OPERATION]),
            (true, None) => self.put(&[kind::NO_OPERATION, kind::NO_OPERATION, kind::SACK_PERMITTED, 2]),
            (false, None) => {}
        }
        self.timestamp(options);
        self.window_scale(options);
        self.fast_open(options, kind::NO_OPERATION);
    }

    fn bsd(&mut self, options: &TcpOptions) {
        let ends = options.sack.is_empty() && options.accurate_ecn.is_none();
        self.mss(options);
        self.window_scale(options);
        match (options.sack_permitted, options.timestamp) {
            (true, Some(_)) => self.put(&[kind::SACK_PERMITTED, 2]),
            (false, Some(_)) => self.put(&[kind::NO_OPERATION, kind::NO_OPERATION]),
            // Behind the end of the list nothing would be read.
            (true, None) if ends && options.fast_open.is_none() => {
                self.put(&[kind::SACK_PERMITTED, 2, kind::END_OF_LIST, kind::END_OF_LIST]);
            }
            (true, None) => self.put(&[kind::SACK_PERMITTED, 2, kind::NO_OPERATION, kind::NO_OPERATION]),
            (false, None) => {}
        }
        self.timestamp(options);
        self.fast_open(options, if ends { kind::END_OF_LIST } else { kind::NO_OPERATION });
    }
}

/// Writes the options; returns their length, a multiple of 4. SACK blocks that do not fit are left out, the last ones first.
// 9293-MUST-68: each option but NOP and the end of the list is written with its length octet.
// 9293-MUST-69: NOPs align each group to whole words, or zeros behind the last option do, which all are ends of the list.
pub fn emit(options: &TcpOptions, buffer: &mut [u8]) -> usize {
    let mut writer = Writer { buffer, at: 0 };
    match options.order {
        // Without the other options there is no order.
        OptionOrder::Linux | OptionOrder::MssAlone => writer.linux(options),
        OptionOrder::Bsd => writer.bsd(options),
        OptionOrder::None => return 0,
    }
    writer.accurate_ecn(options);
    writer.sack(options);
    writer.at
}
