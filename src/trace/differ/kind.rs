//! The kinds of difference between two traces, by name, so that one can be expected and passed over.

use std::fmt;
use std::str::FromStr;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident => $name:literal, $text:literal;)*) => {
        /// A kind of difference.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// The name, as it is given to `--ignore`.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }

            /// What it means, in a line.
            pub const fn explained(self) -> &'static str {
                match self { $(Kind::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// A connection that only one capture has.
    Connection => "connection", "one capture has a connection that the other has not";
    /// The sides sent a different number of octets.
    StreamLength => "stream-length", "an end sent more octets in one trace than in the other";
    /// It ended otherwise: by FIN, by RST, or not at all.
    End => "end", "the connection ended otherwise: FINs, RST, or not within the capture";
    /// The same text, cut otherwise.
    Segmentation => "segmentation", "the same octets in segments of other lengths (MSS, Nagle, cwnd, offload, FIN alone or not)";
    /// Text that the other trace does not have.
    MissingText => "missing-text", "text that the other trace never has";
    /// The same place in the stream, other octets.
    Content => "content", "other octets at the same place of the stream";
    /// A segment sent again in one trace only.
    Retransmission => "retransmission", "a segment sent again in one trace only";
    /// An ACK of something new in one trace only.
    DelayedAck => "delayed-ack", "an ACK of its own in one trace only: the other delayed it, or sent it along with text";
    /// A duplicate ACK in one trace only.
    DuplicateAck => "duplicate-ack", "a duplicate ACK in one trace only";
    /// A window update in one trace only.
    WindowUpdate => "window-update", "a window update in one trace only";
    /// A keep-alive in one trace only.
    KeepAlive => "keep-alive", "a keep-alive probe in one trace only";
    /// A zero-window probe in one trace only.
    WindowProbe => "window-probe", "a zero-window probe in one trace only";
    /// A SYN or SYN,ACK in one trace only.
    Handshake => "handshake", "a SYN or SYN,ACK in one trace only";
    /// A FIN in one trace only.
    Close => "close", "a FIN in one trace only";
    /// A RST in one trace only.
    Reset => "reset", "a RST in one trace only";
    /// The same segments, in another order.
    Order => "order", "the same segment, earlier or later among the others";
    /// Another acknowledgment number on the same text.
    AckNumber => "ack-number", "the same segment acknowledges more or less";
    /// Another window.
    Window => "window", "the same segment offers another window (scaled, in octets)";
    /// PSH.
    Push => "push", "PSH on one of them only";
    /// ECN: in the flags or in the IP header.
    Ecn => "ecn", "ECE, CWR, AE or the codepoint of the IP header differ";
    /// URG or its pointer.
    Urgent => "urgent", "URG or the urgent pointer differ";
    /// Other flags.
    Flags => "flags", "other control bits differ";
    /// An option that only one of them has.
    Options => "options", "one of them has an option that the other has not";
    /// The same options, in another order or with other padding.
    OptionOrder => "option-order", "the same options in another order, or padded otherwise";
    /// Another MSS or window scale.
    OptionValue => "option-value", "another MSS or window scale";
    /// Other SACK blocks.
    Sack => "sack", "other SACK blocks";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let wanted = text.to_lowercase().replace([' ', '_'], "-");
        Kind::ALL.iter().copied().find(|kind| kind.name() == wanted).ok_or_else(|| {
            let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("'{text}' is no kind of difference; there are {}", names.join(", "))
        })
    }
}
