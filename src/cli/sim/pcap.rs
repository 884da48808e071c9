//! What each node of a simulated network saw, as captures.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

use crate::cli::Failure;
use crate::device::pcapng::{Direction, PcapngWriter};
use crate::sim::Spy;
use crate::sim::experiment::START;
use crate::sim::network::{Node, NodeKind, Topology, address};
use crate::time::Instant;

/// When a simulation begins in its captures, in nanoseconds since the Unix epoch: 2001-09-09 01:46:40, the same every time.
const EPOCH_NS: u64 = 1_000_000_000 * 1_000_000_000;

/// A capture for each node.
pub(super) struct Captures {
    /// By node, and whether it is a router.
    writers: Vec<(PcapngWriter<BufWriter<File>>, bool)>,
    error: Option<io::Error>,
}

impl Captures {
    /// Begins them in this directory.
    pub(super) fn begin(directory: &Path, topology: &Topology) -> Result<Captures, Failure> {
        fs::create_dir_all(directory).map_err(|error| format!("--pcap {}: {error}", directory.display()))?;
        let mut writers = Vec::new();
        for (number, (name, kind)) in topology.nodes.iter().enumerate() {
            let path = directory.join(format!("{name}.pcapng"));
            let told = |error: io::Error| format!("--pcap {}: {error}", path.display());
            let file = BufWriter::new(File::create(&path).map_err(told)?);
            let description = match kind {
                NodeKind::Host => format!("simulated host {name}, {}", address(Node(number))),
                NodeKind::Router => format!("simulated router {name}"),
            };
            let application = concat!("glasstcp ", env!("CARGO_PKG_VERSION"));
            let writer = PcapngWriter::new(file, application, name, &description).map_err(told)?;
            writers.push((writer, *kind == NodeKind::Router));
        }
        Ok(Captures { writers, error: None })
    }

    /// Ends them.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if let Some(error) = self.error {
            return Err(format!("--pcap: {error}").into());
        }
        for (writer, _) in self.writers {
            writer.finish().map_err(|error| format!("--pcap: {error}"))?;
        }
        Ok(())
    }
}

impl Spy for Captures {
    fn packet(&mut self, at: Instant, node: Node, inward: bool, packet: &[u8], note: Option<&dyn Display>) {
        let Some((writer, router)) = self.writers.get_mut(node.0) else { return };
        // A router sends on what has come; once is enough.
        if self.error.is_some() || (*router && !inward) {
            return;
        }
        let direction = if inward { Direction::In } else { Direction::Out };
        let time = EPOCH_NS + u64::try_from((at - START).as_nanos()).unwrap_or(0);
        let comment = note.map(ToString::to_string);
        let comments: Vec<&str> = comment.as_deref().into_iter().collect();
        self.error = writer.packet(time, direction, packet, &comments).err();
    }
}
