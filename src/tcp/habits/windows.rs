//! Habits of offering windows.

/// What window a receive buffer offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Windows {
    /// Its free part; the right edge moves by whole segments (RFC 9293 section 3.8.6.2.2).
    #[default]
    Steps,
    /// The buffer is so many whole segments. All of its free part is the window by which segments are accepted, whatever the
    /// window field can say of it; the right edge moves by whole segments, or as far as an empty buffer goes.
    Whole,
    /// The same, but the right edge moves by whatever is read, and the window is rounded up to what its field can say.
    WholeSegments,
    /// Its free part is the window, as with `Whole`, with a first window of whole segments in the buffer; whoever sets the
    /// buffer's size while text arrives and is read decides about windows, and about their updates.
    Told,
}

/// Which windows are offered, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowHabits {
    /// What window a receive buffer offers. Default: its free part, in steps of whole segments.
    pub offer: Windows,
    /// A window update leaves only for a window twice as large as what is still offered. Default off: for an eighth of the
    /// largest one.
    pub reluctant_updates: bool,
}
