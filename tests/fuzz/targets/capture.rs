//! Any bytes as a capture file: frames that are no longer than the file, segments in order by time of reading, and errors that
//! say where. What can be read is explained, too.

use glasstcp::trace::capture::{self, CaptureError};
use glasstcp::trace::explain::explain;
use glasstcp::trace::segment::Side;
use glasstcp::trace::{connection, describe};

pub fn play(data: &[u8]) {
    let (mut frames, mut octets) = (0, 0);
    let outcome = capture::read(data, |frame| {
        frames += 1;
        octets += frame.data.len();
        assert!(frame.number == frames && frame.data.len() <= frame.len);
    });
    assert!(octets <= data.len(), "more octets than there are");
    match &outcome {
        Err(CaptureError::Damaged(after) | CaptureError::TooLong(after)) => assert_eq!(*after, frames),
        Err(CaptureError::Io(error)) => panic!("reading from memory does not fail: {error}"),
        Err(other) => assert!(!other.to_string().is_empty()),
        Ok(_) => {}
    }
    let Ok(trace) = connection::read(data) else {
        return assert!(outcome.is_err(), "the frames can be read");
    };
    assert_eq!(trace.frames, frames);
    let segments: usize = trace.connections.iter().map(|connection| connection.segs.len()).sum();
    let skipped: u64 = trace.skipped.values().sum();
    assert_eq!(segments as u64 + skipped + trace.left_out, frames, "every frame is somewhere");
    for connection in &trace.connections {
        assert!(!connection.segs.is_empty());
        for segment in &connection.segs {
            let _ = (segment.end(), segment.text_at(), segment.is_pure_ack(), connection.window(segment));
            assert!(!describe::segment(connection, segment, true).is_empty());
        }
        for side in Side::BOTH {
            assert_eq!(explain(connection, side).lines.len(), connection.segs.len(), "a line for each segment");
        }
    }
}
