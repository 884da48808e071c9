//! Windows: the 16 bits on the wire against the octets that they stand for (RFC 7323 section 2).

/// The window field as it stands in a segment: unsigned, and not yet scaled.
// 9293-MUST-1: an unsigned type, so that 0x8000 and above are large windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WireWindow(pub u16);

/// A window shift count, always 0 to 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WindowShift(u8);

impl WindowShift {
    /// The largest shift that RFC 7323 allows.
    pub const MAX: WindowShift = WindowShift(14);

    /// The shift count of a received option.
    pub const fn from_option(count: u8) -> WindowShift {
        // 7323-2.3-2: a larger count is used as 14.
        if count > 14 { WindowShift::MAX } else { WindowShift(count) }
    }

    /// The smallest shift with which a window of `octets` can be expressed.
    pub const fn for_window(octets: u32) -> WindowShift {
        let mut shift = 0;
        while shift < 14 && (octets >> shift) > u16::MAX as u32 {
            shift += 1;
        }
        WindowShift(shift)
    }

    /// The count itself.
    pub const fn count(self) -> u8 {
        self.0
    }

    /// Octets that a received window field stands for.
    // 7323-2.3-1: received windows are shifted left by the peer's count ...
    // 9293-REC-1: windows are 32-bit values from here on.
    pub const fn scale(self, window: WireWindow) -> u32 {
        (window.0 as u32) << self.0
    }

    /// The field that stands for at most `octets`: rounded down, so that no more is promised than is there.
    // 7323-2.3-1: ... and sent ones right by ours.
    pub const fn unscale(self, octets: u32) -> WireWindow {
        let field = octets >> self.0;
        WireWindow(if field > u16::MAX as u32 { u16::MAX } else { field as u16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 7323-2.3-2
    #[test]
    fn shifts_above_14_count_as_14() {
        for (option, count) in [(0, 0), (13, 13), (14, 14), (15, 14), (255, 14)] {
            assert_eq!(WindowShift::from_option(option).count(), count);
        }
    }

    /// 9293-MUST-1, 7323-2.3-1, 9293-REC-1
    #[test]
    fn windows_scale_as_unsigned_values() {
        assert_eq!(WindowShift::from_option(0).scale(WireWindow(0xffff)), 65_535);
        assert_eq!(WindowShift::from_option(0).scale(WireWindow(0x8000)), 32_768);
        assert_eq!(WindowShift::from_option(14).scale(WireWindow(0xffff)), 0xffff << 14);
        assert_eq!(WindowShift::from_option(7).unscale(65_535), WireWindow(511));
        assert_eq!(WindowShift::from_option(0).unscale(1 << 20), WireWindow(0xffff));
    }

    #[test]
    fn the_smallest_sufficient_shift() {
        for (octets, shift) in [(0, 0), (65_535, 0), (65_536, 1), (1 << 20, 5), (1 << 30, 14), (u32::MAX, 14)] {
            assert_eq!(WindowShift::for_window(octets).count(), shift, "{octets}");
        }
    }
}
